//! Older formats of the database, and how they become today's.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::run::{self, place, seq_at};
use super::schema::{RUNS, VERSION};
use crate::log::Draft;

/// Until format 1 records and snapshots had no checksums: those are believed.
const SUMS_OF_1: &str = "ALTER TABLE events ADD COLUMN sum INTEGER; ALTER TABLE snapshots ADD COLUMN sum INTEGER;";

/// Makes a database of an older format one of today's, all or nothing. Takes time and space as there are records.
pub(super) fn take_over(conn: &Connection, version: i32) -> rusqlite::Result<()> {
    tracing::info!(from = version, to = VERSION, "the database is of an older format and is taken over");
    let tx = conn.unchecked_transaction()?;
    if version == 1 {
        tx.execute_batch(SUMS_OF_1)?;
    }
    tx.execute_batch(RUNS)?;
    records(&tx)?;
    snapshots(&tx)?;
    tx.execute_batch("DROP TABLE events")?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

/// Until format 2 each record had a row, and these lay in the order of the worlds.
fn records(conn: &Connection) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT place, sum, id, at_ms, body FROM events ORDER BY place")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (place, body) = (row.get(0)?, row.get::<_, Vec<u8>>(4)?);
        let draft = Draft { id: Uuid::from_bytes(row.get(2)?), at_ms: row.get(3)?, body: Bytes::from(body) };
        run::insert(conn, place >> 32, seq_at(place).saturating_sub(1), std::slice::from_ref(&draft))?;
        if is_damaged(row, &[&place.to_le_bytes(), draft.id.as_bytes(), &draft.at_ms.to_le_bytes(), &draft.body])? {
            conn.execute("UPDATE runs SET sum = ~sum WHERE place = ?1", [place])?;
        }
    }
    Ok(())
}

fn snapshots(conn: &Connection) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT world, sum, seq, body FROM snapshots")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (world, body) = (row.get(0)?, row.get::<_, Vec<u8>>(3)?);
        let place = place(world, super::seq_of(row, 2)?);
        let sum = run::checksum(place, &body);
        let sum = if is_damaged(row, &[&place.to_le_bytes(), &0i64.to_le_bytes(), &body])? { !sum } else { sum };
        conn.execute("UPDATE snapshots SET sum = ?2 WHERE world = ?1", params![world, sum])?;
    }
    Ok(())
}

/// Whether the checksum that stands in the row's second column is another than that of these bytes. What is damaged
/// stays so: its new checksum will not be its own either.
fn is_damaged(row: &Row<'_>, parts: &[&[u8]]) -> rusqlite::Result<bool> {
    Ok(row.get::<_, Option<i64>>(1)?.is_some_and(|sum| sum != fnv(parts)))
}

/// The checksum until format 2: FNV-1a with 64 bits.
fn fnv(parts: &[&[u8]]) -> i64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325, mix).cast_signed()
}
