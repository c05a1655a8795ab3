//! A world's state as bytes, and back. All agents remember the same messages: each is written once, and held once again
//! after it was read, however many remember it.

use std::{cell::RefCell, collections::HashMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::{memory::MemoryItem, state::World};

/// What stands for an item in a state is its place in the list beside it.
#[derive(Serialize)]
struct Written<'a> {
    items: &'a [Arc<MemoryItem>],
    world: Box<RawValue>,
}

#[derive(Deserialize)]
struct Read<'a> {
    items: Vec<Arc<MemoryItem>>,
    #[serde(borrow)]
    world: &'a RawValue,
}

pub fn write(world: &World) -> Result<Vec<u8>, serde_json::Error> {
    let (world, Table { items, .. }) = beside(Table::default(), || serde_json::value::to_raw_value(world));
    serde_json::to_vec(&Written { items: &items, world: world? })
}

/// Also what was written before there was a list: then every item stands where it belongs.
pub fn read(body: &[u8]) -> Result<World, serde_json::Error> {
    match serde_json::from_slice(body) {
        Ok(Read { items, world }) => {
            let table = Table { items, places: HashMap::new() };
            beside(table, || serde_json::from_str(world.get())).0
        }
        Err(_) => serde_json::from_slice(body),
    }
}

/// The list of a state that is being written or read.
#[derive(Default)]
struct Table {
    items: Vec<Arc<MemoryItem>>,
    /// By address: one message may be remembered in two forms, as it was given and as it was heard.
    places: HashMap<usize, usize>,
}

thread_local! {
    // Serde hands nothing on from a state to its parts.
    static TABLE: RefCell<Option<Table>> = const { RefCell::new(None) };
}

fn beside<T>(table: Table, act: impl FnOnce() -> T) -> (T, Table) {
    TABLE.set(Some(table));
    let done = act();
    (done, TABLE.take().unwrap_or_default())
}

/// A message that is remembered, as it stands in a state.
struct Item(Arc<MemoryItem>);

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = TABLE.with_borrow_mut(|table| {
            let Table { items, places } = table.as_mut()?;
            Some(*places.entry(Arc::as_ptr(&self.0) as usize).or_insert_with(|| {
                items.push(self.0.clone());
                items.len() - 1
            }))
        });
        match place {
            Some(place) => place.serialize(serializer),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a remembered message or its place")
            }

            fn visit_u64<E: de::Error>(self, place: u64) -> Result<Item, E> {
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                let item = TABLE.with_borrow(|table| table.as_ref()?.items.get(place).cloned());
                item.map(Item).ok_or_else(|| E::custom("there is no such remembered message"))
            }

            fn visit_map<A: MapAccess<'de>>(self, item: A) -> Result<Item, A::Error> {
                Ok(Item(Arc::new(MemoryItem::deserialize(MapAccessDeserializer::new(item))?)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `#[serde(with)]` for lists of items.
pub mod items {
    use super::*;

    pub fn serialize<'a, L, S>(list: &'a L, serializer: S) -> Result<S::Ok, S::Error>
    where
        &'a L: IntoIterator<Item = &'a Arc<MemoryItem>>,
        S: Serializer,
    {
        serializer.collect_seq(list.into_iter().cloned().map(Item))
    }

    pub fn deserialize<'de, L: FromIterator<Arc<MemoryItem>>, D: Deserializer<'de>>(d: D) -> Result<L, D::Error> {
        Ok(Vec::<Item>::deserialize(d)?.into_iter().map(|Item(item)| item).collect())
    }
}

/// `#[serde(with)]` for an item that may be missing.
pub mod item {
    use super::*;

    pub fn serialize<S: Serializer>(item: &Option<Arc<MemoryItem>>, serializer: S) -> Result<S::Ok, S::Error> {
        item.clone().map(Item).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Arc<MemoryItem>>, D::Error> {
        Ok(Option::<Item>::deserialize(d)?.map(|Item(item)| item))
    }
}
