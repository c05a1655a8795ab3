//! A run: records that were appended together, as one row, or as few as hold them. A message is several records; a row
//! for each would cost as many insertions, entries of the index and checksums.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::log::{Draft, Error, Record};

/// Bytes after which another row is begun, so that a page of history does not read megabytes for a few records.
const FULL: usize = 16 * 1024;

/// What stands before each body: the id, the time and the body's length.
const HEADER: usize = 16 + 8 + 8;

/// Where a record stands among those of all worlds: 32 bits of world, 32 bits of `seq`. A run stands where its last
/// record does.
pub(super) fn place(num: i64, seq: u64) -> i64 {
    (num << 32) | i64::from(u32::try_from(seq).unwrap_or(u32::MAX))
}

fn seq_at(place: i64) -> u64 {
    place.cast_unsigned() & u64::from(u32::MAX)
}

/// Writes the drafts behind `head`; answers the new head. Where something stands already, the head is damaged.
pub(super) fn insert(conn: &Connection, num: i64, mut head: u64, mut drafts: &[Draft]) -> Result<u64, Error> {
    let (from, end) = (place(num, head + 1), place(num, u64::MAX));
    let taken = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE place BETWEEN ?1 AND ?2)")?
        .query_row([from, end], |row| row.get(0))?;
    if taken || head + drafts.len() as u64 >= u64::from(u32::MAX) {
        return Err(damaged(from));
    }
    while !drafts.is_empty() {
        let (run, rest) = first(drafts);
        head += run.len() as u64;
        write(conn, place(num, head), run)?;
        drafts = rest;
    }
    Ok(head)
}

/// Writes one row; its last record stands at `place`.
pub(super) fn write(conn: &Connection, place: i64, run: &[Draft]) -> rusqlite::Result<()> {
    let packed = pack(run);
    let mut insert = conn.prepare_cached("INSERT INTO runs(place, records, sum) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![place, packed, checksum(place, &packed)])?;
    Ok(())
}

/// What goes into one row, and what remains.
fn first(drafts: &[Draft]) -> (&[Draft], &[Draft]) {
    let mut size = 0;
    let fits = |draft: &&Draft| {
        let fits = size < FULL;
        size += HEADER + draft.body.len();
        fits
    };
    drafts.split_at(drafts.iter().take_while(fits).count())
}

fn pack(drafts: &[Draft]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(drafts.iter().map(|draft| HEADER + draft.body.len()).sum());
    for Draft { id, at_ms, body } in drafts {
        packed.extend_from_slice(id.as_bytes());
        packed.extend_from_slice(&at_ms.to_le_bytes());
        packed.extend_from_slice(&(body.len() as u64).to_le_bytes());
        packed.extend_from_slice(body);
    }
    packed
}

/// The records of a row, oldest first; none if it is not what was written.
pub(super) fn unpack(place: i64, packed: Vec<u8>, sum: i64) -> Option<Vec<Record>> {
    if sum != checksum(place, &packed) {
        return None;
    }
    let (mut rest, mut records) = (Bytes::from(packed), Vec::new());
    while !rest.is_empty() {
        if rest.len() < HEADER {
            return None;
        }
        let mut id = [0; 16];
        rest.copy_to_slice(&mut id);
        let (at_ms, length) = (rest.get_i64_le(), usize::try_from(rest.get_u64_le()).ok()?);
        if rest.len() < length {
            return None;
        }
        records.push(Record { seq: 0, id: Uuid::from_bytes(id), at_ms, body: rest.split_to(length) });
    }
    let before = seq_at(place).checked_sub(records.len() as u64)?;
    for (record, seq) in records.iter_mut().zip(before + 1..) {
        record.seq = seq;
    }
    Some(records)
}

/// A record is not what was written, or is not there.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} of world number {num} is damaged; restore the database from a backup")]
struct Damaged {
    num: i64,
    seq: u64,
}

pub(super) fn damaged(place: i64) -> Error {
    Error::Storage(Arc::new(Damaged { num: place >> 32, seq: seq_at(place) }))
}

/// What a row amounts to, so that a bit that flips on the disk is noticed: SQLite checks its structure, not what stands
/// in it. Against accidents, not against people.
pub(super) fn checksum(place: i64, bytes: &[u8]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&place.to_le_bytes());
    sum.update(bytes);
    sum.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts(sizes: &[usize]) -> Vec<Draft> {
        let draft = |&size: &usize| Draft { id: Uuid::now_v7(), at_ms: -5, body: vec![b'x'; size].into() };
        sizes.iter().map(draft).collect()
    }

    #[test]
    fn a_row_is_full_at_some_point() {
        for (sizes, rows) in [
            (&[1, 0, 2][..], &[3][..]),
            (&[FULL, 1, 1], &[1, 2]),
            (&[FULL - HEADER - 1, 1_000_000, 1], &[2, 1]),
            (&[FULL / 4; 9], &[4, 4, 1]),
        ] {
            let drafts = drafts(sizes);
            let (mut rest, mut lengths) = (&drafts[..], Vec::new());
            while !rest.is_empty() {
                let (run, behind) = first(rest);
                lengths.push(run.len());
                rest = behind;
            }
            assert_eq!(lengths, rows, "{sizes:?}");
        }
    }

    #[test]
    fn a_run_comes_out_as_it_went_in_and_nothing_else_does() {
        let (drafts, at) = (drafts(&[0, 3, 200]), place(7, 12));
        let packed = pack(&drafts);
        let read = unpack(at, packed.clone(), checksum(at, &packed)).unwrap();
        for ((record, draft), seq) in read.iter().zip(&drafts).zip(10..) {
            assert_eq!((record.seq, record.id, record.at_ms, &record.body), (seq, draft.id, -5, &draft.body));
        }
        assert_eq!(read.len(), 3);
        assert!(unpack(at, packed.clone(), checksum(at + 1, &packed)).is_none(), "another place");
        // More records than there are numbers.
        let first = place(7, 2);
        assert!(unpack(first, packed.clone(), checksum(first, &packed)).is_none());
        let ends = [0, HEADER, 2 * HEADER + 3, packed.len()];
        for length in 0..=packed.len() {
            let cut = packed[..length].to_vec();
            let sum = checksum(at, &cut);
            assert_eq!(unpack(at, cut, sum).is_some(), ends.contains(&length), "{length} bytes");
        }
        for at_byte in 0..packed.len() {
            let mut flipped = packed.clone();
            flipped[at_byte] ^= 4;
            assert!(unpack(at, flipped, checksum(at, &packed)).is_none());
        }
    }
}
