//! How long things take, printed; nothing is asserted but that they are done.

use tokio::time::Instant;

use super::*;
use crate::log::contract::{append, draft, make_world};
use crate::log::{Limit, Snapshot, WorldLog};

const ALL: Limit = Limit { records: 512, bytes: 1 << 20 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn what_appends_and_reads_take() {
    let (appends, records) = if long() { (1000, 100_000) } else { (50, 2000) };
    for (count, sync) in [(1, "2m"), (3, "2m"), (1, "always"), (3, "always")] {
        let servers = Servers::with(count, &format!("sync_interval: {sync}"));
        let options = options(servers.url(), count);
        let node = Arc::new(open(&options).await);
        let world = make_world(&*node).await;
        let mut head = 0;
        let body = vec![b'x'; 400];
        let one = timed(appends, async || {
            node.append(append(world, head, vec![draft(body.clone())])).await.unwrap();
            head += 1;
        })
        .await;
        let begun = Instant::now();
        let tasks = (0..32).map(|_| {
            let (node, body) = (node.clone(), body.clone());
            tokio::spawn(async move {
                let world = make_world(&*node).await;
                for head in 0..20 {
                    node.append(append(world, head, vec![draft(body.clone())])).await.unwrap();
                }
            })
        });
        futures_util::future::join_all(tasks).await;
        let abreast = f64::from(32 * 22) / begun.elapsed().as_secs_f64();
        let tail = timed(appends, async || drop(node.read(world, head - 1, ALL).await.unwrap())).await;
        let page = timed(20, async || drop(node.read(world, 0, Limit { records: 50, ..ALL }).await.unwrap())).await;
        eprintln!(
            "{count} server(s), sync {sync}: append {one}; 32 abreast {abreast:.0}/s; read of the tail {tail}; of 50 records {page}"
        );
        if count == 1 && sync == "2m" {
            opening(&options, &node, records).await;
        }
    }
}

/// A world of many records with a snapshot, as a node meets it that has never seen it.
async fn opening(options: &Options, node: &JetStream, records: u64) {
    let world = make_world(node).await;
    let mut head = 0;
    while head < records {
        let drafts: Vec<_> = (0..100).map(|_| draft(vec![b'x'; 300])).collect();
        node.append(append(world, head, drafts)).await.unwrap();
        head += 100;
    }
    node.save_snapshot(world, Snapshot { seq: head - 500, body: vec![b's'; 20_000].into() }).await.unwrap();
    let other = open(options).await;
    let begun = Instant::now();
    let snapshot = other.latest_snapshot(world).await.unwrap().unwrap();
    let rest = other.read(world, snapshot.seq, ALL).await.unwrap();
    assert_eq!(rest.records.len(), 500);
    let opened = begun.elapsed();
    let begun = Instant::now();
    other.append(append(world, head, vec![draft("{}")])).await.unwrap();
    let first = begun.elapsed();
    let begun = Instant::now();
    let middle = other.read(world, records / 2, Limit { records: 50, ..ALL }).await.unwrap();
    assert_eq!(middle.records.len(), 50);
    eprintln!(
        "a world of {records} records: opened in {opened:?}, first append {first:?}, a page from its middle {:?}",
        begun.elapsed()
    );
}

/// Median and 99th percentile.
async fn timed(times: usize, mut what: impl AsyncFnMut()) -> String {
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        what().await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    format!("{:.2?} (p99 {:.2?})", took[times / 2], took[times * 99 / 100])
}
