//! Times: milliseconds since 1970 inside, RFC 3339 UTC with milliseconds on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::protocol::Timestamp;

/// The wall clock, in Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A fresh id, and the time that it holds: the clock is read once for both.
pub fn now() -> (Uuid, i64) {
    let id = Uuid::now_v7();
    // RFC 9562 §5.7: the first 48 bits are Unix milliseconds.
    (id, (id.as_u128() >> 80) as i64)
}

/// As it stands on the wire. A time that no calendar holds becomes 1970.
pub fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from(jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
