//! A data directory that is moved elsewhere: held against servers, and only read.

use rusqlite::params;
use uuid::Uuid;

use super::data_dir::{DataDir, database};
use super::readers::Readers;
use super::{OpenError, Options, keys, millis, now_ms, records, schema, sql, users, worlds};
use crate::log::{Counts, Error, KeyWrite, Limit, Page, Secret, Snapshot, TokenHash, WorldEntry, WorldId};

/// Users, sessions or worlds read at once.
const PAGE: u64 = 200;

/// Everything that a data directory holds, to be read page by page. While it lives no server starts on it.
pub struct Source {
    readers: Readers,
    installation_key: [u8; 32],
    keys_since_ms: i64,
    _dir: DataDir,
}

#[derive(Clone, Debug)]
pub(in crate::log) struct User {
    /// The cursor of the next page.
    pub num: i64,
    pub user: String,
    /// Unix milliseconds.
    pub created_ms: i64,
    pub used_ms: i64,
}

#[derive(Clone, Debug)]
pub(in crate::log) struct Session {
    pub token: TokenHash,
    pub user: String,
    pub created_ms: i64,
}

impl Source {
    /// Refuses a directory that a server uses, and one without a database, where nothing is made.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        if !database(&options.dir).is_file() {
            return Err(OpenError::NoDatabase { path: options.dir.clone() });
        }
        let dir = DataDir::hold(&options.dir)?;
        let database = dir.database().to_owned();
        let conn = schema::open_to_read(&database)?;
        let key = conn.query_row("SELECT key FROM installation", [], |r| r.get(0));
        let installation_key = key.map_err(|source| OpenError::Storage { path: database.clone(), source })?;
        let readers = Readers::new(database, schema::connect_to_read).map_err(OpenError::NoThread)?;
        let keys_since_ms = now_ms() - millis(options.key_lifetime);
        Ok(Self { readers, installation_key, keys_since_ms, _dir: dir })
    }

    pub(in crate::log) fn installation_key(&self) -> &[u8; 32] {
        &self.installation_key
    }

    pub(in crate::log) async fn counts(&self) -> Result<Counts, Error> {
        self.readers.run(users::counts).await
    }

    /// When the youngest user, session or world was made; 0 without any.
    pub(in crate::log) async fn youngest_ms(&self) -> Result<i64, Error> {
        let youngest = "SELECT coalesce(max(at), 0) FROM (SELECT max(created_ms) AS at FROM users
            UNION ALL SELECT max(created_ms) FROM sessions UNION ALL SELECT max(created_ms) FROM worlds)";
        self.readers.run(move |conn| Ok(conn.query_row(youngest, [], |r| r.get(0))?)).await
    }

    /// The users after that one.
    pub(in crate::log) async fn users(&self, after: i64) -> Result<Vec<User>, Error> {
        let read = move |conn: &rusqlite::Connection| {
            let mut select = conn.prepare_cached(
                "SELECT num, id, created_ms, used_ms FROM users WHERE num > ?1 ORDER BY num LIMIT ?2",
            )?;
            let user = |r: &rusqlite::Row<'_>| {
                Ok(User { num: r.get(0)?, user: r.get(1)?, created_ms: r.get(2)?, used_ms: r.get(3)? })
            };
            Ok(select.query_map(params![after, sql(PAGE)], user)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    /// The sessions after that one.
    pub(in crate::log) async fn sessions(&self, after: Option<TokenHash>) -> Result<Vec<Session>, Error> {
        let after = after.map_or_else(Vec::new, |token| token.0.to_vec());
        let read = move |conn: &rusqlite::Connection| {
            let mut select = conn.prepare_cached(
                "SELECT s.token, u.id, s.created_ms FROM sessions s JOIN users u ON u.num = s.user
                 WHERE s.token > ?1 ORDER BY s.token LIMIT ?2",
            )?;
            let session = |r: &rusqlite::Row<'_>| {
                Ok(Session { token: TokenHash(r.get(0)?), user: r.get(1)?, created_ms: r.get(2)? })
            };
            Ok(select.query_map(params![after, sql(PAGE)], session)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    /// The worlds after that one.
    pub(in crate::log) async fn worlds(&self, after: Option<WorldId>) -> Result<Vec<WorldEntry>, Error> {
        let after = after.unwrap_or(Uuid::nil());
        self.readers.run(move |conn| worlds::page(conn, after, PAGE)).await
    }

    pub(in crate::log) async fn read(&self, world: WorldId, after: u64, limit: Limit) -> Result<Page, Error> {
        self.readers.run(move |conn| records::read(conn, world, after, limit)).await
    }

    /// The keys after that one, given by key and user, that are not forgotten.
    pub(in crate::log) async fn keys(&self, world: WorldId, after: (String, String)) -> Result<Vec<KeyWrite>, Error> {
        let since = self.keys_since_ms;
        let read = move |conn: &rusqlite::Connection| {
            let num = records::world(conn, world)?.num;
            keys::page(conn, num, (&after.0, &after.1), since, PAGE)
        };
        self.readers.run(read).await
    }

    pub(in crate::log) async fn secrets(&self, world: WorldId) -> Result<Vec<(String, Secret)>, Error> {
        self.readers.run(move |conn| worlds::secrets(conn, world)).await
    }

    pub(in crate::log) async fn latest_snapshot(&self, world: WorldId) -> Result<Option<Snapshot>, Error> {
        self.readers.run(move |conn| records::latest_snapshot(conn, world)).await
    }
}
