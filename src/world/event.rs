//! The domain's events: what a world's log holds. A world is the fold of them (docs/DESIGN.md, decision 4).
//!
//! Stored as JSON with a version. What clients see of them is made by [`super::publish`], always the same way,
//! so that live and replayed frames are the same bytes.

use serde::{Deserialize, Serialize};

use crate::protocol::{
    Agent, AgentName, Count, DisplayName, ErrorInfo, FinishReason, MessageId, ModelName, ProviderName, SenderType,
    TemplateName, Title, TurnLimit, Usage,
};

/// The version this program writes. A record with a higher one is refused by name.
pub const VERSION: u32 = 1;

/// One thing that happened in a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    WorldCreated {
        template_name: TemplateName,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Title>,
        turn_limit: TurnLimit,
    },
    WorldUpdated {
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Title>,
        turn_limit: TurnLimit,
    },
    WorldReloaded {},
    AgentCreated {
        agent: Agent,
    },
    AgentUpdated {
        agent: Agent,
    },
    AgentDeleted {
        agent_name: AgentName,
    },
    MemoryCleared {
        agent_name: AgentName,
    },
    /// Something was said aloud. `sender` is `human`, `system`, or an agent's name as configured.
    Message {
        message_id: MessageId,
        sender: String,
        sender_type: SenderType,
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        in_reply_to: Option<MessageId>,
        root_id: MessageId,
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<DisplayName>,
    },
    /// Turns were queued: agents are to answer `message_id`. The id of each reply is reserved here.
    Routed {
        message_id: MessageId,
        root_id: MessageId,
        turns: Vec<Ticket>,
        /// Set when a person asked for an ended reply to be run again.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_of: Option<MessageId>,
    },
    NoRecipient {
        message_id: MessageId,
        #[serde(skip_serializing_if = "Option::is_none")]
        mention: Option<String>,
    },
    QueueFull {
        message_id: MessageId,
        agent_name: AgentName,
    },
    /// The agent was about to answer and may not: its turn is over without a start.
    TurnLimitReached {
        agent_name: AgentName,
        reply_id: MessageId,
        root_id: MessageId,
        count: Count,
    },
    Passed {
        agent_name: AgentName,
    },
    ProviderChosen {
        agent_name: AgentName,
        provider: ProviderName,
        model: ModelName,
    },
    ReplyStarted {
        reply: Reply,
        /// The ticket under which a node of a cluster claimed the turn ([`crate::log::cluster::Ticket`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<u64>,
    },
    ReplyEnded {
        reply: Reply,
        content: String,
        finish_reason: FinishReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ErrorInfo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Waiting turns that will never start.
    TurnsDropped {
        turns: Vec<Ticket>,
        root_id: MessageId,
    },
    /// No turn of this root is queued or running any more.
    Settled {
        root_id: MessageId,
    },
}

/// A turn that waits: who is to answer, under which id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    pub agent_name: AgentName,
    pub reply_id: MessageId,
}

/// One reply: who gives it, to which message, at the end of which chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    pub agent_name: AgentName,
    pub message_id: MessageId,
    pub in_reply_to: MessageId,
    pub root_id: MessageId,
}

/// Why a stored record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    #[error("record has version {found}, this program reads up to {VERSION}: it was written by a newer one")]
    Newer { found: u32 },
    #[error("record cannot be read: {0}")]
    Corrupt(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Event {
    /// The bytes that go into the log.
    pub fn to_record(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Written { v: VERSION, event: self })
    }

    /// Reads what [`Event::to_record`] wrote, now or in an earlier version.
    pub fn from_record(body: &[u8]) -> Result<Self, UnreadableEvent> {
        let Version { v } = serde_json::from_slice(body)?;
        if v > VERSION {
            return Err(UnreadableEvent::Newer { found: v });
        }
        Ok(serde_json::from_slice(body)?)
    }
}
