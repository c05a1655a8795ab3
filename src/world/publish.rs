//! From a log record to what clients see. One pure function, used live and in replay, for WebSocket and SSE:
//! the durable frames of a world are the same bytes everywhere (docs/PROTOCOL.md §2).

use bytes::Bytes;
use uuid::Uuid;

use super::{
    event::{Event, Reply, Ticket},
    reply::Stretch,
    time::{now_ms, timestamp},
};
use crate::protocol::{
    self as wire, AgentFilter, AgentName, AgentNames, ChatResponse, EventKind, EventStream, MessageId, SenderType, Seq,
    ServerFrame, ServerMessage, StreamEventType, SystemAction, WorldAction, WorldName, codec,
};

/// One frame for every subscriber that its filter lets through.
#[derive(Clone, Debug)]
pub struct Push {
    pub bytes: Bytes,
    pub kind: EventKind,
    /// The agent that says or does it; none for people, the system and the world.
    pub about: Option<AgentName>,
    /// The root that this event settles.
    pub settles: Option<MessageId>,
    /// The reply that this event ends.
    pub ends: Option<MessageId>,
}

/// Which events a subscription receives.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    kinds: u8,
    agents: Option<AgentFilter>,
}

impl Filter {
    pub fn new(kinds: impl IntoIterator<Item = EventKind>, agents: Option<AgentFilter>) -> Self {
        Self { kinds: kinds.into_iter().fold(0, |mask, kind| mask | bit(kind)), agents }
    }

    /// What `world_select` subscribes to: everything but `system`.
    pub fn chat() -> Self {
        Self::new([EventKind::Message, EventKind::World, EventKind::Sse], None)
    }

    pub fn passes(&self, kind: EventKind, about: Option<&AgentName>) -> bool {
        if self.kinds & bit(kind) == 0 {
            return false;
        }
        match (&self.agents, about) {
            (Some(agents), Some(about)) if kind != EventKind::World => {
                agents.iter().any(|name| name.as_str().eq_ignore_ascii_case(about.as_str()))
            }
            _ => true,
        }
    }
}

fn bit(kind: EventKind) -> u8 {
    match kind {
        EventKind::Message => 1,
        EventKind::World => 2,
        EventKind::Sse => 4,
        EventKind::System => 8,
    }
}

/// What clients see of one record; `None` for records that are the server's own business.
pub fn publish(world_name: &WorldName, seq: u64, id: Uuid, at_ms: i64, event: &Event) -> Option<Push> {
    let (frame, kind, about) = frame(world_name, seq, id, at_ms, event)?;
    let (settles, ends) = match event {
        Event::Settled { root_id } => (Some(root_id.clone()), None),
        Event::ReplyEnded { reply, .. } => (None, Some(reply.message_id.clone())),
        _ => (None, None),
    };
    Some(Push { bytes: codec::encode(&frame), kind, about, settles, ends })
}

/// The frame of a record, its kind, and the agent that it is about.
pub(super) fn frame(
    world_name: &WorldName,
    seq: u64,
    id: Uuid,
    at_ms: i64,
    event: &Event,
) -> Option<(ServerFrame, EventKind, Option<AgentName>)> {
    let shape = shape(world_name, event)?;
    let message = match shape.body {
        Body::Chat(response) => response.into(),
        Body::Message(payload) => stream(
            world_name,
            StreamEventType::Message,
            wire::Event::Message(wire::MessageEvent {
                id,
                timestamp: timestamp(at_ms),
                sender: shape.sender,
                sender_type: shape.sender_type,
                payload,
            }),
        ),
        Body::World(payload) => stream(
            world_name,
            StreamEventType::World,
            wire::Event::World(wire::WorldEvent {
                id,
                timestamp: timestamp(at_ms),
                sender: shape.sender,
                sender_type: shape.sender_type,
                payload,
            }),
        ),
        Body::System(payload) => stream(
            world_name,
            StreamEventType::System,
            wire::Event::System(wire::SystemEvent {
                id,
                timestamp: timestamp(at_ms),
                sender: shape.sender,
                sender_type: shape.sender_type,
                payload,
            }),
        ),
    };
    let frame =
        ServerFrame { id, timestamp: timestamp(at_ms), reply_to: None, seq: Some(Seq::saturating(seq)), message };
    Some((frame, shape.kind, shape.about))
}

fn stream(world_name: &WorldName, event_type: StreamEventType, event: wire::Event) -> ServerMessage {
    EventStream { world_name: world_name.clone(), event, event_type }.into()
}

/// A live delta: text from an offset on. Made once for everyone who is up to date, or for one who is not.
pub fn delta(world_name: &WorldName, reply: &Reply, stretch: &Stretch) -> Bytes {
    let response = response(world_name, reply, stretch.text.clone(), stretch.offset, false);
    codec::encode(&ServerFrame {
        id: Uuid::now_v7(),
        timestamp: timestamp(now_ms()),
        reply_to: None,
        seq: None,
        message: response.into(),
    })
}

struct Shape {
    kind: EventKind,
    sender: wire::Sender,
    sender_type: SenderType,
    about: Option<AgentName>,
    body: Body,
}

enum Body {
    Message(wire::MessagePayload),
    World(WorldAction),
    System(SystemAction),
    Chat(ChatResponse),
}

impl Shape {
    fn world(action: WorldAction) -> Self {
        let sender = wire::Sender::trusted("world".to_owned());
        Self { kind: EventKind::World, sender, sender_type: SenderType::World, about: None, body: Body::World(action) }
    }

    fn system(about: Option<&AgentName>, action: SystemAction) -> Self {
        let sender = wire::Sender::trusted("system".to_owned());
        let (kind, about) = (EventKind::System, about.cloned());
        Self { kind, sender, sender_type: SenderType::World, about, body: Body::System(action) }
    }

    fn chat(reply: &Reply, response: ChatResponse) -> Self {
        let sender = wire::Sender::trusted(reply.agent_name.to_string());
        let about = Some(reply.agent_name.clone());
        Self { kind: EventKind::Sse, sender, sender_type: SenderType::Agent, about, body: Body::Chat(response) }
    }
}

fn shape(world_name: &WorldName, event: &Event) -> Option<Shape> {
    Some(match event {
        Event::Message { message_id, sender, sender_type, content, in_reply_to, root_id, display_name } => Shape {
            kind: EventKind::Message,
            sender: wire::Sender::trusted(sender.clone()),
            sender_type: *sender_type,
            about: (*sender_type == SenderType::Agent).then(|| AgentName::trusted(sender.clone())),

            body: Body::Message(wire::MessagePayload {
                content: content.clone(),
                message_id: message_id.clone(),
                in_reply_to: in_reply_to.clone(),
                root_id: root_id.clone(),
                display_name: display_name.clone(),
            }),
        },
        Event::WorldCreated { title, turn_limit, .. } => {
            Shape::world(WorldAction::WorldCreated(wire::WorldCreatedAction {
                title: title.clone(),
                turn_limit: *turn_limit,
            }))
        }
        Event::WorldUpdated { title, turn_limit } => {
            Shape::world(WorldAction::WorldUpdated(wire::WorldUpdatedAction {
                title: title.clone(),
                turn_limit: *turn_limit,
            }))
        }
        Event::WorldReloaded {} => Shape::world(WorldAction::WorldReload(wire::WorldReloadAction {})),
        Event::AgentCreated { agent } => {
            Shape::world(WorldAction::AgentCreated(wire::AgentCreatedAction { agent: agent.clone() }))
        }
        Event::AgentUpdated { agent } => {
            Shape::world(WorldAction::AgentUpdate(wire::AgentUpdateAction { agent: agent.clone() }))
        }
        Event::AgentDeleted { agent_name } => {
            Shape::world(WorldAction::AgentDeleted(wire::AgentDeletedAction { agent_name: agent_name.clone() }))
        }
        Event::MemoryCleared { agent_name } => {
            Shape::world(WorldAction::MemoryCleared(wire::MemoryClearedAction { agent_name: agent_name.clone() }))
        }
        Event::Settled { root_id } => {
            Shape::world(WorldAction::Settled(wire::SettledAction { root_id: root_id.clone() }))
        }
        Event::Routed { message_id, turns, .. } => Shape::system(
            None,
            SystemAction::Routed(wire::RoutedAction { message_id: message_id.clone(), answering: names(turns) }),
        ),
        Event::NoRecipient { message_id, mention } => Shape::system(
            None,
            SystemAction::NoRecipient(wire::NoRecipientAction {
                message_id: message_id.clone(),
                mention: mention.clone(),
            }),
        ),
        Event::QueueFull { message_id, agent_name } => Shape::system(
            Some(agent_name),
            SystemAction::QueueFull(wire::QueueFullAction {
                message_id: message_id.clone(),
                agent_name: agent_name.clone(),
            }),
        ),
        Event::TurnLimitReached { agent_name, count, .. } => Shape::system(
            Some(agent_name),
            SystemAction::TurnLimit(wire::TurnLimitAction { agent_name: agent_name.clone(), count: *count }),
        ),
        Event::Passed { agent_name } => {
            Shape::system(Some(agent_name), SystemAction::Pass(wire::PassAction { agent_name: agent_name.clone() }))
        }
        Event::ProviderChosen { agent_name, provider, model } => Shape::system(
            Some(agent_name),
            SystemAction::Provider(wire::ProviderAction {
                agent_name: agent_name.clone(),
                provider: *provider,
                model: model.clone(),
            }),
        ),
        Event::ReplyStarted { reply, .. } => Shape::chat(reply, response(world_name, reply, String::new(), 0, false)),
        Event::ReplyEnded { reply, content, finish_reason, error, usage } => Shape::chat(
            reply,
            ChatResponse {
                finish_reason: Some(*finish_reason),
                error: error.clone(),
                usage: usage.clone(),
                ..response(world_name, reply, content.clone(), 0, true)
            },
        ),
        Event::TurnsDropped { .. } => return None,
    })
}

fn names(turns: &[Ticket]) -> AgentNames {
    AgentNames::trusted(turns.iter().map(|turn| turn.agent_name.clone()).collect())
}

fn response(world_name: &WorldName, reply: &Reply, content: String, offset: u64, complete: bool) -> ChatResponse {
    ChatResponse {
        world_name: world_name.clone(),
        agent_name: reply.agent_name.clone(),
        message_id: reply.message_id.clone(),
        in_reply_to: reply.in_reply_to.clone(),
        root_id: reply.root_id.clone(),
        content,
        offset: wire::TextOffset::saturating(offset),
        complete,
        finish_reason: None,
        error: None,
        usage: None,
    }
}
