use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{checksum::checksum, keys, seq_of, sql};
use crate::log::{Append, Appended, Draft, Error, Head, Limit, Page, Record, SecretWrite, Snapshot, WorldId};

/// What the writer has to know of a world.
pub(super) struct World {
    pub num: i64,
    pub head: Head,
}

pub(super) fn world(conn: &Connection, world: WorldId) -> Result<World, Error> {
    let row = conn
        .prepare_cached("SELECT num, epoch, head, floor FROM worlds WHERE id = ?1")?
        .query_row([world.as_bytes()], |r| {
            Ok(World { num: r.get(0)?, head: Head { epoch: r.get(1)?, head: seq_of(r, 2)?, floor: seq_of(r, 3)? } })
        })
        .optional()?;
    row.ok_or(Error::NoWorld)
}

pub(super) fn append(conn: &Connection, append: &Append, keys_since_ms: i64) -> Result<Appended, Error> {
    let World { num, head } = world(conn, append.world)?;
    for key in &append.keys {
        if let Some(known) = keys::find(conn, num, &key.user, &key.key, keys_since_ms)? {
            return Ok(Appended::Duplicate(known));
        }
    }
    if head.head != append.expected_head {
        return Ok(Appended::Conflict { head: head.head });
    }
    let head = insert(conn, num, head.head, &append.drafts)?;
    conn.prepare_cached("UPDATE worlds SET head = ?2, busy = ?3 WHERE num = ?1")?.execute(params![
        num,
        sql(head),
        append.busy
    ])?;
    if let Some(title) = &append.title {
        conn.prepare_cached("UPDATE worlds SET title = ?2 WHERE num = ?1")?.execute(params![num, title])?;
    }
    for key in &append.keys {
        keys::insert(conn, num, key)?;
    }
    for secret in &append.secrets {
        write_secret(conn, num, secret)?;
    }
    Ok(Appended::Done { head })
}

/// Where a record stands in the table of all events: 32 bits of world, 32 bits of `seq`.
pub(super) fn place(num: i64, seq: u64) -> i64 {
    (num << 32) | i64::from(u32::try_from(seq).unwrap_or(u32::MAX))
}

/// Writes the drafts behind `head`; answers the new head.
pub(super) fn insert(conn: &Connection, num: i64, mut head: u64, drafts: &[Draft]) -> Result<u64, Error> {
    let mut insert = conn.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for draft in drafts {
        head += 1;
        // A log of 2^32 records would be refused here, as the last place is taken.
        let place = place(num, head);
        let sum = checksum(place, draft.id.as_bytes(), draft.at_ms, &draft.body);
        insert.execute(params![place, draft.id.as_bytes(), draft.at_ms, &draft.body[..], sum])?;
    }
    Ok(head)
}

pub(super) fn write_secret(conn: &Connection, num: i64, write: &SecretWrite) -> Result<(), Error> {
    match &write.secret {
        Some(secret) => conn.prepare_cached("INSERT OR REPLACE INTO secrets VALUES (?1, ?2, ?3)")?.execute(params![
            num,
            write.agent,
            secret.expose()
        ])?,
        None => conn
            .prepare_cached("DELETE FROM secrets WHERE world = ?1 AND agent = ?2")?
            .execute(params![num, write.agent])?,
    };
    Ok(())
}

pub(super) fn read(conn: &Connection, id: WorldId, after: u64, limit: Limit) -> Result<Page, Error> {
    let World { num, head: Head { head, floor, .. } } = world(conn, id)?;
    let records = if after < floor {
        Vec::new()
    } else {
        let select = "SELECT place, id, at_ms, body, sum FROM events
                      WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3";
        let records = collect(conn, select, place(num, after), place(num, head), limit)?;
        let dense = records.iter().zip(after.saturating_add(1)..).all(|(record, seq)| record.seq == seq);
        if !dense || (records.is_empty() && after < head) {
            return Err(damaged(place(num, after.saturating_add(1))));
        }
        records
    };
    Ok(Page { records, head, floor })
}

pub(super) fn read_before(conn: &Connection, id: WorldId, before: u64, limit: Limit) -> Result<Page, Error> {
    let World { num, head: Head { head, floor, .. } } = world(conn, id)?;
    // Below the floor there may be records that are not yet removed.
    let select = "SELECT place, id, at_ms, body, sum FROM events
                  WHERE place > ?1 AND place < ?2 ORDER BY place DESC LIMIT ?3";
    let mut records = collect(conn, select, place(num, floor), place(num, before), limit)?;
    records.reverse();
    Ok(Page { records, head, floor })
}

fn collect(conn: &Connection, select: &str, from: i64, to: i64, limit: Limit) -> Result<Vec<Record>, Error> {
    let mut select = conn.prepare_cached(select)?;
    let count = i64::try_from(limit.records.max(1)).unwrap_or(i64::MAX);
    let mut rows = select.query([from, to, count])?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (place, record) = (row.get(0)?, record(row)?);
        let sum: Option<i64> = row.get(4)?;
        if sum.is_some_and(|sum| sum != checksum(place, record.id.as_bytes(), record.at_ms, &record.body)) {
            return Err(damaged(place));
        }
        bytes += record.body.len();
        if bytes > limit.bytes && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        seq: seq_of(row, 0)? & u64::from(u32::MAX),
        id: Uuid::from_bytes(row.get(1)?),
        at_ms: row.get(2)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
    })
}

pub(super) fn save_snapshot(conn: &Connection, id: WorldId, snapshot: &Snapshot) -> Result<(), Error> {
    let World { num, head } = world(conn, id)?;
    if snapshot.seq <= head.head {
        conn.prepare_cached(
            "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4) ON CONFLICT (world) DO UPDATE
             SET seq = excluded.seq, body = excluded.body, sum = excluded.sum WHERE seq < excluded.seq",
        )?
        .execute(params![num, sql(snapshot.seq), &snapshot.body[..], sum_of(num, snapshot)])?;
    }
    Ok(())
}

pub(super) fn latest_snapshot(conn: &Connection, id: WorldId) -> Result<Option<Snapshot>, Error> {
    let World { num, .. } = world(conn, id)?;
    let found = conn
        .prepare_cached("SELECT seq, body, sum FROM snapshots WHERE world = ?1")?
        .query_row([num], |r| {
            let snapshot = Snapshot { seq: seq_of(r, 0)?, body: Bytes::from(r.get::<_, Vec<u8>>(1)?) };
            Ok((snapshot, r.get::<_, Option<i64>>(2)?))
        })
        .optional()?;
    let Some((snapshot, sum)) = found else { return Ok(None) };
    if sum.is_some_and(|sum| sum != sum_of(num, &snapshot)) {
        // The log says the same, as long as it reaches back.
        tracing::error!(world = %id, "snapshot is damaged, not used");
        return Ok(None);
    }
    Ok(Some(snapshot))
}

fn sum_of(num: i64, snapshot: &Snapshot) -> i64 {
    checksum(place(num, snapshot.seq), &[], 0, &snapshot.body)
}

/// A record is not what was written, or is not there.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} of world number {num} is damaged; restore the database from a backup")]
struct Damaged {
    num: i64,
    seq: i64,
}

fn damaged(place: i64) -> Error {
    Error::Storage(Arc::new(Damaged { num: place >> 32, seq: place & i64::from(u32::MAX) }))
}

/// Raises the floor at once and leaves the removal to [`super::tidy`], in small steps: deleting a
/// long log in one transaction would hold up everyone's appends.
pub(super) fn truncate(conn: &Connection, id: WorldId, upto: u64) -> Result<u64, Error> {
    let World { num, head } = world(conn, id)?;
    let covered = latest_snapshot(conn, id)?.map_or(0, |snapshot| snapshot.seq);
    let floor = upto.min(covered).max(head.floor);
    if floor > head.floor {
        conn.prepare_cached("UPDATE worlds SET floor = ?2 WHERE num = ?1")?.execute(params![num, sql(floor)])?;
        conn.prepare_cached("INSERT OR REPLACE INTO trash VALUES (?1, ?2, FALSE)")?
            .execute(params![num, sql(floor)])?;
    }
    Ok(floor)
}
