//! Reading beside the writer: how many at a time, and what ends a read.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{eventually, open};
use crate::log::sqlite::Sqlite;
use crate::log::sqlite::readers::READERS;
use crate::log::{Error, WorldLog};

fn fresh() -> (TempDir, Arc<Sqlite>) {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(dir.path()).unwrap());
    (dir, store)
}

/// A read that has begun, and ends when its sender is dropped.
async fn held(store: &Arc<Sqlite>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let (release, until) = mpsc::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let read = move |_: &Connection| {
        let _ = begun.send(());
        let _ = until.recv();
        Ok(())
    };
    let store = store.clone();
    let reading = tokio::spawn(async move { store.reading(read).await });
    begins.await.unwrap();
    (release, reading)
}

#[tokio::test]
async fn a_burst_of_reads_makes_no_more_threads_than_there_are_readers() {
    let (_dir, store) = fresh();
    let threads = join_all((0..500).map(|_| store.reading(|_| Ok(thread::current().id())))).await;
    let threads: HashSet<_> = threads.into_iter().map(Result::unwrap).collect();
    assert!((1..=READERS).contains(&threads.len()), "{threads:?}");
}

#[tokio::test]
async fn a_read_waits_for_a_reader_and_is_not_begun_when_nobody_waits_for_it() {
    let (_dir, store) = fresh();
    let mut running = Vec::new();
    for _ in 0..READERS {
        running.push(held(&store).await);
    }

    let begun = Arc::new(AtomicUsize::new(0));
    let read = |worth: usize| {
        let (store, begun) = (store.clone(), begun.clone());
        tokio::spawn(async move { store.reading(move |_| Ok(begun.fetch_add(worth, Ordering::SeqCst))).await })
    };
    let (given_up, waits) = (read(100), read(1));
    // Both have asked when a task that was spawned after them has run.
    tokio::spawn(async {}).await.unwrap();
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    assert_eq!(begun.load(Ordering::SeqCst), 0);

    drop(running.pop());
    waits.await.unwrap().unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 1, "only the one that was waited for");
}

#[tokio::test]
async fn reads_that_panic_cost_only_themselves() {
    let (_dir, store) = fresh();
    for _ in 0..=READERS {
        let lost: Result<(), _> = store.reading(|_| panic!("a read of this test panics")).await;
        assert!(matches!(lost, Err(Error::Closed)), "{lost:?}");
    }
    let one = store.reading(|conn| Ok(conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?)).await;
    assert_eq!(one.unwrap(), 1);
}

#[tokio::test]
async fn closing_waits_for_what_runs_and_refuses_what_comes_later() {
    let (_dir, store) = fresh();
    let (release, running) = held(&store).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    eventually("reads are refused", async || matches!(store.reading(|_| Ok(())).await, Err(Error::Closed))).await;
    assert!(!closing.is_finished(), "a read still runs");

    drop(release);
    running.await.unwrap().unwrap();
    closing.await.unwrap().unwrap();
}

#[test]
fn a_close_that_the_end_of_its_runtime_cuts_off_ends_the_threads_all_the_same() {
    let (_dir, store) = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (_release, until) = mpsc::channel::<()>();
    runtime.block_on(async {
        // The only thread that may block is taken, so that the close waits for it.
        tokio::task::spawn_blocking(move || until.recv_timeout(Duration::from_millis(200)));
        tokio::select! {
            () = store.readers.close() => panic!("it cannot have ended"),
            () = tokio::task::yield_now() => {}
        }
        let later = store.reading(|_| Ok(())).await;
        assert!(later.is_ok() || matches!(later, Err(Error::Closed)), "{later:?}");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let refused = futures_util::FutureExt::now_or_never(store.reading(|_| Ok(())));
    assert!(matches!(refused, Some(Err(Error::Closed))), "{refused:?}");
}
