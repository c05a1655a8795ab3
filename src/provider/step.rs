//! What a provider answers: the steps of a reply, or one error.

use super::ProviderKind;
use std::time::Duration;

/// One step of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Who answers, decided for this call; for `auto` this says what was chosen.
    Resolved { provider: ProviderKind, model: String },
    /// The next piece of text; never empty.
    Text(String),
    /// The reply is whole.
    End { finish: Finish, usage: Option<Usage> },
}

/// Why a reply ended by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model said all it wanted to.
    #[default]
    Stop,
    /// It reached its limit of tokens.
    Length,
}

/// Tokens, as counted by the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// Why a call failed. Two texts for two readers: `message` goes to the client, `cause` to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// For the client: no key, no address.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// How long the provider asked to be left alone; at most a day.
    pub retry_after: Option<Duration>,
    /// For the log: no key, no prompt, no reply.
    pub cause: String,
}

impl ProviderError {
    /// A failure that trying again will not mend.
    pub(super) fn lasting(message: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false, retry_after: None, cause: cause.into() }
    }

    /// A failure that may be gone the next time.
    pub(super) fn passing(message: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::lasting(message, cause) }
    }

    /// The stream ended without saying that the reply was whole.
    pub(super) fn cut() -> Self {
        Self::passing("the model's reply broke off before its end", "stream ended without its last event")
    }

    /// The reply is whole and has no text.
    pub(super) fn empty() -> Self {
        Self::passing("the model returned an empty reply", "reply without text")
    }
}
