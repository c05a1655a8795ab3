//! [`Import`]: what a log from outside is held to before it becomes a world's. It holds nothing that this server would
//! not have written, and when it is taken in, nothing is under way.

use uuid::Uuid;

use super::{
    decide::Context,
    event::Event,
    publish::frame,
    reply,
    state::{Turn, World},
    time::now_ms,
};
use crate::protocol::{
    AgentName, FinishReason, MessageId, SenderType, TemplateName, Title, TurnLimit, Violation, WorldName, codec,
};

/// Bytes that a posted reply has more than the reply: whom it answers.
const NAMED: usize = 66;

pub struct Import {
    name: WorldName,
    world: World,
}

impl Import {
    /// `name`: what the world will be called.
    pub fn new(name: WorldName, template: TemplateName) -> Self {
        Self { name, world: World::new(template, TurnLimit::saturating(1)) }
    }

    pub fn title(&self) -> Option<Title> {
        self.world.title.clone()
    }

    /// Takes the next event in, or says why it cannot be one.
    pub fn take(&mut self, id: Uuid, at_ms: i64, event: &mut Event) -> Result<(), String> {
        let seq = self.world.head + 1;
        if (seq == 1) != matches!(event, Event::WorldCreated { .. }) {
            return Err("must be the creation of the world if it is the first, and only then".to_owned());
        }
        match event {
            Event::AgentCreated { agent } | Event::AgentUpdated { agent } => {
                // Keys are not exported, so there are none here.
                agent.config.has_api_key = false;
            }
            // Under whatever ticket it ran, it does not here.
            Event::ReplyStarted { claim, .. } => *claim = None,
            _ => {}
        }
        self.check(event)?;
        if let Some((frame, ..)) = frame(&self.name, seq, id, at_ms, event) {
            codec::check_server(&frame).map_err(|rejection| match rejection.violations() {
                [Violation { pointer, message, .. }, ..] => format!("makes no valid frame: {pointer} {message}"),
                [] => "makes no valid frame".to_owned(),
            })?;
        }
        self.world.apply(seq, at_ms, event);
        Ok(())
    }

    /// Whether the world may come to this.
    fn check(&self, event: &Event) -> Result<(), String> {
        let reason = match event {
            Event::AgentCreated { agent } => {
                let room = self.world.has_room_for(&agent.name);
                return room.map_err(|reason| format!("makes an agent that cannot be: {reason}"));
            }
            Event::AgentUpdated { agent } if !self.has(&agent.name) => "changes an agent that is not there",
            Event::AgentDeleted { agent_name } if !self.has(agent_name) => "deletes an agent that is not there",
            Event::Message { sender, sender_type, .. } => match sender_type {
                SenderType::Human if sender != "human" => "has a sender that is not the human",
                SenderType::World if sender != "system" => "has a sender that is not the system",
                SenderType::Agent if AgentName::new(sender.as_str()).is_err() => "has a sender that is no agent",
                _ => return length(event),
            },
            _ => return length(event),
        };
        Err(reason.to_owned())
    }

    fn has(&self, name: &AgentName) -> bool {
        self.world.agent(name.as_str()).is_some_and(|agent| agent.public.name == *name)
    }

    /// What ends everything that is under way: nobody runs it any more.
    pub fn end(mut self) -> Vec<Event> {
        let at_ms = now_ms();
        let context =
            Context { at_ms, mint: &mut super::actor::mint, text_of: &|_: &MessageId| String::new(), claim: None };
        let waiting: Vec<&Turn> = self.world.agents().flat_map(|agent| &agent.waiting).collect();
        let running: Vec<&Turn> = self.world.agents().filter_map(|agent| agent.running.as_ref()).collect();
        let mut events = self.world.end_turns(&waiting, &running, FinishReason::Interrupted, &context);
        for event in &events {
            self.world.apply(self.world.head + 1, at_ms, event);
        }
        // A log that was written by hand may have asked what nobody was to answer.
        events.extend(self.world.busy_roots().map(|root_id| Event::Settled { root_id: root_id.clone() }));
        events
    }
}

fn length(event: &Event) -> Result<(), String> {
    match event {
        Event::Message { content, .. } | Event::ReplyEnded { content, .. }
            if reply::written_bytes(content) > reply::MAX_BYTES + NAMED =>
        {
            Err(format!("has more text than the {} bytes of a reply", reply::MAX_BYTES))
        }
        _ => Ok(()),
    }
}
