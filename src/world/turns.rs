//! The life of a turn, as decisions: it waits, it starts or is refused at the limit, it ends; it is cancelled.

use std::collections::BTreeMap;

use super::{
    command::Answer,
    decide::{Context, Decision, WhenFull, message_not_found},
    event::{Event, Reply, Ticket},
    routing::{Speaker, first_mention},
    state::{Known, Turn, World, posts, status_after},
    time::timestamp,
};
use crate::{
    error::Failure,
    protocol::{ErrorInfo, FinishReason, MessageId, SenderType, Usage},
};

/// How a reply ended, as the provider or whoever stopped it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub content: String,
    pub finish_reason: FinishReason,
    /// Exactly when `finish_reason` is `error`.
    pub error: Option<ErrorInfo>,
    pub usage: Option<Usage>,
}

impl Ending {
    pub fn stopped(content: String, finish_reason: FinishReason) -> Self {
        Self { content, finish_reason, error: None, usage: None }
    }
}

impl World {
    /// The turn of that reply, whether it waits or runs.
    pub fn find_turn(&self, reply: &MessageId) -> Option<&Turn> {
        let waiting = self.agents().flat_map(|agent| &agent.waiting);
        waiting.chain(self.agents().filter_map(|agent| agent.running.as_ref())).find(|t| t.reply.message_id == *reply)
    }

    /// The next turn of `agent_name` starts, or is over at the turn limit. `None`: nothing waits, or one runs.
    pub fn start_turn(&self, agent_name: &str, context: &mut Context<'_>) -> Option<Vec<Event>> {
        let agent = self.agent(agent_name)?;
        let turn = agent.waiting.front().filter(|_| agent.running.is_none())?;
        let reply = &turn.reply;
        let count = agent.public.llm_call_count;
        if count.get() < self.turn_limit.get() {
            return Some(vec![Event::ReplyStarted { reply: reply.clone(), claim: context.claim }]);
        }
        let content =
            format!("@human Turn limit reached ({count} LLM calls). Please take control of the conversation.");
        let mut events = vec![
            system_message((context.mint)(), content, reply),
            Event::TurnLimitReached {
                agent_name: reply.agent_name.clone(),
                reply_id: reply.message_id.clone(),
                root_id: reply.root_id.clone(),
                count,
            },
        ];
        events.extend(self.settled(&reply.root_id, 1, 0));
        Some(events)
    }

    /// A running reply ends: what is posted, who is woken by it, what becomes of the agent and of the question.
    /// `None`: it does not run (any more), so there is nothing to end.
    pub fn end_turn(&self, id: &MessageId, ending: Ending, context: &mut Context<'_>) -> Option<Vec<Event>> {
        let turn = self.running(id)?;
        let reply = &turn.reply;
        let mut events = Vec::new();
        let mut woken = 0;
        let raw = ending.content.clone();
        events.extend(self.ended(turn, ending, context));
        if let Some(Event::ReplyEnded { finish_reason, .. }) = events.first()
            && posts(*finish_reason)
        {
            woken = self.post(turn, raw, &mut events, context);
        }
        events.extend(self.settled(&reply.root_id, 1, woken));
        Some(events)
    }

    /// The end itself, and the agent's new status if that changed.
    fn ended(&self, turn: &Turn, ending: Ending, context: &Context<'_>) -> Vec<Event> {
        let Ending { content, finish_reason, error, usage } = ending;
        let mut after = None;
        if let Some(agent) = self.agent(turn.reply.agent_name.as_str())
            && let Some(status) = status_after(agent.public.status, error.as_ref())
        {
            let mut agent = agent.public.clone();
            agent.status = status;
            agent.last_active = Some(timestamp(context.at_ms));
            after = Some(Event::AgentUpdated { agent });
        }
        let end = Event::ReplyEnded { reply: turn.reply.clone(), content, finish_reason, error, usage };
        std::iter::once(end).chain(after).collect()
    }

    /// Posts a reply as what the world hears. Returns how many turns it queued.
    fn post(&self, turn: &Turn, raw: String, events: &mut Vec<Event>, context: &mut Context<'_>) -> u32 {
        let reply = &turn.reply;
        let agent = reply.agent_name.as_str();
        if passes(&raw) {
            let content = format!("@human {agent} is passing control to you");
            events.push(system_message(reply.message_id.clone(), content, reply));
            events.push(Event::Passed { agent_name: reply.agent_name.clone() });
            return 0;
        }
        let content = match &turn.woken_by {
            Some(sender) if first_mention(&raw).is_none() => format!("@{} {raw}", sender.as_str()),
            _ => raw,
        };
        events.push(Event::Message {
            message_id: reply.message_id.clone(),
            sender: agent.to_owned(),
            sender_type: SenderType::Agent,
            content: content.clone(),
            in_reply_to: Some(reply.in_reply_to.clone()),
            root_id: reply.root_id.clone(),
            display_name: None,
        });
        let speaker = Speaker::Agent(agent);
        let (id, root) = (&reply.message_id, &reply.root_id);
        let turns = self.wake(id, root, speaker, &content, None, WhenFull::Skip, events, context);
        turns.map_or(0, |turns| turns.len() as u32)
    }

    /// `chat_cancel`: one reply, all turns of a chat message's root, or everything.
    pub(super) fn cancel(&self, id: Option<&MessageId>, context: &mut Context<'_>) -> Result<Decision, Failure> {
        let root = match id.map(|id| (id, self.known(id))) {
            Some((_, Some(Known::Message { root_id }))) => Some(root_id),
            // A root is known for as long as it is busy, however much was said since.
            Some((id, None)) if self.turns_of(id) > 0 => Some(id),
            Some((id, None)) if self.find_turn(id).is_none() => return Err(message_not_found()),
            _ => None,
        };
        let meant = |turn: &&Turn| match (id, root) {
            (None, _) => true,
            (Some(_), Some(root)) => turn.reply.root_id == *root,
            (Some(id), None) => turn.reply.message_id == *id,
        };
        let waiting: Vec<_> = self.agents().flat_map(|agent| &agent.waiting).filter(meant).collect();
        let running: Vec<_> = self.agents().filter_map(|agent| agent.running.as_ref()).filter(meant).collect();
        let answer = Answer::Cancelled {
            message_ids: running.iter().map(|turn| turn.reply.message_id.clone()).collect(),
            dropped: waiting.len() as u64,
        };
        let events = self.end_turns(&waiting, &running, FinishReason::Cancelled, context);
        Ok(Decision { events, secrets: Vec::new(), answer })
    }

    /// Ends running turns and drops waiting ones.
    pub(super) fn end_turns(
        &self,
        waiting: &[&Turn],
        running: &[&Turn],
        how: FinishReason,
        context: &Context<'_>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for turn in running {
            let text = (context.text_of)(&turn.reply.message_id);
            events.extend(self.ended(turn, Ending::stopped(text, how), context));
        }
        events.extend(self.drop_turns(waiting, running));
        events
    }

    /// Drops waiting turns; settles the roots that are left without any turn, now that `ended` are over too.
    pub(super) fn drop_turns(&self, waiting: &[&Turn], ended: &[&Turn]) -> Vec<Event> {
        let mut roots: BTreeMap<&MessageId, (Vec<Ticket>, u32)> = BTreeMap::new();
        for turn in waiting {
            roots.entry(&turn.reply.root_id).or_default().0.push(ticket(&turn.reply));
        }
        for turn in ended {
            roots.entry(&turn.reply.root_id).or_default().1 += 1;
        }
        let mut events = Vec::new();
        for (root_id, (turns, ended)) in roots {
            let leaving = turns.len() as u32 + ended;
            if !turns.is_empty() {
                events.push(Event::TurnsDropped { turns, root_id: root_id.clone() });
            }
            events.extend(self.settled(root_id, leaving, 0));
        }
        events
    }

    /// `Settled`, if the root has no turn left once `leaving` are gone and `joining` have come.
    fn settled(&self, root_id: &MessageId, leaving: u32, joining: u32) -> Option<Event> {
        let left = (self.turns_of(root_id) + joining).saturating_sub(leaving);
        (left == 0).then(|| Event::Settled { root_id: root_id.clone() })
    }
}

fn ticket(reply: &Reply) -> Ticket {
    Ticket { agent_name: reply.agent_name.clone(), reply_id: reply.message_id.clone() }
}

/// A message of the world itself, in the chain of `reply`. It wakes nobody.
fn system_message(message_id: MessageId, content: String, reply: &Reply) -> Event {
    Event::Message {
        message_id,
        sender: "system".to_owned(),
        sender_type: SenderType::World,
        content,
        in_reply_to: Some(reply.in_reply_to.clone()),
        root_id: reply.root_id.clone(),
        display_name: None,
    }
}

/// Whether a reply hands over to the human.
fn passes(reply: &str) -> bool {
    const MARK: &str = "<world>pass</world>";
    reply.as_bytes().windows(MARK.len()).any(|window| window.eq_ignore_ascii_case(MARK.as_bytes()))
}
