use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Answer, Draft, Head, KeyWrite, SecretWrite, WorldId};

/// A session token as it is stored: its SHA-256 only (docs/PROTOCOL.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub(super) [u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// A world to be created, with its first records.
#[derive(Clone, Debug)]
pub struct NewWorld {
    /// Fresh: UUID v7.
    pub id: WorldId,
    pub user: String,
    /// Unique among the user's worlds without regard to ASCII case.
    pub name: String,
    pub template: String,
    pub persistent: bool,
    pub title: Option<String>,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Become `seq` 1, 2, …
    pub drafts: Vec<Draft>,
    pub key: Option<KeyWrite>,
    pub secrets: Vec<SecretWrite>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreatedWorld {
    Created(WorldEntry),
    /// Nothing was written: the user has a world of that name.
    Exists(WorldEntry),
}

/// A world as the directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldEntry {
    pub id: WorldId,
    pub user: String,
    /// As it was written when the world was created.
    pub name: String,
    pub template: String,
    pub persistent: bool,
    pub title: Option<String>,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// As of this lookup.
    pub head: Head,
    /// What the last append said.
    pub busy: bool,
}

/// A use of a user is written only if the last one written is older than this.
pub const USE_GRAIN_MS: i64 = 60 * 60 * 1000;

/// A user that was removed, and the worlds that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredUser {
    pub user: String,
    pub worlds: Vec<WorldId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub users: u64,
    pub sessions: u64,
    pub worlds: u64,
}

/// Users, their sessions, and which worlds they own (docs/PROTOCOL.md §5). Everything here is by
/// user: a name never reaches another user's world.
pub trait Directory: Send + Sync + 'static {
    /// Stores a session of `user`, and the user, if it is new. To be repeated harmlessly.
    fn create_session<'a>(&'a self, user: &'a str, token: TokenHash, now_ms: i64) -> Answer<'a, ()>;

    /// The user of a token. Counts as a use of the user, written at most once an hour.
    fn find_session(&self, token: TokenHash, now_ms: i64) -> Answer<'_, Option<String>>;

    /// Whether there was such a session.
    fn revoke_session(&self, token: TokenHash) -> Answer<'_, bool>;

    /// Counts as a use, for connections that outlive their look-up. Whether the user exists.
    fn touch_user<'a>(&'a self, user: &'a str, now_ms: i64) -> Answer<'a, bool>;

    /// Creates the world and its first records, all or nothing. [`Error::NoUser`] without a user.
    ///
    /// [`Error::NoUser`]: super::Error::NoUser
    fn create_world(&self, new: NewWorld) -> Answer<'_, CreatedWorld>;

    /// The user's world of that name, ASCII case ignored.
    fn find_world<'a>(&'a self, user: &'a str, name: &'a str) -> Answer<'a, Option<WorldEntry>>;

    /// The world of that id, whoever owns it: for a starting server, never for a client's input.
    fn world(&self, world: WorldId) -> Answer<'_, Option<WorldEntry>>;

    /// Oldest first.
    fn worlds_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<WorldEntry>>;

    fn set_persistent(&self, world: WorldId, persistent: bool) -> Answer<'_, ()>;

    /// Deletes the world: records, keys, secrets, snapshot. Whether it existed.
    fn delete_world(&self, world: WorldId) -> Answer<'_, bool>;

    /// The worlds that are not persistent: their grace period starts anew with the server.
    fn ephemeral_worlds(&self) -> Answer<'_, Vec<WorldId>>;

    /// Deletes users that were last used before `before_ms`, with sessions and worlds; at most
    /// `limit` of them, so that the call can be repeated until it answers fewer.
    fn expire_users(&self, before_ms: i64, limit: usize) -> Answer<'_, Vec<ExpiredUser>>;

    fn counts(&self) -> Answer<'_, Counts>;
}
