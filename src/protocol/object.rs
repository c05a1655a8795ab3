//! How a closed object is read: from a JSON object only (never from an array), each field once, no null for
//! a field that is merely optional, no field that the schema does not name.

use std::{borrow::Cow, collections::VecDeque, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        self, DeserializeSeed, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, StringDeserializer},
    },
};
use serde_json::value::RawValue;

/// A generated struct or union. `read` gets the fields in the order of the text.
pub(crate) trait Object<'de>: Sized {
    fn read<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// The `Deserialize` of every [`Object`].
pub(crate) fn deserialize<'de, T: Object<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::read(map)
    }
}

/// A field's name; borrowed from the text unless it is written with escapes.
#[derive(Debug)]
pub(crate) struct Key<'de>(Cow<'de, str>);

impl std::ops::Deref for Key<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

pub(crate) fn next_key<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Key<'de>>, A::Error> {
    map.next_key()
}

/// The name is the client's text and is not repeated.
pub(crate) fn unknown_field<E: de::Error>() -> E {
    E::custom("unknown field")
}

pub(crate) fn unknown_tag<E: de::Error>() -> E {
    E::custom("unknown tag")
}

/// A field while its object is read.
pub(crate) struct Field<T> {
    name: &'static str,
    value: Option<T>,
}

impl<'de, T: Deserialize<'de>> Field<T> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    pub(crate) fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if self.value.is_some() {
            return Err(de::Error::duplicate_field(self.name));
        }
        self.value = Some(map.next_value()?);
        Ok(())
    }

    pub(crate) const fn peek(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(crate) fn required<E: de::Error>(self) -> Result<T, E> {
        self.value.ok_or_else(|| E::missing_field(self.name))
    }

    pub(crate) fn optional(self) -> Option<T> {
        self.value
    }

    pub(crate) fn or_else(self, default: impl FnOnce() -> T) -> T {
        self.value.unwrap_or_else(default)
    }
}

/// Finds the tag of a union. What stands before it is kept as text and given again to the variant.
pub(crate) fn take_tag<'de, A: MapAccess<'de>>(
    mut map: A,
    tag: &'static str,
) -> Result<(Key<'de>, Replay<'de, A>), A::Error> {
    let mut kept = VecDeque::new();
    while let Some(key) = next_key(&mut map)? {
        if &*key == tag {
            return Ok((map.next_value()?, Replay { kept, value: None, rest: map }));
        }
        kept.push_back((key, map.next_value()?));
    }
    Err(de::Error::missing_field(tag))
}

/// An object whose first fields were read already. Bounded by the text that they are part of.
pub(crate) struct Replay<'de, A> {
    kept: VecDeque<(Key<'de>, &'de RawValue)>,
    value: Option<&'de RawValue>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Replay<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some((key, value)) = self.kept.pop_front() else { return self.rest.next_key_seed(seed) };
        self.value = Some(value);
        let key = match key.0 {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(StringDeserializer::new(key)),
        };
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            None => self.rest.next_value_seed(seed),
            Some(raw) => {
                seed.deserialize(&mut serde_json::Deserializer::from_str(raw.get())).map_err(de::Error::custom)
            }
        }
    }
}

/// The constant `true`: a field that is either there and true, or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? { Ok(Self) } else { Err(de::Error::custom("only true is a value here")) }
    }
}
