//! Timestamps, which only the server writes. They are read back strictly, in the one form in which they are
//! written. (The other format, `uuid`, is `uuid::Uuid` as it is.)

/// Completes a generated `struct Name(jiff::Timestamp)`: RFC 3339, UTC, milliseconds.
macro_rules! timestamp {
    ($name:ident) => {
        impl $name {
            pub const fn get(self) -> jiff::Timestamp {
                self.0
            }
        }

        /// Cuts to milliseconds, so that what is kept is what is written.
        impl From<jiff::Timestamp> for $name {
            fn from(at: jiff::Timestamp) -> Self {
                Self(jiff::Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:.3}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let invalid = || Invalid::new("format", "date-time");
                let at: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
                // jiff reads many more forms than RFC 3339 has.
                if format!("{at:.3}") == text { Ok(Self(at)) } else { Err(invalid()) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use timestamp;
