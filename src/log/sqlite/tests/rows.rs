//! Records that share a row, and rows that are not there.

use rusqlite::Connection;
use tempfile::TempDir;

use super::{eventually, open};
use crate::log::contract::{append, draft, make_world};
use crate::log::{Error, Limit, Page, Snapshot, WorldLog};

const ALL: Limit = Limit { records: usize::MAX, bytes: usize::MAX };

fn why(read: Result<Page, Error>) -> String {
    let error = read.expect_err("something is missing");
    std::error::Error::source(&error).expect("a reason").to_string()
}

#[tokio::test]
async fn a_missing_row_is_an_error_and_not_a_gap() {
    // What is removed of three rows with two records each, and the records that are missed from either end.
    for (row, first, last) in [(2, 1, 2), (4, 3, 4), (6, 5, 6)] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path()).unwrap();
        let worlds = [make_world(&store).await, make_world(&store).await];
        for head in [0, 2, 4] {
            for world in worlds {
                store.append(append(world, head, vec![draft("{}"), draft("{}")])).await.unwrap();
            }
        }
        store.close().await.unwrap();
        let conn = Connection::open(dir.path().join("log.db")).unwrap();
        assert_eq!(conn.execute("DELETE FROM runs WHERE place = (1 << 32) + ?1", [row]).unwrap(), 1);
        drop(conn);
        let store = open(dir.path()).unwrap();
        let missing = |seq| format!("record {seq} of world number 1 is damaged; restore the database from a backup");
        assert_eq!(why(store.read(worlds[0], 0, ALL).await), missing(first));
        assert_eq!(why(store.read_before(worlds[0], 100, ALL).await), missing(last));
        for read in [store.read(worlds[1], 0, ALL).await, store.read_before(worlds[1], 100, ALL).await] {
            assert_eq!(read.unwrap().records.len(), 6, "another world's are there");
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_low_overwrites_nothing() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    let three = || vec![draft("{}"), draft("{}"), draft("{}")];
    for head in [0, 3] {
        store.append(append(world, head, three())).await.unwrap();
    }
    store.close().await.unwrap();
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    conn.execute_batch("UPDATE worlds SET head = 4").unwrap();
    drop(conn);
    let store = open(dir.path()).unwrap();
    let refused = store.append(append(world, 4, three())).await;
    assert!(matches!(refused, Err(Error::Storage(_))), "{refused:?}");
    assert_eq!(store.read(world, 0, ALL).await.unwrap().records.len(), 4);
}

#[tokio::test]
async fn a_row_goes_when_the_floor_has_passed_all_of_it() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    for head in [0, 5] {
        store.append(append(world, head, (0..5).map(|_| draft("{}")).collect())).await.unwrap();
    }
    store.save_snapshot(world, Snapshot { seq: 10, body: "state".into() }).await.unwrap();
    for (floor, rows) in [(4, 2), (5, 1), (7, 1), (10, 0)] {
        store.truncate(world, floor).await.unwrap();
        let count = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM trash)";
        eventually("the rows are as the floor says", async || {
            let read = store.reading(move |conn| Ok(conn.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?));
            read.await.unwrap() == (rows, 0i64)
        })
        .await;
        let rest = store.read(world, floor, ALL).await.unwrap().records;
        assert!(rest.iter().map(|record| record.seq).eq(floor + 1..=10), "floor {floor}");
        let history = store.read_before(world, 100, ALL).await.unwrap().records;
        assert!(history.iter().map(|record| record.seq).eq(floor + 1..=10), "floor {floor}");
    }
}
