//! Older formats of the database, and how they become today's.

use bytes::Bytes;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::run::{self, place};
use super::schema::{RUNS, VERSION};
use crate::log::Draft;

/// Until format 1 records and snapshots had no checksums: those are believed.
const SUMS_OF_1: &str = "ALTER TABLE events ADD COLUMN sum INTEGER; ALTER TABLE snapshots ADD COLUMN sum INTEGER;";

/// Makes a database of an older format one of today's, all or nothing. Takes time and space as there are records.
pub(super) fn take_over(conn: &Connection, version: i32) -> rusqlite::Result<()> {
    tracing::warn!(
        from = version,
        to = VERSION,
        "the database is of an older format and is taken over, which takes a while"
    );
    let tx = conn.unchecked_transaction()?;
    if version == 1 {
        tx.execute_batch(SUMS_OF_1)?;
    }
    tx.execute_batch(RUNS)?;
    records(&tx)?;
    snapshots(&tx)?;
    tx.execute_batch("DROP TABLE events")?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    tracing::warn!("the database is taken over");
    Ok(())
}

/// Until format 2 each record had a row, and these lay in the order of the worlds. One that is damaged is left out: as
/// one that is missing, it makes an error of whatever reads it.
fn records(conn: &Connection) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT place, id, at_ms, body, sum FROM events ORDER BY place")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (place, id): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let (at_ms, body): (i64, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let is_whole = is_whole(row.get(4)?, &[&place.to_le_bytes(), &id, &at_ms.to_le_bytes(), &body]);
        if let (true, Ok(id)) = (is_whole, Uuid::from_slice(&id)) {
            run::write(conn, place, &[Draft { id, at_ms, body: Bytes::from(body) }])?;
        }
    }
    Ok(())
}

/// A snapshot that is damaged was never used.
fn snapshots(conn: &Connection) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT world, seq, body, sum FROM snapshots")?;
    let sums = select.query_map([], |row| {
        let (world, seq, body): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let place = u64::try_from(seq).map(|seq| place(world, seq)).unwrap_or_default();
        let is_whole = is_whole(row.get(3)?, &[&place.to_le_bytes(), &0i64.to_le_bytes(), &body]);
        Ok((world, is_whole.then(|| run::checksum(place, &body))))
    })?;
    for (world, sum) in sums.collect::<Result<Vec<_>, _>>()? {
        match sum {
            Some(sum) => conn.execute("UPDATE snapshots SET sum = ?2 WHERE world = ?1", params![world, sum])?,
            None => conn.execute("DELETE FROM snapshots WHERE world = ?1", [world])?,
        };
    }
    Ok(())
}

fn is_whole(sum: Option<i64>, parts: &[&[u8]]) -> bool {
    sum.is_none_or(|sum| sum == fnv(parts))
}

/// The checksum until format 2: FNV-1a with 64 bits.
fn fnv(parts: &[&[u8]]) -> i64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325, mix).cast_signed()
}
