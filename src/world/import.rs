//! [`Import`]: what a log from outside is held to before it becomes a world's. It holds nothing that this server would
//! not have written, and when it is taken in, nothing is under way.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    decide::{Context, QUEUE},
    event::{Event, Reply, Ticket},
    publish::frame,
    reply,
    state::{AgentState, Turn, World},
    time::now_ms,
};
use crate::protocol::{
    AgentName, FinishReason, MessageId, SenderType, TemplateName, Title, TurnLimit, Violation, WorldName, codec,
};

/// Bytes that a posted reply has more than the reply: whom it answers.
const NAMED: usize = 66;
/// The last millisecond that a timestamp can say: the end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

pub struct Import {
    name: WorldName,
    world: World,
    /// Of records, messages, and replies: none comes twice.
    ids: HashSet<Uuid>,
    messages: HashSet<MessageId>,
    replies: HashSet<MessageId>,
}

impl Import {
    /// `name`: what the world will be called.
    pub fn new(name: WorldName, template: TemplateName) -> Self {
        let world = World::new(template, TurnLimit::saturating(1));
        Self { name, world, ids: HashSet::new(), messages: HashSet::new(), replies: HashSet::new() }
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
        if id.get_version_num() != 7 || !self.ids.insert(id) {
            return Err("has an id that is no UUID of version 7, or that of another record".to_owned());
        }
        if !(0..=LAST_MS).contains(&at_ms) {
            return Err("has a time outside of the years 1970 to 9999".to_owned());
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
    fn check(&mut self, event: &Event) -> Result<(), String> {
        let reason = match event {
            Event::WorldCreated { template_name, .. } if *template_name != self.world.template_name => {
                "names another template than the first line"
            }
            Event::AgentCreated { agent } => {
                let room = self.world.has_room_for(&agent.name);
                return room.map_err(|reason| format!("makes an agent that cannot be: {reason}"));
            }
            Event::AgentUpdated { agent } if !self.has(&agent.name) => "changes an agent that is not there",
            Event::AgentDeleted { agent_name } if !self.is_idle(agent_name) => {
                "deletes an agent that is not there, or that has turns"
            }
            Event::Message { message_id, sender, sender_type, .. } => match sender_type {
                SenderType::Human if sender != "human" => "has a sender that is not the human",
                SenderType::World if sender != "system" => "has a sender that is not the system",
                SenderType::Agent if AgentName::new(sender.as_str()).is_err() => "has a sender that is no agent",
                _ if !self.messages.insert(message_id.clone()) => "has the id of another message",
                _ => return length(event),
            },
            Event::Routed { turns, .. } if !self.may_wait(turns) => {
                "queues a turn of an agent that is not there or has enough, or under the id of another reply"
            }
            Event::TurnLimitReached { agent_name, reply_id, root_id, .. }
                if !self.waits(agent_name, reply_id, root_id) =>
            {
                "ends a turn that does not wait"
            }
            Event::TurnsDropped { turns, root_id }
                if !turns.iter().all(|turn| self.waits(&turn.agent_name, &turn.reply_id, root_id)) =>
            {
                "drops a turn that does not wait"
            }
            Event::ReplyStarted { reply, .. } if !self.may_start(reply) => {
                "starts a reply that does not wait, or of an agent that gives another one"
            }
            Event::ReplyEnded { reply, .. }
                if self.world.running(&reply.message_id).is_none_or(|t| t.reply != *reply) =>
            {
                "ends a reply that does not run"
            }
            Event::Settled { root_id } if self.world.turns_of(root_id) > 0 => "settles what is under way",
            _ => return length(event),
        };
        Err(reason.to_owned())
    }

    /// Whether these turns are new, and there is room for all of them.
    fn may_wait(&mut self, turns: &[Ticket]) -> bool {
        turns.iter().all(|turn| {
            let joining = turns.iter().filter(|other| other.agent_name == turn.agent_name).count();
            let room = self.named(&turn.agent_name).is_some_and(|agent| agent.waiting.len() + joining <= QUEUE);
            room && self.replies.insert(turn.reply_id.clone())
        })
    }

    fn may_start(&self, reply: &Reply) -> bool {
        let free = self.named(&reply.agent_name).filter(|agent| agent.running.is_none());
        free.is_some_and(|agent| agent.waiting.iter().any(|turn| turn.reply == *reply))
    }

    fn waits(&self, agent: &AgentName, reply: &MessageId, root: &MessageId) -> bool {
        let meant = |turn: &Turn| turn.reply.message_id == *reply && turn.reply.root_id == *root;
        self.named(agent).is_some_and(|agent| agent.waiting.iter().any(meant))
    }

    fn is_idle(&self, name: &AgentName) -> bool {
        self.named(name).is_some_and(|agent| agent.running.is_none() && agent.waiting.is_empty())
    }

    fn named(&self, name: &AgentName) -> Option<&AgentState> {
        self.world.agent(name.as_str()).filter(|agent| agent.public.name == *name)
    }

    fn has(&self, name: &AgentName) -> bool {
        self.named(name).is_some()
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
