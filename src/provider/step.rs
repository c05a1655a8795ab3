//! What a provider answers: the steps of a reply, or one error.

use super::ProviderKind;
use std::time::Duration;
use url::Url;

/// One step of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Who answers, decided for this call; for `auto` this says what was chosen. `server`: where, if it is remote
    /// ([`ProviderError::server`]).
    Resolved { provider: ProviderKind, model: String, server: Option<String> },
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
    /// For the log: whom the call went to, as scheme, host and port, where that was decided. Nothing else of a base URL:
    /// the rest of it may be a secret.
    pub server: Option<String>,
}

impl ProviderError {
    /// A failure that trying again will not mend.
    pub(super) fn lasting(message: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false, retry_after: None, cause: cause.into(), server: None }
    }

    /// The same, of the server at this address.
    pub(super) fn at(self, base: &Url) -> Self {
        Self { server: Some(server(base)), ..self }
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
    pub(super) fn empty(finish: Finish) -> Self {
        match finish {
            Finish::Stop => Self::passing("the model returned an empty reply", "reply without text"),
            // It thought until nothing was left; the next time it would again.
            Finish::Length => Self::lasting(
                "the model used all its tokens before it said anything: raise maxTokens",
                "length reached without text",
            ),
        }
    }
}

/// What may be logged of a base URL.
pub fn server(base: &Url) -> String {
    base.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_address_is_logged_that_may_be_a_secret() {
        for (base, logged) in [
            ("https://user:sk-1@host.example:8443/sk-2?key=sk-3#sk-4", "https://host.example:8443"),
            ("http://[::1]:8080/v1/", "http://[::1]:8080"),
            ("https://api.openai.com/v1/", "https://api.openai.com"),
        ] {
            assert_eq!(server(&Url::parse(base).unwrap()), logged);
        }
    }
}
