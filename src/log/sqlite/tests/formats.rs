//! Databases of older formats, as they were written then.

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{OpenError, eventually, open};
use crate::log::contract::{append, draft, make_world, whole};
use crate::log::sqlite::run::unpack;
use crate::log::{Limit, Snapshot, WorldLog};

/// The tables that were others until format 2.
const UNTIL_2: &str = "
    CREATE TABLE events(
      place INTEGER PRIMARY KEY, id BLOB NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER
    ) STRICT;
    CREATE TABLE older(
      world INTEGER PRIMARY KEY REFERENCES worlds ON DELETE CASCADE, seq INTEGER NOT NULL, body BLOB NOT NULL,
      sum INTEGER
    ) STRICT;
    INSERT INTO older SELECT * FROM snapshots; DROP TABLE snapshots; ALTER TABLE older RENAME TO snapshots;";

/// FNV-1a as it is published, with 64 bits.
fn fnv(bytes: &[u8]) -> i64 {
    let mut sum: u64 = 14_695_981_039_346_656_037;
    for byte in bytes {
        sum ^= u64::from(*byte);
        sum = sum.wrapping_mul(1_099_511_628_211);
    }
    sum.cast_signed()
}

/// Writes the database anew as format 1 or 2 had it.
fn age(conn: &Connection, version: i32) -> rusqlite::Result<()> {
    conn.execute_batch(UNTIL_2)?;
    let mut select = conn.prepare("SELECT place, records, sum FROM runs")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(0)?;
        for record in unpack(place, row.get(1)?, row.get(2)?).expect("a run") {
            let at = (place >> 32 << 32) + i64::try_from(record.seq).unwrap();
            let whole =
                [&at.to_le_bytes()[..], record.id.as_bytes(), &record.at_ms.to_le_bytes(), &record.body].concat();
            conn.execute(
                "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)",
                params![at, record.id.as_bytes(), record.at_ms, &record.body[..], fnv(&whole)],
            )?;
        }
    }
    let (world, seq, body): (i64, i64, Vec<u8>) =
        conn.query_row("SELECT world, seq, body FROM snapshots", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let whole = [&((world << 32) + seq).to_le_bytes()[..], &0i64.to_le_bytes(), &body].concat();
    conn.execute("UPDATE snapshots SET sum = ?1", [fnv(&whole)])?;
    // Below the floor, and not yet removed.
    conn.execute("INSERT OR REPLACE INTO trash SELECT num, floor, FALSE FROM worlds WHERE floor > 0", [])?;
    let floor: i64 = conn.query_row("SELECT floor FROM worlds WHERE num = ?1", [world], |row| row.get(0))?;
    for seq in 1..=floor {
        let older = "INSERT OR IGNORE INTO events VALUES (?1, zeroblob(16), 0, zeroblob(9), 0)";
        conn.execute(older, [(world << 32) + seq])?;
    }
    if version == 1 {
        conn.execute_batch("ALTER TABLE events DROP COLUMN sum; ALTER TABLE snapshots DROP COLUMN sum;")?;
    }
    conn.execute_batch("DROP TABLE runs")?;
    conn.pragma_update(None, "user_version", version)
}

#[tokio::test]
async fn an_older_format_is_taken_over() {
    for version in [1, 2] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path()).unwrap();
        let worlds = [make_world(&store).await, make_world(&store).await];
        for (at, size) in [(0, 3), (3, 1), (4, 20)] {
            for world in worlds {
                let drafts = (0..size).map(|n| draft(format!("{{\"n\":{n}}}"))).collect();
                store.append(append(world, at, drafts)).await.unwrap();
            }
        }
        let snapshot = Snapshot { seq: 5, body: "state".into() };
        store.save_snapshot(worlds[0], snapshot.clone()).await.unwrap();
        store.truncate(worlds[0], 4).await.unwrap();
        let rest = Limit { records: usize::MAX, bytes: usize::MAX };
        let before = (store.read(worlds[0], 4, rest).await.unwrap().records, whole(&store, worlds[1]).await);
        store.close().await.unwrap();
        let conn = Connection::open(dir.path().join("log.db")).unwrap();
        age(&conn, version).unwrap();
        drop(conn);

        for _ in 0..2 {
            let store = open(dir.path()).unwrap();
            let after = (store.read(worlds[0], 4, rest).await.unwrap().records, whole(&store, worlds[1]).await);
            assert_eq!(after, before, "format {version}");
            assert_eq!(store.latest_snapshot(worlds[0]).await.unwrap(), Some(snapshot.clone()));
            store.close().await.unwrap();
        }
        let store = open(dir.path()).unwrap();
        store.append(append(worlds[1], 24, vec![draft("{}")])).await.unwrap();
        assert_eq!(whole(&store, worlds[1]).await.len(), 25, "and goes on");
        let left = "SELECT (SELECT count(*) FROM trash) + (SELECT count(*) FROM runs WHERE place <= (1 << 32) + 4)";
        eventually("what is below the floor is removed", async || {
            let read = store.reading(move |conn| Ok(conn.query_row(left, [], |row| row.get::<_, i64>(0))?));
            read.await.unwrap() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_damaged_stays_damaged() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    store.append(append(world, 0, (0..5).map(|_| draft("{\"a\":1}")).collect())).await.unwrap();
    store.save_snapshot(world, Snapshot { seq: 5, body: "state".into() }).await.unwrap();
    store.close().await.unwrap();
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    age(&conn, 2).unwrap();
    conn.execute("UPDATE events SET body = CAST('{\"a\":2}' AS BLOB) WHERE (place & 7) = 3", []).unwrap();
    conn.execute("UPDATE snapshots SET body = CAST('State' AS BLOB)", []).unwrap();
    drop(conn);
    let store = open(dir.path()).unwrap();
    let few = Limit { records: 2, bytes: usize::MAX };
    assert_eq!(store.read(world, 0, few).await.unwrap().records.len(), 2);
    let error = store.read(world, 2, few).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("record 3 of world number 1 is damaged"), "{why}");
    assert_eq!(store.latest_snapshot(world).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_taken_over_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    let database = dir.path().join("log.db");
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    store.append(append(world, 0, (0..5).map(|_| draft("{}")).collect())).await.unwrap();
    store.save_snapshot(world, Snapshot { seq: 5, body: "state".into() }).await.unwrap();
    let before = whole(&store, world).await;
    store.close().await.unwrap();
    let conn = Connection::open(&database).unwrap();
    age(&conn, 2).unwrap();
    // Met when the records have been written already.
    let trap = "CREATE TRIGGER trap BEFORE UPDATE ON snapshots BEGIN SELECT RAISE(ABORT, 'it is a trap'); END";
    conn.execute_batch(trap).unwrap();
    drop(conn);
    for _ in 0..2 {
        let error = open(dir.path()).err().expect("it is refused");
        assert!(matches!(error, OpenError::Storage { .. }) && error.to_string().ends_with("it is a trap"), "{error}");
    }
    let conn = Connection::open(&database).unwrap();
    let version: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
    conn.execute_batch("DROP TRIGGER trap").unwrap();
    drop(conn);
    assert_eq!(whole(&open(dir.path()).unwrap(), world).await, before);
}
