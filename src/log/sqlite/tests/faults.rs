//! A disk that fails, requests that fail, and what is left behind.

use std::sync::mpsc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{eventually, open};
use crate::log::contract::{append, draft, find_key, make_user, make_world, now_ms, whole};
use crate::log::sqlite::{Options, Sqlite};
use crate::log::{Append, Appended, Directory, Error, KeyWrite, Snapshot, WorldLog};

/// As if the disk had no room for more than `pages` pages; 0: none beyond those in use.
async fn limit_disk(store: &Sqlite, pages: u32) {
    let limit = move |conn: &Connection| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        Ok(conn.query_row(&pragma, [], |_| Ok(()))?)
    };
    store.writing(limit).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_then_serves_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    let big = |head| append(world, head, (0..20).map(|_| draft(vec![b'x'; 9000])).collect());
    assert_eq!(store.append(big(0)).await.unwrap(), Appended::Done { head: 20 });

    limit_disk(&store, 1).await;
    for _ in 0..3 {
        let refused = store.append(big(20)).await;
        assert!(matches!(refused, Err(Error::Storage(_))), "{refused:?}");
        assert_eq!(store.head(world).await.unwrap().unwrap().head, 20);
        assert_eq!(whole(&store, world).await.len(), 20, "reading goes on");
    }

    limit_disk(&store, u32::MAX / 4).await;
    assert_eq!(store.append(big(20)).await.unwrap(), Appended::Done { head: 40 });
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(whole(&store, world).await.len(), 40);
}

/// Keeps the writer in one request until the sender is dropped, so that what is asked for
/// meanwhile becomes one batch.
fn hold_writer(store: &Sqlite) -> (mpsc::Sender<()>, impl Future<Output = ()> + '_) {
    let (release, held) = mpsc::channel();
    let holding = async move {
        let hold = move |_: &Connection| {
            let _ = held.recv();
            Ok(())
        };
        // It may share the fate of the batch it held up.
        let _ = store.writing(hold).await;
    };
    (release, holding)
}

#[tokio::test]
async fn a_failing_request_does_not_fail_its_batch() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (one, two) = (make_world(&store).await, make_world(&store).await);
    let before = store.stats();
    let (release, holding) = hold_writer(&store);
    let failing = store.writing::<(), _>(|conn| {
        conn.execute("DELETE FROM worlds", [])?;
        conn.execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    });
    let nobody = store.append(append(uuid::Uuid::now_v7(), 0, vec![draft("{}")]));
    let (_, first, failed, missing, last, ()) = tokio::join!(
        holding,
        store.append(append(one, 0, vec![draft("{}")])),
        failing,
        nobody,
        store.append(append(two, 0, vec![draft("{}")])),
        async { drop(release) },
    );
    assert_eq!(first.unwrap(), Appended::Done { head: 1 });
    assert!(matches!(failed, Err(Error::Storage(_))), "{failed:?}");
    assert!(matches!(missing, Err(Error::NoWorld)), "{missing:?}");
    assert_eq!(last.unwrap(), Appended::Done { head: 1 });
    assert_eq!(whole(&store, one).await.len(), 1, "what the failing request deleted is back");
    assert!(store.stats().commits - before.commits <= 2, "they shared a commit");
}

/// Storage strikes in the middle of a batch that an append shares; what the append was told.
async fn struck(strike: impl Fn(&Connection) -> Result<(), Error> + Send + 'static) -> Error {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let world = make_world(&store).await;
    let (release, holding) = hold_writer(&store);
    let (_, told, _, ()) =
        tokio::join!(holding, store.append(append(world, 0, vec![draft("{}")])), store.writing(strike), async {
            drop(release)
        },);
    assert_eq!(whole(&store, world).await, [], "what is not acknowledged is not there");
    let again = store.append(append(world, 0, vec![draft("{}")])).await.unwrap();
    assert_eq!(again, Appended::Done { head: 1 }, "it works again by itself");
    assert_eq!(store.stats().failures, 1);
    told.unwrap_err()
}

#[tokio::test]
async fn a_transaction_that_storage_took_back_acknowledges_nothing() {
    // What SQLite does by itself on some I/O errors.
    let told = struck(|conn| {
        conn.execute_batch("ROLLBACK")?;
        Err(Error::NoUser)
    });
    assert!(matches!(told.await, Error::Storage(_)));
}

#[tokio::test]
async fn a_commit_that_fails_leaves_the_outcome_open() {
    // Checked in the commit: that is where a failing fsync would be met, too.
    let told = struck(|conn| {
        let dangling = "PRAGMA defer_foreign_keys = ON; INSERT INTO secrets VALUES (999, 'a', 's')";
        Ok(conn.execute_batch(dangling)?)
    });
    assert!(matches!(told.await, Error::Unknown(_)));
}

#[tokio::test]
async fn what_nobody_can_see_is_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    make_user(&store, "u").await;
    let (deleted, cut) = (make_world(&store).await, make_world(&store).await);
    let key = |at_ms| KeyWrite {
        user: "u".into(),
        key: format!("{at_ms}"),
        fingerprint: [0; 32],
        answer: Vec::new().into(),
        at_ms,
    };
    let now = now_ms();
    for (world, at_ms) in [(deleted, now), (cut, now), (cut, now - 100_000_000)] {
        let head = store.head(world).await.unwrap().unwrap().head;
        // Each fills a row.
        let drafts = (0..250).map(|_| draft(vec![b'x'; 16 * 1024])).collect();
        let write = Append { keys: vec![key(at_ms)], ..append(world, head, drafts) };
        store.append(write).await.unwrap();
    }
    store.delete_world(deleted).await.unwrap();
    store.save_snapshot(cut, Snapshot { seq: 400, body: "s".into() }).await.unwrap();
    assert_eq!(store.truncate(cut, 400).await.unwrap(), 400);
    // Expired keys are looked for at the start, then once a minute.
    drop(store);
    let store = open(dir.path()).unwrap();
    let rows = async || {
        let count = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM keys),
                            (SELECT count(*) FROM trash)";
        let read = store.reading(move |conn| Ok(conn.query_row(count, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?));
        read.await.unwrap()
    };
    eventually("old rows are removed", async || rows().await == (100i64, 1i64, 0i64)).await;
    assert!(find_key(&store, cut, "u", &now.to_string()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_restored_backup_gets_new_epochs() {
    let dir = TempDir::new().unwrap();
    let store = Sqlite::open(&Options::new(dir.path())).unwrap();
    let (one, two) = (make_world(&store).await, make_world(&store).await);
    let epoch = async |world| store.head(world).await.unwrap().unwrap().epoch;
    let before = [epoch(one).await, epoch(two).await];
    store.renew_epochs().await.unwrap();
    let after = [epoch(one).await, epoch(two).await];
    assert!(!before.contains(&after[0]) && !before.contains(&after[1]) && after[0] != after[1]);
}
