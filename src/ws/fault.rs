//! What broke the WebSocket itself, as the close code that says so (RFC 6455 §7.4.1).

use tokio_tungstenite::tungstenite::error::{CapacityError, Error};

use crate::protocol::CloseCode;

const TOO_LARGE: CloseCode = CloseCode { code: 1009, reason: "message too large", reconnect: false };
const BAD_TEXT: CloseCode = CloseCode { code: 1007, reason: "text is not UTF-8", reconnect: false };
const PROTOCOL_ERROR: CloseCode = CloseCode { code: 1002, reason: "protocol error", reconnect: false };

/// The code to close with; `None` when there is nobody to tell.
pub fn fault(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(TOO_LARGE),
        Error::Utf8(_) => Some(BAD_TEXT),
        Error::Protocol(_) => Some(PROTOCOL_ERROR),
        _ => None,
    }
}
