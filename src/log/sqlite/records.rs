use std::ops::RangeInclusive;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::run::{self, damaged, place};
use super::{keys, seq_of, sql};
use crate::log::{Append, Appended, Error, Head, Limit, Page, Record, SecretWrite, Snapshot, WorldId};

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
    let head = run::insert(conn, num, head.head, &append.drafts)?;
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
    let wanted = after.saturating_add(1)..=head;
    let records = if after < floor { Vec::new() } else { collect(conn, num, wanted, Order::OldestFirst, limit)? };
    Ok(Page { records, head, floor })
}

pub(super) fn read_before(conn: &Connection, id: WorldId, before: u64, limit: Limit) -> Result<Page, Error> {
    let World { num, head: Head { head, floor, .. } } = world(conn, id)?;
    // Below the floor there may be records that are not yet removed.
    let wanted = floor + 1..=head.min(before.saturating_sub(1));
    let mut records = collect(conn, num, wanted, Order::NewestFirst, limit)?;
    records.reverse();
    Ok(Page { records, head, floor })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// The wanted records in this order, as many as the limit allows and one at least. They must all be there.
fn collect(
    conn: &Connection,
    num: i64,
    wanted: RangeInclusive<u64>,
    order: Order,
    limit: Limit,
) -> Result<Vec<Record>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (first, last) = (place(num, *wanted.start()), place(num, *wanted.end()));
    let mut select = conn.prepare_cached(match order {
        Order::OldestFirst => "SELECT place, records, sum FROM runs WHERE place BETWEEN ?1 AND ?2 ORDER BY place",
        Order::NewestFirst => "SELECT place, records, sum FROM runs WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC",
    })?;
    // The last wanted record may be in the middle of a run.
    let end = conn
        .prepare_cached("SELECT min(place) FROM runs WHERE place BETWEEN ?1 AND ?2")?
        .query_row([last, place(num, u64::MAX)], |row| row.get::<_, Option<i64>>(0))?;
    let mut rows = select.query([first, end.unwrap_or(last)])?;
    let (mut records, mut bytes, mut numbers) = (Vec::new(), 0, wanted.clone());
    let mut expected = || if order == Order::OldestFirst { numbers.next() } else { numbers.next_back() };
    loop {
        // What is not wanted any more may be damaged.
        if records.len() >= limit.records.max(1) {
            return Ok(records);
        }
        let Some(row) = rows.next()? else { break };
        let at = row.get(0)?;
        let mut run = run::unpack(at, row.get(1)?, row.get(2)?).ok_or_else(|| damaged(at))?;
        if order == Order::NewestFirst {
            run.reverse();
        }
        for record in run.into_iter().filter(|record| wanted.contains(&record.seq)) {
            let next = expected();
            if next != Some(record.seq) {
                return Err(damaged(place(num, next.unwrap_or(record.seq))));
            }
            bytes += record.body.len();
            let enough = records.len() >= limit.records || bytes > limit.bytes;
            if enough && !records.is_empty() {
                return Ok(records);
            }
            records.push(record);
        }
    }
    match expected() {
        Some(missing) => Err(damaged(place(num, missing))),
        None => Ok(records),
    }
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
            Ok((snapshot, r.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((snapshot, sum)) = found else { return Ok(None) };
    if sum != sum_of(num, &snapshot) {
        // The log says the same, as long as it reaches back.
        tracing::error!(world = %id, "snapshot is damaged, not used");
        return Ok(None);
    }
    Ok(Some(snapshot))
}

fn sum_of(num: i64, snapshot: &Snapshot) -> i64 {
    run::checksum(place(num, snapshot.seq), &snapshot.body)
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
