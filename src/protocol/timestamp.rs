//! Timestamps, which only the server writes. They are read back strictly, in the one form in which they are
//! written. (The other format, `uuid`, is `uuid::Uuid` as it is.)

use std::{cell::Cell, fmt, marker::PhantomData, ops::RangeInclusive, str::FromStr};

use jiff::tz::Offset;
use serde::de::{self, Visitor};

use super::Invalid;

/// The one form in which a time is written. Every frame has one, so it is put together here, digit by digit, and once
/// for each second.
#[derive(Clone, Copy)]
pub(crate) struct Written([u8; 24]);

/// The Unix milliseconds that can be written: from the year 0 to the last that jiff knows, in 9999.
pub(crate) const SPAN: RangeInclusive<i64> = -62_167_219_200_000..=253_402_207_200_999;

thread_local! {
    /// The second that was written last, and how: frames come many to a second.
    static LAST: Cell<(i64, Written)> = Cell::new((0, Written::whole(0)));
}

impl Written {
    pub(crate) fn new(at_ms: i64) -> Self {
        let (second, rest) = (at_ms.div_euclid(1000), at_ms.rem_euclid(1000) as u16);
        let (last, mut written) = LAST.get();
        if second != last {
            written = Self::whole(second);
            LAST.set((second, written));
        }
        for (place, value) in written.0[20..23].iter_mut().zip([rest / 100, rest / 10 % 10, rest % 10]) {
            *place = b'0' + value as u8;
        }
        written
    }

    fn whole(second: i64) -> Self {
        let at = Offset::UTC.to_datetime(jiff::Timestamp::from_second(second).unwrap_or_default());
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |from: usize, digits: usize, mut value: u32| {
            for place in text[from..from + digits].iter_mut().rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        // The wire knows no year before 0.
        put(0, 4, at.year().unsigned_abs().into());
        put(5, 2, at.month().unsigned_abs().into());
        put(8, 2, at.day().unsigned_abs().into());
        put(11, 2, at.hour().unsigned_abs().into());
        put(14, 2, at.minute().unsigned_abs().into());
        put(17, 2, at.second().unsigned_abs().into());
        Self(text)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits and what was there between them: always ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

pub(crate) struct TimeVisitor<T>(pub PhantomData<T>);

impl<T: FromStr<Err = Invalid>> Visitor<'_> for TimeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Completes a generated `struct Name(i64)`, which holds Unix milliseconds: RFC 3339, UTC, milliseconds.
macro_rules! timestamp {
    ($name:ident) => {
        impl $name {
            /// A time that cannot be written becomes 1970.
            pub fn from_ms(at_ms: i64) -> Self {
                Self(if $crate::protocol::timestamp::SPAN.contains(&at_ms) { at_ms } else { 0 })
            }

            /// Unix milliseconds.
            pub const fn ms(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::protocol::timestamp::Written::new(self.0).as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let invalid = || Invalid::new("format", "date-time");
                let at: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
                let at = Self::from_ms(at.as_millisecond());
                // jiff reads many more forms than RFC 3339 has.
                if $crate::protocol::timestamp::Written::new(at.0).as_str() == text { Ok(at) } else { Err(invalid()) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::protocol::timestamp::Written::new(self.0).as_str())
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(b'"');
                out.extend_from_slice($crate::protocol::timestamp::Written::new(self.0).as_bytes());
                out.push(b'"');
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::protocol::timestamp::TimeVisitor(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use timestamp;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_can_be_written_is_known_to_jiff() {
        assert_eq!(*SPAN.end(), jiff::Timestamp::MAX.as_millisecond());
        assert_eq!(Written::new(*SPAN.start()).as_str(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Written::new(*SPAN.end()).as_str(), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn a_time_is_written_as_jiff_writes_it() {
        for ms in [
            0,
            1,
            999,
            -1,
            -1_000,
            951_782_399_999,
            951_782_400_000,
            1_768_471_200_123,
            1_768_471_200_004,
            1_768_471_200_990,
            1_768_471_199_990,
            4_102_444_799_999,
            253_402_207_199_999,
        ] {
            let at = jiff::Timestamp::from_millisecond(ms).unwrap();
            assert_eq!(Written::new(ms).as_str(), format!("{at:.3}"));
        }
    }
}
