use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{keys, records, run, seq_of, sql, users};
use crate::log::{CreatedWorld, Error, Head, NewWorld, Secret, WorldEntry, WorldId};

/// Rows that `entry` reads; a `WHERE` follows.
const ENTRIES: &str = "SELECT w.id, u.id, w.name, w.template, w.persistent, w.title, w.created_ms,
    w.epoch, w.head, w.floor, w.busy FROM worlds w JOIN users u ON u.num = w.user ";

fn entry(row: &Row<'_>) -> rusqlite::Result<WorldEntry> {
    Ok(WorldEntry {
        id: Uuid::from_bytes(row.get(0)?),
        user: row.get(1)?,
        name: row.get(2)?,
        template: row.get(3)?,
        persistent: row.get(4)?,
        title: row.get(5)?,
        created_ms: row.get(6)?,
        head: Head { epoch: row.get(7)?, head: seq_of(row, 8)?, floor: seq_of(row, 9)? },
        busy: row.get(10)?,
    })
}

pub(super) fn create(conn: &Connection, new: &NewWorld) -> Result<CreatedWorld, Error> {
    let user = users::num(conn, &new.user)?;
    if let Some(existing) = find(conn, &new.user, &new.name)? {
        return Ok(CreatedWorld::Exists(existing));
    }
    // 64 random bits, as 16 characters.
    conn.prepare_cached(
        "INSERT INTO worlds(id, user, name, template, persistent, title, created_ms, epoch, head,
           floor, busy)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, lower(hex(randomblob(8))), ?8, 0, FALSE)",
    )?
    .execute(params![
        new.id.as_bytes(),
        user,
        new.name,
        new.template,
        new.persistent,
        new.title,
        new.created_ms,
        sql(new.drafts.len() as u64),
    ])?;
    let num = conn.last_insert_rowid();
    run::insert(conn, num, 0, &new.drafts)?;
    if let Some(key) = &new.key {
        keys::insert(conn, num, key)?;
    }
    for secret in &new.secrets {
        records::write_secret(conn, num, secret)?;
    }
    by_id(conn, new.id)?.map(CreatedWorld::Created).ok_or(Error::NoWorld)
}

pub(super) fn find(conn: &Connection, user: &str, name: &str) -> Result<Option<WorldEntry>, Error> {
    let found = conn
        .prepare_cached(&format!("{ENTRIES} WHERE u.id = ?1 AND w.name = ?2"))?
        .query_row([user, name], entry)
        .optional()?;
    Ok(found)
}

pub(super) fn by_id(conn: &Connection, world: WorldId) -> Result<Option<WorldEntry>, Error> {
    let found =
        conn.prepare_cached(&format!("{ENTRIES} WHERE w.id = ?1"))?.query_row([world.as_bytes()], entry).optional()?;
    Ok(found)
}

pub(super) fn of_user(conn: &Connection, user: &str) -> Result<Vec<WorldEntry>, Error> {
    let mut select = conn.prepare_cached(&format!("{ENTRIES} WHERE u.id = ?1 ORDER BY w.created_ms, w.num"))?;
    let entries = select.query_map([user], entry)?.collect::<Result<_, _>>()?;
    Ok(entries)
}

/// The worlds after that one, in the order of their ids.
pub(super) fn page(conn: &Connection, after: WorldId, limit: u64) -> Result<Vec<WorldEntry>, Error> {
    let mut select = conn.prepare_cached(&format!("{ENTRIES} WHERE w.id > ?1 ORDER BY w.id LIMIT ?2"))?;
    let entries = select.query_map(params![after.as_bytes(), sql(limit)], entry)?.collect::<Result<_, _>>()?;
    Ok(entries)
}

/// The worlds that a condition (over an index of its own) selects.
pub(super) fn ids_where(conn: &Connection, condition: &str) -> Result<Vec<WorldId>, Error> {
    let mut select = conn.prepare_cached(&format!("SELECT id FROM worlds WHERE {condition} ORDER BY id"))?;
    let ids = select.query_map([], |r| r.get(0).map(Uuid::from_bytes))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub(super) fn set_persistent(conn: &Connection, world: WorldId, persistent: bool) -> Result<(), Error> {
    let changed = conn
        .prepare_cached("UPDATE worlds SET persistent = ?2 WHERE id = ?1")?
        .execute(params![world.as_bytes(), persistent])?;
    if changed == 0 { Err(Error::NoWorld) } else { Ok(()) }
}

/// Gone at once for everyone; records and keys, which may be many, are left to [`super::tidy`].
/// Secrets and snapshot go with the row.
pub(super) fn delete(conn: &Connection, world: WorldId) -> Result<bool, Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO trash SELECT num, head, TRUE FROM worlds WHERE id = ?1")?
        .execute([world.as_bytes()])?;
    let deleted = conn.prepare_cached("DELETE FROM worlds WHERE id = ?1")?.execute([world.as_bytes()])?;
    Ok(deleted > 0)
}

pub(super) fn secrets(conn: &Connection, world: WorldId) -> Result<Vec<(String, Secret)>, Error> {
    let num = records::world(conn, world)?.num;
    let mut select = conn.prepare_cached("SELECT agent, secret FROM secrets WHERE world = ?1 ORDER BY agent")?;
    let secrets = select.query_map([num], |r| Ok((r.get(0)?, Secret::new(r.get::<_, String>(1)?))))?;
    Ok(secrets.collect::<Result<_, _>>()?)
}
