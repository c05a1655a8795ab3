use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::log::{Error, KeyRecord, KeyWrite};

/// A key of a world. One older than `since_ms` is forgotten, whether or not it is removed yet.
pub(super) fn find(
    conn: &Connection,
    world: i64,
    user: &str,
    key: &str,
    since_ms: i64,
) -> Result<Option<KeyRecord>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT fingerprint, answer, at_ms FROM keys
             WHERE world = ?1 AND key = ?2 AND user = ?3 AND at_ms >= ?4",
        )?
        .query_row(params![world, key, user, since_ms], |r| {
            Ok(KeyRecord { fingerprint: r.get(0)?, answer: Bytes::from(r.get::<_, Vec<u8>>(1)?), at_ms: r.get(2)? })
        })
        .optional()?;
    Ok(found)
}

/// Replaces at most a forgotten key: the caller has looked.
pub(super) fn insert(conn: &Connection, world: i64, key: &KeyWrite) -> Result<(), Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        world,
        key.key,
        key.user,
        key.fingerprint,
        &key.answer[..],
        key.at_ms
    ])?;
    Ok(())
}
