//! What the two generated frames have in common: the payload is read by the message's type, in place when the
//! type comes first, otherwise from its text when the type is known.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess},
};
use serde_json::value::RawValue;

use super::Encode;

/// A generated enum with one variant for each type of message.
pub(crate) trait Message: Sized {
    type Type: Copy;

    fn read<'de, D: Deserializer<'de>>(kind: Self::Type, payload: D) -> Result<Self, D::Error>;

    /// The message of a frame without `payload`, where the schema allows that.
    fn without_payload(kind: Self::Type) -> Option<Self>;
}

/// The `payload` of a frame while the frame is read.
pub(crate) enum Payload<'de, M> {
    Absent,
    Early(&'de RawValue),
    Read(M),
}

impl<'de, M: Message> Payload<'de, M> {
    pub(crate) fn read<A: MapAccess<'de>>(&mut self, map: &mut A, kind: Option<&M::Type>) -> Result<(), A::Error> {
        if !matches!(self, Self::Absent) {
            return Err(de::Error::duplicate_field("payload"));
        }
        *self = match kind {
            Some(kind) => Self::Read(map.next_value_seed(PayloadSeed::<M>(*kind))?),
            None => Self::Early(map.next_value()?),
        };
        Ok(())
    }

    pub(crate) fn finish<E: de::Error>(self, kind: M::Type) -> Result<M, E> {
        match self {
            Self::Read(message) => Ok(message),
            Self::Early(raw) => M::read(kind, &mut serde_json::Deserializer::from_str(raw.get())).map_err(E::custom),
            Self::Absent => M::without_payload(kind).ok_or_else(|| E::missing_field("payload")),
        }
    }
}

struct PayloadSeed<M: Message>(M::Type);

impl<'de, M: Message> DeserializeSeed<'de> for PayloadSeed<M> {
    type Value = M;

    fn deserialize<D: Deserializer<'de>>(self, payload: D) -> Result<M, D::Error> {
        M::read(self.0, payload)
    }
}

/// A server frame that was encoded before, to stand in a page of history byte for byte as it was sent.
#[derive(Clone, Debug)]
pub struct EncodedFrame(Box<RawValue>);

impl EncodedFrame {
    /// Takes a frame made by [`encode`](super::codec::encode). Fails only when `text` is not one JSON value.
    pub fn new(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for EncodedFrame {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EncodedFrame {}

impl Encode for EncodedFrame {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

impl Serialize for EncodedFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EncodedFrame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}
