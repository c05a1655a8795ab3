//! What may happen next: [`World::decide`] turns a command into events, and changes nothing itself.
//!
//! Turns have their own file, [`super::turns`]; the rules are those of docs/PROTOCOL.md §6.

use super::{
    command::{AgentChange, Answer, Command},
    event::{Event, Ticket},
    routing::{Speaker, is_human_word, is_reserved, route},
    state::{AgentState, Known, World},
    time::timestamp,
};
use crate::{
    error::Failure,
    protocol::{
        Agent, AgentConfig, AgentConfigUpdate, AgentDefinitionConfig, AgentName, AgentStatus, ChatContent, Count,
        DisplayName, ErrorCode, FinishReason, MessageId, Patch, SenderName, SenderType, WritableStatus,
    },
};

/// Turns that may wait for one agent.
pub const QUEUE: usize = 32;
/// Agents that a world may hold.
pub const MAX_AGENTS: usize = 64;

/// What a decision may use of the world outside: the time, and fresh ids.
pub struct Context<'a> {
    pub at_ms: i64,
    pub mint: &'a mut (dyn FnMut() -> MessageId + Send),
    /// The text so far of a running reply.
    pub text_of: &'a (dyn Fn(&MessageId) -> String + Sync),
    /// Under which ticket turns start, in a cluster.
    pub claim: Option<u64>,
}

/// Events to append, secrets to write with them, and the answer once they are durable.
#[derive(Debug)]
pub struct Decision {
    pub events: Vec<Event>,
    pub secrets: Vec<SecretChange>,
    pub answer: Answer,
}

/// An agent's key is set, or forgotten.
#[derive(Debug)]
pub struct SecretChange {
    pub agent_name: AgentName,
    pub api_key: Option<String>,
}

impl Decision {
    pub(super) fn done(events: Vec<Event>) -> Self {
        Self { events, secrets: Vec::new(), answer: Answer::Done }
    }
}

/// What routing does when an agent's queue is full.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum WhenFull {
    Refuse,
    Skip,
}

impl World {
    /// Decides `command` against the world as it is. The events are not applied.
    pub fn decide(&self, command: &Command, context: &mut Context<'_>) -> Result<Decision, Failure> {
        match command {
            Command::Chat { content, sender, display_name, target_agent } => {
                self.chat(content, sender, display_name.as_ref(), target_agent.as_ref(), context)
            }
            Command::Retry { message_id } => self.retry(message_id, context),
            Command::Cancel { message_id } => self.cancel(message_id.as_ref(), context),
            Command::CreateAgent { name, status, config } => self.create_agent(name, *status, config, context),
            Command::UpdateAgent(change) => self.update_agent(change),
            Command::DeleteAgent { agent_name } => self.delete_agent(agent_name, context),
            Command::UpdateWorld { title, turn_limit } => {
                let title = match title {
                    Patch::Absent => self.title.clone(),
                    Patch::Null => None,
                    Patch::Value(title) => Some(title.clone()),
                };
                let turn_limit = turn_limit.unwrap_or(self.turn_limit);
                Ok(Decision::done(vec![Event::WorldUpdated { title, turn_limit }]))
            }
            Command::Reload => Ok(Decision::done(vec![Event::WorldReloaded {}])),
        }
    }

    /// The agent of that name, in any case.
    pub fn require_agent(&self, name: &str) -> Result<&AgentState, Failure> {
        self.agent(name).ok_or_else(|| {
            Failure::new(ErrorCode::AgentNotFound, "this world has no agent of that name; GET its agents for the list")
        })
    }

    fn chat(
        &self,
        content: &ChatContent,
        sender: &SenderName,
        display_name: Option<&DisplayName>,
        target: Option<&AgentName>,
        context: &mut Context<'_>,
    ) -> Result<Decision, Failure> {
        let speaker = match is_human_word(sender.as_str()) {
            true => Speaker::Human,
            false => {
                let agent = self.agent(sender.as_str()).ok_or_else(|| {
                    let text =
                        "sender is neither HUMAN nor an agent of this world; a person's name goes into displayName";
                    Failure::new(ErrorCode::AgentNotFound, text)
                })?;
                Speaker::Agent(agent.public.name.as_str())
            }
        };
        if let Some(target) = target {
            self.require_agent(target.as_str())?;
        }
        let message_id = (context.mint)();
        let (sender, sender_type) = match speaker {
            Speaker::Human => ("human".to_owned(), SenderType::Human),
            Speaker::Agent(name) => (name.to_owned(), SenderType::Agent),
        };
        let mut events = vec![Event::Message {
            message_id: message_id.clone(),
            sender,
            sender_type,
            content: content.to_string(),
            in_reply_to: None,
            root_id: message_id.clone(),
            display_name: display_name.cloned(),
        }];
        let turns =
            self.wake(&message_id, &message_id, speaker, content, target, WhenFull::Refuse, &mut events, context)?;
        if turns.is_empty() {
            events.push(Event::Settled { root_id: message_id.clone() });
        }
        let answering = turns.into_iter().map(|turn| turn.agent_name).collect();
        let answer = Answer::Accepted { message_id, seq: self.head + 1, answering };
        Ok(Decision { events, secrets: Vec::new(), answer })
    }

    /// Routes a message that was just posted: pushes what follows from it, and returns the turns it queued.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the message being routed")]
    pub(super) fn wake(
        &self,
        message_id: &MessageId,
        root_id: &MessageId,
        speaker: Speaker<'_>,
        content: &str,
        target: Option<&AgentName>,
        when_full: WhenFull,
        events: &mut Vec<Event>,
        context: &mut Context<'_>,
    ) -> Result<Vec<Ticket>, Failure> {
        let found = route(self, speaker, content, target);
        let nobody = found.answering.is_empty();
        let mut turns = Vec::new();
        for agent_name in found.answering {
            let waiting = self.agent(agent_name.as_str()).map_or(0, |agent| agent.waiting.len());
            if waiting < QUEUE {
                turns.push(Ticket { agent_name, reply_id: (context.mint)() });
            } else if when_full == WhenFull::Refuse {
                return Err(overloaded(&agent_name));
            } else {
                events.push(Event::QueueFull { message_id: message_id.clone(), agent_name });
            }
        }
        if !turns.is_empty() {
            let (message_id, root_id) = (message_id.clone(), root_id.clone());
            events.push(Event::Routed { message_id, root_id, turns: turns.clone(), retry_of: None });
        }
        // An agent that names nobody, or the human, speaks to the human: nothing to explain.
        let expected = speaker != Speaker::Human && target.is_none() && found.mention.is_none_or(is_human_word);
        if nobody && !expected {
            let mention = found.mention.map(str::to_owned);
            events.push(Event::NoRecipient { message_id: message_id.clone(), mention });
        }
        Ok(turns)
    }

    fn retry(&self, id: &MessageId, context: &mut Context<'_>) -> Result<Decision, Failure> {
        let reply = match self.known(id) {
            Some(Known::Ended { reply, finish_reason, .. }) if !super::state::posts(*finish_reason) => reply,
            Some(_) => {
                let text = "only a reply that failed, was cancelled or was interrupted can be retried";
                return Err(Failure::new(ErrorCode::Conflict, text));
            }
            None if self.find_turn(id).is_some() => {
                return Err(Failure::new(ErrorCode::Conflict, "this reply has not ended yet"));
            }
            None => return Err(message_not_found()),
        };
        let agent = self.require_agent(reply.agent_name.as_str())?;
        if agent.public.status == AgentStatus::Inactive {
            return Err(Failure::new(ErrorCode::Conflict, "the agent is inactive; set it active, then retry"));
        }
        if agent.waiting.len() >= QUEUE {
            return Err(overloaded(&agent.public.name));
        }
        let turn = Ticket { agent_name: agent.public.name.clone(), reply_id: (context.mint)() };
        let answer = Answer::Accepted {
            message_id: turn.reply_id.clone(),
            seq: self.head + 1,
            answering: vec![turn.agent_name.clone()],
        };
        let event = Event::Routed {
            message_id: reply.in_reply_to.clone(),
            root_id: reply.root_id.clone(),
            turns: vec![turn],
            retry_of: Some(id.clone()),
        };
        Ok(Decision { events: vec![event], secrets: Vec::new(), answer })
    }

    fn create_agent(
        &self,
        name: &AgentName,
        status: WritableStatus,
        config: &AgentDefinitionConfig,
        context: &Context<'_>,
    ) -> Result<Decision, Failure> {
        self.has_room_for(name).map_err(|reason| Failure::new(ErrorCode::Conflict, reason))?;
        let agent = new_agent(name.clone(), status, config, context.at_ms);
        let secrets = match &config.api_key {
            Some(key) => vec![SecretChange { agent_name: name.clone(), api_key: Some(key.to_string()) }],
            None => Vec::new(),
        };
        Ok(Decision {
            events: vec![Event::AgentCreated { agent: agent.clone() }],
            secrets,
            answer: Answer::Agent { agent },
        })
    }

    /// Whether the world may have a new agent of that name; if not, why.
    pub(super) fn has_room_for(&self, name: &AgentName) -> Result<(), String> {
        if is_reserved(name.as_str()) {
            return Err("human, user, system and world are not names for an agent".to_owned());
        }
        if self.agent(name.as_str()).is_some() {
            return Err("this world has an agent of that name; names that differ only in case are one".to_owned());
        }
        if self.agents().count() >= MAX_AGENTS {
            return Err(format!("a world holds at most {MAX_AGENTS} agents"));
        }
        Ok(())
    }

    fn update_agent(&self, change: &AgentChange) -> Result<Decision, Failure> {
        let state = self.require_agent(change.agent_name.as_str())?;
        let mut agent = state.public.clone();
        let mut secrets = Vec::new();
        if let Some(update) = &change.config {
            secrets.extend(
                merge(&mut agent.config, update)
                    .map(|api_key| SecretChange { agent_name: agent.name.clone(), api_key }),
            );
        }
        if let Some(status) = change.status {
            agent.status = status_of(status);
        }
        let mut events = Vec::new();
        if agent.status == AgentStatus::Inactive && !state.waiting.is_empty() {
            let waiting: Vec<_> = state.waiting.iter().collect();
            events = self.drop_turns(&waiting, &[]);
        }
        events.push(Event::AgentUpdated { agent: agent.clone() });
        if change.clear_memory {
            events.push(Event::MemoryCleared { agent_name: agent.name.clone() });
        }
        Ok(Decision { events, secrets, answer: Answer::Agent { agent } })
    }

    fn delete_agent(&self, name: &AgentName, context: &mut Context<'_>) -> Result<Decision, Failure> {
        let state = self.require_agent(name.as_str())?;
        let waiting: Vec<_> = state.waiting.iter().collect();
        let running: Vec<_> = state.running.iter().collect();
        let mut events = self.end_turns(&waiting, &running, FinishReason::Cancelled, context);
        let agent_name = state.public.name.clone();
        events.push(Event::AgentDeleted { agent_name: agent_name.clone() });
        let secrets = vec![SecretChange { agent_name, api_key: None }];
        Ok(Decision { events, secrets, answer: Answer::Done })
    }
}

/// A new agent as the world shows it.
pub(super) fn new_agent(name: AgentName, status: WritableStatus, config: &AgentDefinitionConfig, at_ms: i64) -> Agent {
    Agent {
        name,
        status: status_of(status),
        config: AgentConfig {
            provider: config.provider,
            model: config.model.clone(),
            base_url: config.base_url.clone(),
            system_prompt: config.system_prompt.clone(),
            temperature: config.temperature,
            max_tokens: config.max_tokens,
            has_api_key: config.api_key.is_some(),
        },
        created_at: timestamp(at_ms),
        last_active: None,
        last_llm_call: None,
        llm_call_count: Count::saturating(0),
    }
}

fn status_of(status: WritableStatus) -> AgentStatus {
    match status {
        WritableStatus::Active => AgentStatus::Active,
        WritableStatus::Inactive => AgentStatus::Inactive,
    }
}

/// Merges the patch in. Returns what becomes of the key, if anything does: a key never follows an agent to
/// another provider or base URL than it was given for.
fn merge(config: &mut AgentConfig, update: &AgentConfigUpdate) -> Option<Option<String>> {
    let before = (config.provider, config.base_url.clone());
    if let Some(provider) = update.provider {
        config.provider = provider;
    }
    update.model.clone().apply(&mut config.model);
    update.base_url.clone().apply(&mut config.base_url);
    update.system_prompt.clone().apply(&mut config.system_prompt);
    update.temperature.clone().apply(&mut config.temperature);
    update.max_tokens.clone().apply(&mut config.max_tokens);
    let key = match &update.api_key {
        Patch::Value(key) => Some(Some(key.to_string())),
        Patch::Null => Some(None),
        Patch::Absent => ((config.provider, config.base_url.clone()) != before && config.has_api_key).then_some(None),
    };
    if let Some(key) = &key {
        config.has_api_key = key.is_some();
    }
    key
}

pub(super) fn message_not_found() -> Failure {
    Failure::new(ErrorCode::MessageNotFound, "this world knows no message of that id")
}

fn overloaded(agent: &AgentName) -> Failure {
    let text = format!("{QUEUE} turns already wait for {}", agent.as_str());
    Failure::new(ErrorCode::Overloaded, text).retry_after_ms(2_000)
}
