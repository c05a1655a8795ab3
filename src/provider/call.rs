//! What a provider is asked: a prompt, and the agent's model settings.

use super::{ProviderKind, Secret};

/// One model call of one agent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The world's name; for logs.
    pub world: String,
    /// The name of the agent that answers.
    pub agent: String,
    /// That agent's model settings.
    pub config: ModelConfig,
    /// What it is asked.
    pub prompt: Prompt,
    /// 1 for the agent's first call ever, 2 for the next: what a script's `call` is matched with.
    pub call_number: u64,
}

/// Which model answers, and how. What is `None` is left to the provider's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Whose protocol is spoken.
    pub provider: ProviderKind,
    /// The model's name, as its provider writes it.
    pub model: Option<String>,
    /// An address set by a client: subject to the [`BaseUrlPolicy`](super::BaseUrlPolicy), and
    /// never sent a key from the environment.
    pub base_url: Option<String>,
    /// The agent's own key; it goes before the key from the environment.
    pub api_key: Option<Secret>,
    /// Sent as it is: 0 is 0.
    pub temperature: Option<f64>,
    /// The most tokens that the reply may have.
    pub max_tokens: Option<u32>,
}

impl ModelConfig {
    /// A provider with everything else left to its defaults.
    pub fn new(provider: ProviderKind) -> Self {
        Self { provider, model: None, base_url: None, api_key: None, temperature: None, max_tokens: None }
    }
}

/// The system prompt and the remembered messages, oldest first; the last one is usually the one
/// that woke the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    pub system: Option<String>,
    pub items: Vec<PromptItem>,
    /// Which of them woke the agent, if that is known; others may have come since.
    pub answered: Option<usize>,
}

/// One remembered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptItem {
    pub role: Role,
    /// Who said it: an agent's name, or `human`. The model is shown it before the text.
    pub speaker: Option<String>,
    /// The name under which a person spoke: a model is shown it instead.
    pub name: Option<String>,
    pub content: String,
}

/// Who said something, seen from the agent that is asked. To a model everything but
/// [`Role::Own`] is the user's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The agent itself.
    Own,
    /// Another agent of the world.
    Agent,
    /// A person.
    Human,
    /// The server, as `system`.
    World,
}

impl Prompt {
    /// The message that the agent answers: the one that woke it, or else the newest that it did not say itself.
    pub fn answered_item(&self) -> Option<&PromptItem> {
        let waking = self.answered.and_then(|at| self.items.get(at));
        waking.or_else(|| self.items.iter().rev().find(|item| item.role != Role::Own))
    }
}
