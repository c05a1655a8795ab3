//! Times: milliseconds since 1970 inside, RFC 3339 UTC with milliseconds on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::protocol::Timestamp;

/// The wall clock, in Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// As it stands on the wire. A time that no calendar holds becomes 1970.
pub fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from(jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
