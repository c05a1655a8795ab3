//! Times: milliseconds since 1970 inside, RFC 3339 UTC with milliseconds on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

use crate::protocol::Timestamp;

/// The wall clock, in Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A fresh id for what is ordered by other means, and the time that it holds: of one millisecond any may come first.
/// [`Uuid::now_v7`] counts, for which it divides 128 bits, twice.
pub fn now() -> (Uuid, i64) {
    let (at_ms, random) = (now_ms(), Uuid::new_v4());
    let &[a, b, c, d, e, f, _, _, _, g, h, i, j, ..] = random.as_bytes();
    (Builder::from_unix_timestamp_millis(at_ms.unsigned_abs(), &[a, b, c, d, e, f, g, h, i, j]).into_uuid(), at_ms)
}

/// As it stands on the wire. A time that no calendar holds becomes 1970.
pub fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_ms(at_ms)
}
