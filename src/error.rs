//! [`Failure`]: why a request could not be done. What the client is told and what the log is told are separate
//! fields, so that a cause never reaches a client by accident (docs/DESIGN.md, decision 11).

use std::fmt;

use crate::protocol::{ErrorCode, ErrorDetails, ErrorInfo, KnownNames, Rejection, RetryAfterMs, Retryable};

/// A request that failed. `message` is for the client; `cause` goes to the log only.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: ErrorCode,
    message: String,
    retryable: Option<bool>,
    retry_after_ms: Option<u64>,
    /// Rare and large.
    details: Option<Box<ErrorDetails>>,
    cause: Option<String>,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: None, retry_after_ms: None, details: None, cause: None }
    }

    /// The server could not do its work; the client learns only that, the log learns why.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ErrorCode::ServerError, "the server failed to do this; it has been logged").cause(cause)
    }

    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// When to try again, in milliseconds. Says that it is worth trying, too.
    pub fn retry_after_ms(mut self, after: u64) -> Self {
        self.retry_after_ms = Some(after);
        self.retryable = Some(true);
        self
    }

    /// For codes whose entry in the schema says that it varies.
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = Some(retryable);
        self
    }

    pub fn details(mut self, details: ErrorDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Writes the cause to the log, if there is one.
    pub fn log(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(code = self.code.as_str(), cause = cause.as_str(), "request failed");
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let known = (!rejection.known.is_empty())
            .then(|| KnownNames::trusted(rejection.known.iter().map(ToString::to_string).collect()));
        let truncated = rejection.truncated.then_some(true);
        let text = match rejection.violations() {
            [only] if only.pointer.is_empty() => format!("the message is not valid: it {}", only.message),
            [only] => format!("the message is not valid: {} {}", only.pointer, only.message),
            all => format!("the message is not valid, in {} places; see errors", all.len()),
        };
        let details =
            ErrorDetails { errors: Some(rejection.into_violations()), truncated, known, ..ErrorDetails::default() };
        Self::new(ErrorCode::InvalidMessage, text).details(details)
    }
}

impl From<Failure> for Box<ErrorInfo> {
    fn from(failure: Failure) -> Self {
        Self::new(failure.into())
    }
}

impl From<Failure> for ErrorInfo {
    fn from(failure: Failure) -> Self {
        failure.log();
        let mut details = failure.details.map_or_else(ErrorDetails::default, |details| *details);
        details.docs = Some(failure.code.docs().to_owned());
        let retryable = failure.retryable.unwrap_or(failure.code.retryable() == Retryable::Yes);
        Self {
            code: failure.code,
            message: failure.message,
            retryable,
            retry_after_ms: failure.retry_after_ms.map(RetryAfterMs::saturating),
            details: Some(details),
        }
    }
}
