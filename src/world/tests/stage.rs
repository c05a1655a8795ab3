//! A [`Stage`]: a world without I/O, and the log it writes. What an actor would do by itself, a test does by hand:
//! start turns, end them, look at what was appended.

use serde::de::DeserializeOwned;

use crate::{
    error::Failure,
    protocol::{
        AgentDefinitionConfig, AgentName, AgentStatus, ChatContent, DisplayName, ErrorCode, ErrorInfo, FinishReason,
        MessageId, SenderName, TemplateName, Title, TurnLimit, WritableStatus,
    },
    world::{
        command::{AgentChange, Answer, Command},
        decide::{Context, Decision, SecretChange},
        event::Event,
        state::{AgentState, World},
        turns::Ending,
    },
};

/// When the first event of a stage was appended; each later append is a second later.
pub const START_MS: i64 = 1_768_471_200_000;

pub struct Stage {
    pub world: World,
    /// Every event, with the time it was appended.
    pub log: Vec<(i64, Event)>,
    /// What the last decision wrote beside its events.
    pub secrets: Vec<SecretChange>,
    minted: u64,
}

impl Stage {
    /// A world with these agents, all active, and the default turn limit.
    pub fn new(agents: &[&str]) -> Self {
        let world = World::new(template_name(), turn_limit(5));
        let mut stage = Self { world, log: Vec::new(), secrets: Vec::new(), minted: 0 };
        stage.take(vec![Event::WorldCreated {
            template_name: template_name(),
            title: Some(Title::try_from("A stage").unwrap()),
            turn_limit: turn_limit(5),
        }]);
        for agent in agents {
            stage.run(Command::CreateAgent { name: name(agent), status: WritableStatus::Active, config: script() });
        }
        stage
    }

    pub fn at_ms(&self) -> i64 {
        START_MS + self.log.len() as i64 * 1_000
    }

    /// Decides, and applies what was decided.
    pub fn try_run(&mut self, command: Command) -> Result<Answer, Failure> {
        let decision = self.decide(&command)?;
        self.secrets = decision.secrets;
        self.take(decision.events);
        Ok(decision.answer)
    }

    #[track_caller]
    pub fn run(&mut self, command: Command) -> Answer {
        self.try_run(command).unwrap()
    }

    #[track_caller]
    pub fn refused(&mut self, command: Command) -> ErrorCode {
        let before = (self.world.clone(), self.log.len());
        let code = self.try_run(command).unwrap_err().code;
        assert_eq!(before, (self.world.clone(), self.log.len()), "a refusal changes nothing");
        code
    }

    fn decide(&mut self, command: &Command) -> Result<Decision, Failure> {
        let at_ms = self.at_ms();
        let text_of = |_: &MessageId| "so far".to_owned();
        let mut mint = || next_id(&mut self.minted);
        self.world.decide(command, &mut Context { at_ms, mint: &mut mint, text_of: &text_of, claim: None })
    }

    /// Appends and applies.
    pub fn take(&mut self, events: Vec<Event>) {
        let at_ms = self.at_ms();
        for event in events {
            self.world.apply(self.world.head + 1, at_ms, &event);
            self.log.push((at_ms, event));
        }
        assert_eq!(self.world.head, self.log.len() as u64);
    }

    /// The events appended since the log was `from` long.
    pub fn since(&self, from: usize) -> Vec<Event> {
        self.log[from..].iter().map(|(_, event)| event.clone()).collect()
    }

    /// What the last append appended, by `kind` as it is stored.
    pub fn kinds_since(&self, from: usize) -> Vec<String> {
        self.since(from).iter().map(kind).collect()
    }

    // What people do.

    #[track_caller]
    pub fn chat(&mut self, content: &str) -> MessageId {
        self.say("HUMAN", content).0
    }

    /// What a person says under a name.
    #[track_caller]
    pub fn chat_as(&mut self, name: &str, content: &str) -> MessageId {
        accepted(self.run(chat_as(name, content))).0
    }

    /// Says something, and returns its id and who was woken.
    #[track_caller]
    pub fn say(&mut self, sender: &str, content: &str) -> (MessageId, Vec<String>) {
        accepted(self.run(chat(sender, content, None)))
    }

    #[track_caller]
    pub fn cancel(&mut self, id: Option<&MessageId>) -> (Vec<MessageId>, u64) {
        match self.run(Command::Cancel { message_id: id.cloned() }) {
            Answer::Cancelled { message_ids, dropped } => (message_ids, dropped),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn retry(&mut self, id: &MessageId) -> MessageId {
        accepted(self.run(Command::Retry { message_id: id.clone() })).0
    }

    #[track_caller]
    pub fn set_status(&mut self, agent: &str, status: WritableStatus) {
        self.run(Command::UpdateAgent(AgentChange {
            agent_name: name(agent),
            status: Some(status),
            config: None,
            clear_memory: false,
        }));
    }

    // What the actor does.

    /// Starts the next turn of an agent. `None`: nothing waited, one runs, or the limit was reached.
    pub fn start(&mut self, agent: &str) -> Option<MessageId> {
        let at_ms = self.at_ms();
        let text_of = |_: &MessageId| String::new();
        let mut mint = || next_id(&mut self.minted);
        let events =
            self.world.start_turn(agent, &mut Context { at_ms, mint: &mut mint, text_of: &text_of, claim: None })?;
        let started = events.iter().find_map(|event| match event {
            Event::ReplyStarted { reply, .. } => Some(reply.message_id.clone()),
            _ => None,
        });
        self.take(events);
        started
    }

    /// Ends a running reply. Whether there was one.
    pub fn end(&mut self, reply: &MessageId, ending: Ending) -> bool {
        let at_ms = self.at_ms();
        let text_of = |_: &MessageId| String::new();
        let mut mint = || next_id(&mut self.minted);
        let mut context = Context { at_ms, mint: &mut mint, text_of: &text_of, claim: None };
        match self.world.end_turn(reply, ending, &mut context) {
            Some(events) => {
                self.take(events);
                true
            }
            None => false,
        }
    }

    /// The agent's next turn starts and says `content`.
    #[track_caller]
    pub fn answer(&mut self, agent: &str, content: &str) -> MessageId {
        let reply = self.start(agent).expect("a turn of the agent waits");
        assert!(self.end(&reply, stop(content)));
        reply
    }

    // What can be seen.

    #[track_caller]
    pub fn agent(&self, agent: &str) -> &AgentState {
        self.world.agent(agent).expect("the agent is there")
    }

    #[track_caller]
    pub fn status(&self, agent: &str) -> AgentStatus {
        self.agent(agent).public.status
    }

    /// Who would start a turn now, in the order of agents.
    pub fn waiting(&self) -> Vec<String> {
        let waiting = self.world.agents().filter(|agent| !agent.waiting.is_empty());
        waiting.map(|agent| agent.public.name.to_string()).collect()
    }

    /// Everything said since the log was `from` long: who, and what.
    pub fn said_since(&self, from: usize) -> Vec<(String, String)> {
        let said = self.log[from..].iter().filter_map(|(_, event)| match event {
            Event::Message { sender, content, .. } => Some((sender.clone(), content.clone())),
            _ => None,
        });
        said.collect()
    }

    /// The roots that were settled since the log was `from` long.
    pub fn settled_since(&self, from: usize) -> Vec<MessageId> {
        let settled = self.log[from..].iter().filter_map(|(_, event)| match event {
            Event::Settled { root_id } => Some(root_id.clone()),
            _ => None,
        });
        settled.collect()
    }
}

pub fn chat(sender: &str, content: &str, target: Option<&str>) -> Command {
    Command::Chat {
        content: ChatContent::try_from(content).unwrap(),
        sender: SenderName::try_from(sender).unwrap(),
        display_name: None,
        target_agent: target.map(name),
    }
}

/// The same of a person with a name.
pub fn chat_as(name: &str, content: &str) -> Command {
    Command::Chat {
        content: ChatContent::try_from(content).unwrap(),
        sender: SenderName::try_from("human").unwrap(),
        display_name: Some(DisplayName::try_from(name).unwrap()),
        target_agent: None,
    }
}

#[track_caller]
pub fn accepted(answer: Answer) -> (MessageId, Vec<String>) {
    match answer {
        Answer::Accepted { message_id, answering, .. } => {
            (message_id, answering.iter().map(ToString::to_string).collect())
        }
        other => panic!("{other:?}"),
    }
}

pub fn stop(content: &str) -> Ending {
    Ending::stopped(content.to_owned(), FinishReason::Stop)
}

pub fn failure() -> Ending {
    Ending {
        content: "so f".to_owned(),
        finish_reason: FinishReason::Error,
        error: Some(ErrorInfo {
            code: ErrorCode::ProviderError,
            message: "the model is busy".to_owned(),
            retryable: true,
            retry_after_ms: None,
            details: None,
        }),
        usage: None,
    }
}

pub fn ended(finish_reason: FinishReason) -> Ending {
    match finish_reason {
        FinishReason::Error => failure(),
        other => Ending::stopped("so f".to_owned(), other),
    }
}

pub fn name(name: &str) -> AgentName {
    AgentName::try_from(name).unwrap()
}

pub fn script() -> AgentDefinitionConfig {
    json(r#"{"provider": "script"}"#)
}

pub fn turn_limit(limit: i64) -> TurnLimit {
    TurnLimit::try_from(limit).unwrap()
}

pub fn template_name() -> TemplateName {
    TemplateName::try_from("default-world").unwrap()
}

/// A value as a client would write it.
#[track_caller]
pub fn json<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

/// The `kind` that an event is stored under.
pub fn kind(event: &Event) -> String {
    let stored: serde_json::Value = serde_json::from_slice(&event.to_record().unwrap()).unwrap();
    stored["kind"].as_str().unwrap().to_owned()
}

pub fn id(n: u64) -> MessageId {
    MessageId::try_from(format!("00000000-0000-7000-8000-{n:012x}")).unwrap()
}

fn next_id(minted: &mut u64) -> MessageId {
    *minted += 1;
    id(*minted)
}
