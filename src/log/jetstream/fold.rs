//! What a node remembers of a world that it writes to.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batch::{Batch, Key, SealedWrite, State};
use crate::log::{Head, KeyRecord};

/// Where a world stands: the last message says all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tip {
    pub epoch: String,
    pub head: u64,
    pub floor: u64,
    pub busy: bool,
    pub title: Option<String>,
    /// The world's last message: its sequence in the stream.
    pub last: u64,
}

impl Tip {
    pub fn new(batch: &Batch, last: u64) -> Self {
        let State { epoch, floor, busy, title, .. } = batch.state.clone();
        Self { epoch, head: batch.head(), floor, busy, title, last }
    }

    /// Of the message after it, as long as that changes nothing.
    pub fn next(&self) -> State {
        State {
            nonce: Uuid::new_v4(),
            prev: self.last,
            first: self.head.saturating_add(1),
            epoch: self.epoch.clone(),
            floor: self.floor,
            busy: self.busy,
            title: self.title.clone(),
            deleted: false,
        }
    }

    pub fn head(&self) -> Head {
        Head { epoch: self.epoch.clone(), head: self.head, floor: self.floor }
    }
}

/// The fold over a world's messages, without the records themselves.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub tip: Tip,
    /// By user and key.
    keys: HashMap<(String, String), KeyRecord>,
    /// By agent in lower case: the agent as written, and the sealed secret.
    secrets: BTreeMap<String, (String, Vec<u8>)>,
    /// How many keys there were after forgetting last.
    kept: usize,
}

/// A fold as it stands beside a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredFold {
    pub tip: Tip,
    keys: Vec<Key>,
    secrets: Vec<SealedWrite>,
}

impl Fold {
    /// Of a world's first message. One that came from elsewhere may begin above records that were gone there.
    pub fn begin(batch: &Batch, seq: u64) -> Option<Self> {
        if batch.state.prev != 0 || batch.state.first != batch.state.floor.saturating_add(1) {
            return None;
        }
        let mut fold = Self { tip: Tip::new(batch, seq), keys: HashMap::new(), secrets: BTreeMap::new(), kept: 0 };
        fold.take(batch, 0);
        Some(fold)
    }

    /// The world's next message. False, and nothing changes, if it does not follow the last one.
    pub fn apply(&mut self, batch: &Batch, seq: u64, keys_since_ms: i64) -> bool {
        if batch.state.prev != self.tip.last || batch.state.first != self.tip.head.saturating_add(1) {
            return false;
        }
        if batch.state.epoch != self.tip.epoch {
            // They counted within the old one (docs/PROTOCOL.md §4).
            self.keys.clear();
        }
        self.tip = Tip::new(batch, seq);
        self.take(batch, keys_since_ms);
        true
    }

    fn take(&mut self, batch: &Batch, keys_since_ms: i64) {
        for key in &batch.keys {
            if let Some(record) = key.record() {
                self.keys.insert((key.user.clone(), key.key.clone()), record);
            }
        }
        for write in &batch.secrets {
            self.write_secret(write);
        }
        if self.keys.len() > 2 * self.kept + 64 {
            self.keys.retain(|_, known| known.at_ms >= keys_since_ms);
            self.kept = self.keys.len();
        }
    }

    fn write_secret(&mut self, write: &SealedWrite) {
        let place = write.agent.to_ascii_lowercase();
        match &write.sealed {
            Some(sealed) => drop(self.secrets.insert(place, (write.agent.clone(), sealed.clone()))),
            None => drop(self.secrets.remove(&place)),
        }
    }

    pub fn key(&self, user: &str, key: &str, since_ms: i64) -> Option<KeyRecord> {
        let known = self.keys.get(&(user.to_owned(), key.to_owned()))?;
        (known.at_ms >= since_ms).then(|| known.clone())
    }

    /// Agents and their sealed secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        self.secrets.values()
    }

    pub fn store(&self, keys_since_ms: i64) -> StoredFold {
        let keys = self.keys.iter().filter(|(_, known)| known.at_ms >= keys_since_ms);
        let secrets = self.secrets.values().cloned();
        StoredFold {
            tip: self.tip.clone(),
            keys: keys.map(|((user, key), known)| Key::new(user, key, known)).collect(),
            secrets: secrets.map(|(agent, sealed)| SealedWrite { agent, sealed: Some(sealed) }).collect(),
        }
    }
}

impl From<StoredFold> for Fold {
    fn from(stored: StoredFold) -> Self {
        let mut fold =
            Self { tip: stored.tip, keys: HashMap::new(), secrets: BTreeMap::new(), kept: stored.keys.len() };
        for key in stored.keys {
            if let Some(record) = key.record() {
                fold.keys.insert((key.user, key.key), record);
            }
        }
        for write in &stored.secrets {
            fold.write_secret(write);
        }
        fold
    }
}

/// Where records stand in the stream: the first `seq` of some messages, and their sequences.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<u64, u64>);

/// Places that are kept of one world, about.
const PLACES: usize = 512;

impl Places {
    pub fn put(&mut self, first: u64, at: u64) {
        self.0.insert(first, at);
        if self.0.len() > PLACES {
            // The newest ones are asked for most: they stay dense for longest.
            let mut odd = false;
            let newest = self.0.keys().rev().nth(PLACES / 4).copied().unwrap_or(0);
            self.0.retain(|first, _| {
                odd = !odd;
                odd || *first >= newest
            });
        }
    }

    /// The nearest message known to stand at or before the record.
    pub fn before(&self, seq: u64) -> Option<(u64, u64)> {
        self.0.range(..=seq).next_back().map(|(first, at)| (*first, *at))
    }

    /// The nearest message known to stand after it.
    pub fn after(&self, seq: u64) -> Option<(u64, u64)> {
        self.0.range(seq.checked_add(1)?..).next().map(|(first, at)| (*first, *at))
    }
}
