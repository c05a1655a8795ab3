//! [`World`]: the state that a world's log folds into. No I/O, no clock, no randomness: [`World::apply`] takes
//! an event and the time it was appended. What may happen next is decided in [`super::decide`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    event::{Event, Reply, Ticket},
    memory::{Memory, MemoryItem},
    time::timestamp,
};
use crate::protocol::{
    Agent, AgentName, AgentStatus, Count, ErrorInfo, FinishReason, MessageId, SenderType, TemplateName, Title,
    TurnLimit,
};

/// Messages and replies whose ids a world still knows, for `chat_cancel` and `chat_retry`; older ones answer
/// `MESSAGE_NOT_FOUND`.
pub const REMEMBERED: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub template_name: TemplateName,
    pub title: Option<Title>,
    pub turn_limit: TurnLimit,
    /// `seq` of the last event applied.
    pub head: u64,
    agents: Vec<AgentState>,
    /// Roots that are busy, with the number of their turns that wait or run.
    roots: BTreeMap<MessageId, u32>,
    recent: Recent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    pub public: Agent,
    pub memory: Memory,
    /// Model calls ever; those since a person last spoke are the agent's public `llmCallCount`.
    pub calls: u64,
    pub waiting: VecDeque<Turn>,
    pub running: Option<Turn>,
}

/// A turn that waits or runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub reply: Reply,
    /// The message that woke the agent; kept here because memory may be cleared or outrun meanwhile.
    #[serde(with = "super::snapshot::item")]
    pub waking: Option<Arc<MemoryItem>>,
    /// Who said it, when that was another agent.
    pub woken_by: Option<AgentName>,
    /// Under which ticket it runs, in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<u64>,
}

/// The ids of the last [`REMEMBERED`] messages and replies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Recent {
    order: VecDeque<MessageId>,
    known: BTreeMap<MessageId, Known>,
}

/// What a world remembers of a message id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Known {
    /// A chat message, and the root of its chain.
    Message { root_id: MessageId },
    /// A reply that never started, and never will.
    Dropped,
    /// A reply that has ended, how, and the message it answered while that can be asked again.
    Ended {
        reply: Reply,
        finish_reason: FinishReason,
        #[serde(with = "super::snapshot::item")]
        waking: Option<Arc<MemoryItem>>,
        woken_by: Option<AgentName>,
    },
}

impl Recent {
    /// A posted reply is known as the reply it was, not as the message that it became.
    fn insert_message(&mut self, id: &MessageId, root_id: &MessageId) {
        if !self.known.contains_key(id) {
            self.insert(id.clone(), Known::Message { root_id: root_id.clone() });
        }
    }

    fn insert(&mut self, id: MessageId, known: Known) {
        if self.known.insert(id.clone(), known).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl World {
    /// A world before its first event. `template_name` and `turn_limit` are what `WorldCreated` will say.
    pub fn new(template_name: TemplateName, turn_limit: TurnLimit) -> Self {
        Self {
            template_name,
            title: None,
            turn_limit,
            head: 0,
            agents: Vec::new(),
            roots: BTreeMap::new(),
            recent: Recent::default(),
        }
    }

    pub fn agents(&self) -> impl Iterator<Item = &AgentState> {
        self.agents.iter()
    }

    /// The agent of that name, in any ASCII case.
    pub fn agent(&self, name: &str) -> Option<&AgentState> {
        self.agents.iter().find(|agent| agent.public.name.as_str().eq_ignore_ascii_case(name))
    }

    pub fn public_agents(&self) -> Vec<Agent> {
        self.agents.iter().map(|agent| agent.public.clone()).collect()
    }

    pub fn known(&self, id: &MessageId) -> Option<&Known> {
        self.recent.known.get(id)
    }

    /// Turns of this root that wait or run.
    pub fn turns_of(&self, root: &MessageId) -> u32 {
        self.roots.get(root).copied().unwrap_or(0)
    }

    pub fn busy_roots(&self) -> impl Iterator<Item = &MessageId> {
        self.roots.keys()
    }

    pub fn is_busy(&self) -> bool {
        !self.roots.is_empty()
    }

    /// The running turn of that reply.
    pub fn running(&self, reply: &MessageId) -> Option<&Turn> {
        self.agents.iter().filter_map(|agent| agent.running.as_ref()).find(|turn| turn.reply.message_id == *reply)
    }

    /// Folds one event in. `at_ms` is when it was appended, Unix milliseconds.
    pub fn apply(&mut self, seq: u64, at_ms: i64, event: &Event) {
        self.head = seq;
        match event {
            Event::WorldCreated { template_name, title, turn_limit } => {
                self.template_name = template_name.clone();
                self.title = title.clone();
                self.turn_limit = *turn_limit;
            }
            Event::WorldUpdated { title, turn_limit } => {
                self.title = title.clone();
                self.turn_limit = *turn_limit;
            }
            Event::AgentCreated { agent } => self.agents.push(AgentState {
                public: agent.clone(),
                memory: Memory::default(),
                calls: 0,
                waiting: VecDeque::new(),
                running: None,
            }),
            Event::AgentUpdated { agent } => {
                if let Some(state) = self.agent_mut(&agent.name) {
                    state.public = agent.clone();
                }
            }
            Event::AgentDeleted { agent_name } => self.agents.retain(|agent| agent.public.name != *agent_name),
            Event::MemoryCleared { agent_name } => {
                if let Some(agent) = self.agent_mut(agent_name) {
                    agent.memory.clear();
                }
            }
            Event::Message { message_id, sender, sender_type, content, root_id, display_name, .. } => {
                let item = MemoryItem {
                    message_id: message_id.clone(),
                    speaker: sender.clone(),
                    name: display_name.clone(),
                    content: content.clone(),
                };
                self.hear(item, *sender_type);
                self.recent.insert_message(message_id, root_id);
            }
            Event::Routed { message_id, root_id, turns, retry_of } => {
                self.queue(message_id, root_id, turns, retry_of.as_ref());
            }
            Event::TurnLimitReached { agent_name, reply_id, root_id, .. } => {
                self.drop_waiting(agent_name, reply_id, root_id);
            }
            Event::TurnsDropped { turns, root_id } => {
                for turn in turns {
                    self.drop_waiting(&turn.agent_name, &turn.reply_id, root_id);
                }
            }
            Event::ReplyStarted { reply, claim } => self.start(reply, *claim, at_ms),
            Event::ReplyEnded { reply, content, finish_reason, .. } => {
                self.end(reply, content, *finish_reason, at_ms);
            }
            Event::Settled { root_id } => {
                self.roots.remove(root_id);
            }
            Event::WorldReloaded {}
            | Event::NoRecipient { .. }
            | Event::QueueFull { .. }
            | Event::Passed { .. }
            | Event::ProviderChosen { .. } => {}
        }
    }

    fn agent_mut(&mut self, name: &AgentName) -> Option<&mut AgentState> {
        self.agents.iter_mut().find(|agent| agent.public.name == *name)
    }

    /// Every agent remembers it; a person's message gives all of them their turns back first.
    fn hear(&mut self, item: MemoryItem, sender_type: SenderType) {
        let item = Arc::new(item);
        for agent in &mut self.agents {
            if sender_type == SenderType::Human {
                agent.public.llm_call_count = Count::saturating(0);
            }
            agent.memory.push(item.clone());
        }
    }

    fn queue(&mut self, message_id: &MessageId, root_id: &MessageId, turns: &[Ticket], retry_of: Option<&MessageId>) {
        let retried = retry_of.and_then(|id| match self.recent.known.get(id) {
            Some(Known::Ended { waking, woken_by, .. }) => Some((waking.clone(), woken_by.clone())),
            _ => None,
        });
        if retry_of.is_some() {
            self.agents.iter_mut().for_each(|agent| agent.public.llm_call_count = Count::saturating(0));
        }
        for ticket in turns {
            let waking = match &retried {
                Some(known) => known.clone(),
                None => {
                    let waking =
                        self.agent(ticket.agent_name.as_str()).and_then(|a| a.memory.find(message_id)).cloned();
                    let woken_by = waking
                        .as_ref()
                        .and_then(|item| self.agent(&item.speaker))
                        .map(|agent| agent.public.name.clone());
                    (waking, woken_by)
                }
            };
            let Some(agent) = self.agent_mut(&ticket.agent_name) else { continue };
            agent.waiting.push_back(Turn {
                reply: Reply {
                    agent_name: ticket.agent_name.clone(),
                    message_id: ticket.reply_id.clone(),
                    in_reply_to: message_id.clone(),
                    root_id: root_id.clone(),
                },
                waking: waking.0,
                woken_by: waking.1,
                claim: None,
            });
            *self.roots.entry(root_id.clone()).or_default() += 1;
        }
    }

    fn take_waiting(&mut self, agent: &AgentName, reply: &MessageId) -> Option<Turn> {
        let agent = self.agent_mut(agent)?;
        let at = agent.waiting.iter().position(|turn| turn.reply.message_id == *reply)?;
        agent.waiting.remove(at)
    }

    fn drop_waiting(&mut self, agent: &AgentName, reply: &MessageId, root: &MessageId) {
        if self.take_waiting(agent, reply).is_some() {
            self.leave_root(root);
            self.recent.insert(reply.clone(), Known::Dropped);
        }
    }

    /// One turn fewer; the root stays known as busy until `Settled` says that it is not.
    fn leave_root(&mut self, root: &MessageId) {
        if let Some(turns) = self.roots.get_mut(root) {
            *turns = turns.saturating_sub(1);
        }
    }

    fn start(&mut self, reply: &Reply, claim: Option<u64>, at_ms: i64) {
        let turn = self.take_waiting(&reply.agent_name, &reply.message_id).map(|turn| Turn { claim, ..turn });
        if let Some(agent) = self.agent_mut(&reply.agent_name) {
            agent.running = turn;
            agent.calls += 1;
            agent.public.llm_call_count = Count::saturating(agent.public.llm_call_count.get() + 1);
            agent.public.last_llm_call = Some(timestamp(at_ms));
            agent.public.last_active = Some(timestamp(at_ms));
        }
    }

    fn end(&mut self, reply: &Reply, content: &str, finish_reason: FinishReason, at_ms: i64) {
        let mut turn = None;
        if let Some(agent) = self.agent_mut(&reply.agent_name) {
            turn = agent.running.take();
            agent.public.last_active = Some(timestamp(at_ms));
            if posts(finish_reason) {
                agent.memory.push(Arc::new(MemoryItem {
                    message_id: reply.message_id.clone(),
                    speaker: reply.agent_name.to_string(),
                    name: None,
                    content: content.to_owned(),
                }));
            }
        }
        if turn.is_some() {
            self.leave_root(&reply.root_id);
        }
        // Only what may be retried needs the message that it answered.
        let (waking, woken_by) = match turn {
            Some(turn) if !posts(finish_reason) => (turn.waking, turn.woken_by),
            _ => (None, None),
        };
        let known = Known::Ended { reply: reply.clone(), finish_reason, waking, woken_by };
        self.recent.insert(reply.message_id.clone(), known);
    }
}

/// Whether a reply that ended so is posted as a message, remembered, and may wake others.
pub fn posts(finish_reason: FinishReason) -> bool {
    matches!(finish_reason, FinishReason::Stop | FinishReason::Length)
}

/// The status an agent has after a reply that ended so, if that is a change.
pub fn status_after(current: AgentStatus, error: Option<&ErrorInfo>) -> Option<AgentStatus> {
    match (current, error) {
        (AgentStatus::Active, Some(_)) => Some(AgentStatus::Error),
        (AgentStatus::Error, None) => Some(AgentStatus::Active),
        _ => None,
    }
}
