//! [`Free`]: an object whose content is the user's own.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, value::RawValue};

use super::strict;

/// Any JSON object. Keys must still be unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Free(pub Map<String, Value>);

impl Deref for Free {
    type Target = Map<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Free {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        match strict::read(raw.get(), 1).map_err(de::Error::custom)? {
            (Value::Object(fields), duplicates) if duplicates.is_empty() => Ok(Self(fields)),
            (Value::Object(_), _) => Err(de::Error::custom("duplicate field")),
            _ => Err(de::Error::custom("not an object")),
        }
    }
}
