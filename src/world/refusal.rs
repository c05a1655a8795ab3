//! What worlds refuse with, where it is the same in several places.

use crate::{
    error::Failure,
    log,
    protocol::{Cursor, ErrorCode, ErrorDetails, UnresumableReason},
};

/// `UNRESUMABLE`, with the reason and the cursor to start from instead.
pub fn unresumable(reason: UnresumableReason, cursor: Cursor) -> Failure {
    let text = match reason {
        UnresumableReason::Epoch => "the cursor is of another world, or of an earlier life of this one",
        UnresumableReason::Future => "the cursor is ahead of this world's log",
        UnresumableReason::Expired => "the log no longer reaches back to this cursor",
    };
    let details = ErrorDetails { reason: Some(reason), cursor: Some(cursor), ..ErrorDetails::default() };
    Failure::new(ErrorCode::Unresumable, text).details(details)
}

/// A storage failure as the client sees it.
pub fn storage(error: log::Error) -> Failure {
    match error {
        log::Error::NoWorld => Failure::new(ErrorCode::WorldNotFound, "the world was deleted"),
        error => {
            let (code, text) = match &error {
                log::Error::Away(_) => {
                    (ErrorCode::Overloaded, "the server cannot reach its storage at the moment; nothing was changed")
                }
                log::Error::Unknown(_) => (
                    ErrorCode::StorageError,
                    "it is not known whether this was stored; send it again with the same idempotency key",
                ),
                log::Error::TooLarge(_) => {
                    (ErrorCode::StorageError, "this is more than the server can store at once; nothing was changed")
                }
                _ => (ErrorCode::StorageError, "the server cannot use its storage at the moment; nothing was changed"),
            };
            let cause = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            Failure::new(code, text).retry_after_ms(1_000).cause(cause)
        }
    }
}

/// The world went away while it was used.
pub fn gone() -> Failure {
    Failure::new(ErrorCode::WorldNotFound, "the world was deleted")
}

/// Whatever others have: this caller has none of that name.
pub fn not_found() -> Failure {
    Failure::new(ErrorCode::WorldNotFound, "you have no world of that name")
}
