use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql;
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

/// The keys of a world after that one, given by key and user.
pub(super) fn page(
    conn: &Connection,
    world: i64,
    (key, user): (&str, &str),
    since_ms: i64,
    limit: u64,
) -> Result<Vec<KeyWrite>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT key, user, fingerprint, answer, at_ms FROM keys
         WHERE world = ?1 AND (key, user) > (?2, ?3) AND at_ms >= ?4 ORDER BY key, user LIMIT ?5",
    )?;
    let found = select.query_map(params![world, key, user, since_ms, sql(limit)], |r| {
        let answer = Bytes::from(r.get::<_, Vec<u8>>(3)?);
        Ok(KeyWrite { key: r.get(0)?, user: r.get(1)?, fingerprint: r.get(2)?, answer, at_ms: r.get(4)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
