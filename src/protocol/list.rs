//! What the generated lists have in common: bounds and uniqueness, checked while reading.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{self, SeqAccess, Visitor},
};

use super::scalar::Invalid;

/// A list with limits.
pub(crate) trait List: Sized {
    type Item: PartialEq;
    const MIN: usize;
    const MAX: usize;
    const UNIQUE: bool;
    fn wrap(items: Vec<Self::Item>) -> Self;

    fn checked(items: Vec<Self::Item>) -> Result<Self, Invalid> {
        if items.len() < Self::MIN {
            return Err(Invalid::new("minItems", Self::MIN));
        }
        if items.len() > Self::MAX {
            return Err(Invalid::new("maxItems", Self::MAX));
        }
        // Quadratic on purpose: the profile keeps unique lists short.
        if Self::UNIQUE && items.iter().enumerate().any(|(at, item)| items[..at].contains(item)) {
            return Err(Invalid::new("uniqueItems", true));
        }
        Ok(Self::wrap(items))
    }
}

pub(crate) struct ListVisitor<T>(pub PhantomData<T>);

impl<'de, T: List> Visitor<'de> for ListVisitor<T>
where
    T::Item: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == T::MAX {
                return Err(de::Error::custom(Invalid::new("maxItems", T::MAX)));
            }
            items.push(item);
        }
        T::checked(items).map_err(de::Error::custom)
    }
}

/// Completes a generated `struct Name(Vec<Item>)` that is [`List`].
macro_rules! list {
    ($name:ident, $item:ty) => {
        impl $name {
            /// Checks `items` against the schema's limits.
            pub fn new(items: Vec<$item>) -> Result<Self, Invalid> {
                <Self as List>::checked(items)
            }

            /// Takes a list that this program made: only debug builds look again.
            #[allow(dead_code, reason = "made for every type, used for some")]
            pub(crate) fn trusted(items: Vec<$item>) -> Self {
                debug_assert!(<Self as List>::checked(items.clone()).is_ok(), "not a {}", stringify!($name));
                Self(items)
            }

            pub fn into_vec(self) -> Vec<$item> {
                self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = [$item];
            fn deref(&self) -> &[$item] {
                &self.0
            }
        }

        impl TryFrom<Vec<$item>> for $name {
            type Error = Invalid;
            fn try_from(items: Vec<$item>) -> Result<Self, Invalid> {
                Self::new(items)
            }
        }

        impl From<$name> for Vec<$item> {
            fn from(list: $name) -> Self {
                list.0
            }
        }

        impl IntoIterator for $name {
            type Item = $item;
            type IntoIter = std::vec::IntoIter<$item>;
            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }

        impl<'list> IntoIterator for &'list $name {
            type Item = &'list $item;
            type IntoIter = std::slice::Iter<'list, $item>;
            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                encode::list(&self.0, out);
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_seq($crate::protocol::list::ListVisitor(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use list;
