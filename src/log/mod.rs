//! The log: what every world is a fold over, and the directory of who owns which world.
//!
//! Two traits, [`WorldLog`] and [`Directory`], say what storage must do; [`sqlite`] is the embedded
//! one, [`jetstream`] the one that many nodes share, who need a third from it, [`cluster`]. All are
//! usable as `Arc<dyn …>`, hold no state of a world beyond its log, and know nothing of what a
//! record means: `body` is opaque. `contract/` is the test suite that every implementation runs.
//!
//! What all implementations promise (docs/PROTOCOL.md §4):
//! - A world's log is dense: `seq` = previous + 1, from 1.
//! - An append is all or nothing, and durable before it is answered.
//! - An append is compare-and-set on the head: of two that expect the same head one wins.
//! - Idempotency keys and secrets are written with the records, in the same all-or-nothing step.
//!
//! Dropping a future of a writing call leaves its outcome open, as [`Error::Unknown`] does.

mod directory;

pub mod cluster;
pub mod jetstream;
pub mod migrate;
pub mod sqlite;

#[cfg(test)]
pub(crate) mod contract;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use uuid::Uuid;

pub use crate::secret::Secret;
pub use directory::{Counts, CreatedWorld, Directory, ExpiredUser, NewWorld, TokenHash, USE_GRAIN_MS, WorldEntry};

/// A world's identity: UUID v7, never reused, not even after the world was deleted.
pub type WorldId = Uuid;

/// What every call of [`WorldLog`] and [`Directory`] returns.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// One storage that is both; what the server is started with.
pub trait Store: WorldLog + Directory {}
impl<T: WorldLog + Directory> Store for T {}

/// A record that is to be appended.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The event's UUID v7, fixed here once and for all (docs/PROTOCOL.md §2).
    pub id: Uuid,
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// Opaque to the log; carries its own version.
    pub body: Bytes,
}

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the world's log, from 1.
    pub seq: u64,
    pub id: Uuid,
    pub at_ms: i64,
    pub body: Bytes,
}

/// One all-or-nothing append to one world.
#[derive(Clone, Debug)]
pub struct Append {
    pub world: WorldId,
    /// The head the drafts were decided on; 0 for an empty log.
    pub expected_head: u64,
    /// May be empty: then only the rest is written, and the head stays.
    pub drafts: Vec<Draft>,
    /// Requests that share this append; no two are of the same user and name.
    pub keys: Vec<KeyWrite>,
    pub secrets: Vec<SecretWrite>,
    /// Whether turns run or wait in the world after this append; see [`WorldLog::busy_worlds`].
    pub busy: bool,
    /// Turns newly wait after this append: somebody must take them up (see [`cluster::Ticket`]).
    pub ticket: bool,
    /// The title in listings: `None` keeps it, `Some(None)` removes it.
    pub title: Option<Option<String>>,
}

/// An idempotency key that becomes known with the records it produced. Its scope is the user and
/// the world's epoch (docs/PROTOCOL.md §4).
#[derive(Clone, Debug)]
pub struct KeyWrite {
    pub user: String,
    pub key: String,
    /// HMAC of the domain command under [`WorldLog::installation_key`].
    pub fingerprint: [u8; 32],
    /// What to answer to a repetition.
    pub answer: Bytes,
    /// Unix milliseconds; the key is forgotten a setting (24 h) after this.
    pub at_ms: i64,
}

/// A key that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub fingerprint: [u8; 32],
    pub answer: Bytes,
    pub at_ms: i64,
}

/// Sets or (with `None`) removes the secret of one agent. Names that differ only in ASCII case
/// are one.
#[derive(Clone, Debug)]
pub struct SecretWrite {
    pub agent: String,
    pub secret: Option<Secret>,
}

/// The outcome of an append that storage could decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Durable. `head` is the `seq` of the last draft.
    Done { head: u64 },
    /// Nothing was written: the log had moved on. Read the tail and decide again.
    Conflict { head: u64 },
    /// Nothing was written: one of the keys is known already. Comes before `Conflict`.
    Duplicate(KeyRecord),
}

/// How far a world's log reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 16 characters of `[a-z0-9]`, random, made with the log; another one means another history.
    pub epoch: String,
    /// The last `seq`; 0 while the log is empty.
    pub head: u64,
    /// Records up to and including this `seq` are gone; 0 while all are there.
    pub floor: u64,
}

/// How much one read may return. At least one record comes, whatever its size, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub records: usize,
    /// Of all bodies together.
    pub bytes: usize,
}

/// A run of records in ascending order without gap, and how far the log reached when it was read.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Record>,
    pub head: u64,
    /// Above the `after` that was asked for: the records from there on are gone, and none come.
    pub floor: u64,
}

/// A state of the world's fold, opaque to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record that is folded into it.
    pub seq: u64,
    pub body: Bytes,
}

/// Why a call failed. None of these texts is for clients.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("no such world")]
    NoWorld,
    #[error("no such user")]
    NoUser,
    /// Nothing was written. May work again later: a full disk, an I/O error.
    #[error("storage failed, nothing was written")]
    Storage(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Nothing was written: it is more than storage takes at once, today and tomorrow.
    #[error("storage does not take so much at once, nothing was written")]
    TooLarge(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Nothing was written, as storage cannot be reached. It comes back by itself.
    #[error("storage cannot be reached, nothing was written")]
    Away(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It may have been written, all of it, or not at all. Read the tail and decide.
    #[error("storage failed, the outcome is unknown")]
    Unknown(#[source] Arc<dyn std::error::Error + Send + Sync>),
    #[error("storage is closed")]
    Closed,
}

/// The logs of all worlds. Every call on a world that does not exist is [`Error::NoWorld`], where
/// the result is no `Option`.
pub trait WorldLog: Send + Sync + 'static {
    /// Appends, if the head is the expected one and every key is new.
    fn append(&self, append: Append) -> Answer<'_, Appended>;

    /// The records after `after`, oldest first. None when `after` is below the floor.
    fn read(&self, world: WorldId, after: u64, limit: Limit) -> Answer<'_, Page>;

    /// The records nearest before `before`, in ascending order: a page of history.
    fn read_before(&self, world: WorldId, before: u64, limit: Limit) -> Answer<'_, Page>;

    fn head(&self, world: WorldId) -> Answer<'_, Option<Head>>;

    /// What is known of these keys of this user in this world's epoch, in their order; nothing of one that is older
    /// than keys are kept.
    fn find_keys(&self, world: WorldId, user: &str, keys: &[&str]) -> Answer<'_, Vec<Option<KeyRecord>>>;

    /// The secrets of the world's agents, by agent.
    fn secrets(&self, world: WorldId) -> Answer<'_, Vec<(String, Secret)>>;

    /// Keeps the newest snapshot only: one that is not newer than it, or beyond the head, is ignored.
    fn save_snapshot(&self, world: WorldId, snapshot: Snapshot) -> Answer<'_, ()>;

    fn latest_snapshot(&self, world: WorldId) -> Answer<'_, Option<Snapshot>>;

    /// Removes the records up to and including `upto`, but none that no snapshot covers. Answers
    /// the floor then reached. This is what bounds a log.
    fn truncate(&self, world: WorldId, upto: u64) -> Answer<'_, u64>;

    /// The worlds whose last append said `busy`: what a starting server must take up again.
    fn busy_worlds(&self) -> Answer<'_, Vec<WorldId>>;

    /// A random key made once per installation, for fingerprints.
    fn installation_key(&self) -> Answer<'_, [u8; 32]>;

    /// The key of the installation that the world came from, if it came from another one: keys that are older than
    /// that have their fingerprints under it.
    fn former_key(&self, _world: WorldId) -> Answer<'_, Option<[u8; 32]>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether a write would succeed now, found out by making one (at most one a second).
    fn probe(&self) -> Answer<'_, ()>;

    /// Finishes what was asked for, then releases the storage. Later calls are [`Error::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}
