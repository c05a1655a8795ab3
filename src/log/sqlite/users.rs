use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::worlds;
use crate::log::{Counts, Error, ExpiredUser, TokenHash};

/// The small number that stands for a user in other tables.
pub(super) fn num(conn: &Connection, user: &str) -> Result<i64, Error> {
    conn.prepare_cached("SELECT num FROM users WHERE id = ?1")?
        .query_row([user], |r| r.get(0))
        .optional()?
        .ok_or(Error::NoUser)
}

pub(super) fn create_session(conn: &Connection, user: &str, token: TokenHash, now_ms: i64) -> Result<(), Error> {
    conn.prepare_cached(
        "INSERT INTO users(id, created_ms, used_ms) VALUES (?1, ?2, ?2)
         ON CONFLICT (id) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms)",
    )?
    .execute(params![user, now_ms])?;
    conn.prepare_cached("INSERT OR IGNORE INTO sessions VALUES (?1, ?2, ?3)")?.execute(params![
        token.0,
        num(conn, user)?,
        now_ms
    ])?;
    Ok(())
}

/// The user of a token, and when it was last used, in Unix milliseconds.
pub(super) fn find_session(conn: &Connection, token: TokenHash) -> Result<Option<(String, i64)>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT u.id, u.used_ms FROM sessions s JOIN users u ON u.num = s.user
             WHERE s.token = ?1",
        )?
        .query_row([token.0], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    Ok(found)
}

pub(super) fn revoke_session(conn: &Connection, token: TokenHash) -> Result<bool, Error> {
    let revoked = conn.prepare_cached("DELETE FROM sessions WHERE token = ?1")?.execute([token.0])?;
    Ok(revoked > 0)
}

pub(super) fn touch(conn: &Connection, user: &str, now_ms: i64) -> Result<bool, Error> {
    let touched = conn
        .prepare_cached("UPDATE users SET used_ms = max(used_ms, ?2) WHERE id = ?1")?
        .execute(params![user, now_ms])?;
    Ok(touched > 0)
}

pub(super) fn expire(conn: &Connection, before_ms: i64, limit: usize) -> Result<Vec<ExpiredUser>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let unused: Vec<(i64, String)> = conn
        .prepare_cached("SELECT num, id FROM users WHERE used_ms < ?1 ORDER BY used_ms LIMIT ?2")?
        .query_map([before_ms, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut expired = Vec::with_capacity(unused.len());
    for (num, user) in unused {
        let owned: Vec<Uuid> = conn
            .prepare_cached("SELECT id FROM worlds WHERE user = ?1 ORDER BY id")?
            .query_map([num], |r| r.get(0).map(Uuid::from_bytes))?
            .collect::<Result<_, _>>()?;
        for world in &owned {
            worlds::delete(conn, *world)?;
        }
        conn.prepare_cached("DELETE FROM users WHERE num = ?1")?.execute([num])?;
        expired.push(ExpiredUser { user, worlds: owned });
    }
    Ok(expired)
}

pub(super) fn counts(conn: &Connection) -> Result<Counts, Error> {
    let mut select = conn.prepare_cached(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions),
                (SELECT count(*) FROM worlds)",
    )?;
    let counts = select.query_row([], |r| {
        let count = |column| super::seq_of(r, column);
        Ok(Counts { users: count(0)?, sessions: count(1)?, worlds: count(2)? })
    })?;
    Ok(counts)
}
