//! What the generated strings and numbers have in common: a private field, one check, and no way around it.
//! A generated type says only its limits ([`Text`], [`Integer`], [`Number`]); the macros here add the rest.

use std::{fmt, marker::PhantomData};

use compact_str::CompactString;
use serde::de::{self, Visitor};

/// Why a value is not what its definition asks for: the keyword that it violates and what that keyword
/// demands. It never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("does not satisfy {keyword}: {limit}")]
pub struct Invalid {
    pub keyword: &'static str,
    pub limit: String,
}

impl Invalid {
    pub(crate) fn new(keyword: &'static str, limit: impl fmt::Display) -> Self {
        Self { keyword, limit: limit.to_string() }
    }
}

/// A string with limits.
pub(crate) trait Text: Sized {
    fn check(text: &str) -> Result<(), Invalid>;
    fn wrap(text: CompactString) -> Self;
}

/// An integer with limits, both within ±(2^53 − 1), so that JavaScript can hold it.
pub(crate) trait Integer: Sized {
    const MIN: i64;
    const MAX: i64;
    fn wrap(value: i64) -> Self;

    fn checked(value: i64) -> Result<Self, Invalid> {
        if value < Self::MIN {
            Err(Invalid::new("minimum", Self::MIN))
        } else if value > Self::MAX {
            Err(Invalid::new("maximum", Self::MAX))
        } else {
            Ok(Self::wrap(value))
        }
    }
}

/// A number with limits; never NaN, never infinite.
pub(crate) trait Number: Sized {
    const MIN: f64;
    const MAX: f64;
    fn wrap(value: f64) -> Self;

    fn checked(value: f64) -> Result<Self, Invalid> {
        if !value.is_finite() {
            Err(Invalid::new("type", "number"))
        } else if value < Self::MIN {
            Err(Invalid::new("minimum", Self::MIN))
        } else if value > Self::MAX {
            Err(Invalid::new("maximum", Self::MAX))
        } else {
            Ok(Self::wrap(value))
        }
    }
}

/// Length in Unicode code points. A code point has one to four bytes, so most texts need no counting.
pub(crate) fn length(text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    let bytes = text.len();
    if bytes <= max && bytes / 4 >= min {
        return Ok(());
    }
    let count = text.chars().count();
    if count < min {
        Err(Invalid::new("minLength", min))
    } else if count > max {
        Err(Invalid::new("maxLength", max))
    } else {
        Ok(())
    }
}

pub(crate) struct TextVisitor<T>(pub PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::check(text).map_err(E::custom)?;
        Ok(T::wrap(text.into()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<T, E> {
        T::check(&text).map_err(E::custom)?;
        Ok(T::wrap(text.into()))
    }
}

pub(crate) struct IntegerVisitor<T>(pub PhantomData<T>);

impl<T: Integer> Visitor<'_> for IntegerVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        T::checked(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        T::checked(i64::try_from(value).unwrap_or(i64::MAX)).map_err(E::custom)
    }

    /// `1.0` and `1e3` are integers to JSON Schema.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        if value.fract() != 0.0 {
            return Err(E::custom(Invalid::new("type", "integer")));
        }
        // Saturates, which is beyond every limit.
        T::checked(value as i64).map_err(E::custom)
    }
}

pub(crate) struct NumberVisitor<T>(pub PhantomData<T>);

impl<T: Number> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        T::checked(value).map_err(E::custom)
    }
}

/// Completes a generated `struct Name(CompactString)` that is [`Text`]. Up to 24 bytes, as names and times have, need no
/// memory of their own.
macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// Checks `text` against the schema's limits.
            pub fn new(text: impl Into<compact_str::CompactString>) -> Result<Self, Invalid> {
                let text = text.into();
                <Self as Text>::check(&text)?;
                Ok(Self(text))
            }

            /// Takes a text that this program made, or checked before: only debug builds look again.
            #[allow(dead_code, reason = "made for every type, used for some")]
            pub(crate) fn trusted(text: impl Into<compact_str::CompactString>) -> Self {
                let text = text.into();
                debug_assert!(<Self as Text>::check(&text).is_ok(), "not a {}", stringify!($name));
                Self(text)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Invalid;
            fn try_from(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into_string()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                encode::string(&self.0, out);
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_string($crate::protocol::scalar::TextVisitor(std::marker::PhantomData))
            }
        }
    };
}

/// Completes a generated `struct Name(u64)` or `(i64)` that is [`Integer`].
macro_rules! integer {
    ($name:ident, $inner:ty) => {
        impl $name {
            /// Checks `value` against the schema's limits.
            pub fn new(value: $inner) -> Result<Self, Invalid> {
                Self::try_from(value)
            }

            /// The nearest value within the schema's limits.
            pub fn saturating(value: impl Into<i128>) -> Self {
                let (min, max) = (i128::from(<Self as Integer>::MIN), i128::from(<Self as Integer>::MAX));
                // The clamp leaves nothing that an `i64` could not hold.
                Self::wrap(value.into().clamp(min, max) as i64)
            }

            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;
            fn try_from(value: i64) -> Result<Self, Invalid> {
                <Self as Integer>::checked(value)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = Invalid;
            fn try_from(value: u64) -> Result<Self, Invalid> {
                <Self as Integer>::checked(i64::try_from(value).unwrap_or(i64::MAX))
            }
        }

        /// A canonical decimal: no sign but `-`, no leading zeros.
        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let value = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
                value.ok_or_else(|| Invalid::new("type", "integer"))?.try_into()
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                encode::through_serde(&self.0, out);
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_i64($crate::protocol::scalar::IntegerVisitor(std::marker::PhantomData))
            }
        }
    };
}

/// Completes a generated `struct Name(f64)` that is [`Number`].
macro_rules! number {
    ($name:ident) => {
        impl $name {
            /// Checks `value` against the schema's limits.
            pub fn new(value: f64) -> Result<Self, Invalid> {
                <Self as Number>::checked(value)
            }

            pub const fn get(self) -> f64 {
                self.0
            }
        }

        /// Sound because NaN is no value of this type.
        impl Eq for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<f64> for $name {
            type Error = Invalid;
            fn try_from(value: f64) -> Result<Self, Invalid> {
                Self::new(value)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                encode::through_serde(&self.0, out);
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_f64($crate::protocol::scalar::NumberVisitor(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use {integer, number, text};
