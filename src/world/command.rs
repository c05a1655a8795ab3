//! What a world can be asked to do, and what it answers. The same command comes from WebSocket and HTTP, with
//! defaults filled in: that is what an idempotency key stands for (docs/PROTOCOL.md §4).

use serde::{Deserialize, Serialize};

use super::routing::is_human_word;
use crate::protocol::{
    Agent, AgentConfigUpdate, AgentDefinitionConfig, AgentName, ChatContent, DisplayName, MessageId, Patch, SenderName,
    Title, TurnLimit, WritableStatus,
};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "operation", rename_all = "camelCase")]
pub enum Command {
    Chat {
        content: ChatContent,
        sender: SenderName,
        display_name: Option<DisplayName>,
        target_agent: Option<AgentName>,
    },
    Retry {
        message_id: MessageId,
    },
    Cancel {
        message_id: Option<MessageId>,
    },
    CreateAgent {
        name: AgentName,
        status: WritableStatus,
        config: AgentDefinitionConfig,
    },
    UpdateAgent(AgentChange),
    DeleteAgent {
        agent_name: AgentName,
    },
    UpdateWorld {
        #[serde(skip_serializing_if = "Patch::is_absent")]
        title: Patch<Title>,
        turn_limit: Option<TurnLimit>,
    },
    Reload,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentChange {
    pub agent_name: AgentName,
    pub status: Option<WritableStatus>,
    pub config: Option<AgentConfigUpdate>,
    pub clear_memory: bool,
}

impl Command {
    /// The same command with every name written in one way: names that differ only in case are one.
    pub(super) fn canonical(&self) -> Self {
        let agent = |name: &AgentName| AgentName::trusted(name.to_ascii_lowercase());
        let mut command = self.clone();
        match &mut command {
            Self::Chat { sender, target_agent, .. } => {
                *sender = match is_human_word(sender.as_str()) {
                    true => SenderName::trusted("human".to_owned()),
                    false => SenderName::trusted(sender.to_ascii_lowercase()),
                };
                *target_agent = target_agent.as_ref().map(agent);
            }
            Self::UpdateAgent(change) => change.agent_name = agent(&change.agent_name),
            Self::DeleteAgent { agent_name } => *agent_name = agent(agent_name),
            Self::Retry { .. }
            | Self::Cancel { .. }
            | Self::CreateAgent { .. }
            | Self::UpdateWorld { .. }
            | Self::Reload => {}
        }
        command
    }
}

/// What a command did. Kept beside its idempotency key, so that a repetition gets the same answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Answer {
    Accepted { message_id: MessageId, seq: u64, answering: Vec<AgentName> },
    Cancelled { message_ids: Vec<MessageId>, dropped: u64 },
    Agent { agent: Agent },
    Done,
}

/// An [`Answer`], and whether it was given before.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub answer: Answer,
    pub duplicate: bool,
}
