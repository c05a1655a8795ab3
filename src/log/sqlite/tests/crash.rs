//! `kill -9` while many tasks append: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{CHILD_DIR, child, open};
use crate::log::contract::{Dice, append, draft, find_key, make_world, now_ms, whole};
use crate::log::{Append, Appended, KeyWrite, WorldId, WorldLog};

const ROUNDS: u64 = 12;
const WORLDS: usize = 8;
/// Records per append: after a crash a log holds a multiple of it.
const DRAFTS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = TempDir::new().unwrap();
    let mut dice = Dice(9);
    let mut acknowledged = BTreeMap::<WorldId, BTreeMap<u64, Uuid>>::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut process = child(module_path!(), "appends_until_it_is_killed", dir.path()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let kill_after = 1 + dice.roll(400);
        let mut seen = 0;
        // After the kill, what the pipe still holds was acknowledged too.
        while let Some(Ok(line)) = lines.next() {
            let Some(ack) = line.strip_prefix("ack ") else {
                continue;
            };
            // The kill may have cut the last line short.
            let [world, seq, id] = ack.split(' ').collect::<Vec<_>>()[..] else {
                continue;
            };
            let Ok(id) = id.parse() else { continue };
            let world = world.parse().unwrap();
            acknowledged.entry(world).or_default().insert(seq.parse().unwrap(), id);
            seen += 1;
            if seen == kill_after {
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        assert!(seen >= kill_after, "round {round}: the child ended by itself after {seen}");
        total += seen;

        let store = open(dir.path()).unwrap();
        for (world, acks) in &acknowledged {
            let log = whole(&store, *world).await;
            assert!(log.iter().map(|r| r.seq).eq(1..=log.len() as u64), "round {round}: a gap");
            assert_eq!(log.len() % DRAFTS, 0, "round {round}: half an append");
            for (seq, id) in acks {
                let found = log.get(*seq as usize - 1).map(|r| r.id);
                assert_eq!(found, Some(*id), "round {round}: lost {world} {seq}");
            }
            // The key was written in the same step as the records, seen or not.
            let last = log.last().unwrap().id.to_string();
            assert!(find_key(&store, *world, "u", &last).await.unwrap().is_some());
        }
    }
    assert!(total > 500, "only {total} appends were acknowledged");
    println!("{total} acknowledged appends, {ROUNDS} kills, none lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs only as the child process of the test above"]
async fn appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let store = Arc::new(open(&PathBuf::from(dir)).unwrap());
    let mut worlds = JoinSet::new();
    for _ in 0..WORLDS {
        let world = make_world(&*store).await;
        let store = store.clone();
        worlds.spawn(async move {
            let mut head = 0;
            loop {
                // Now and then the first fills a row, so that an append is two.
                let size = |n| if n == 0 && head % 5 == 0 { 16 * 1024 } else { 2 };
                let drafts: Vec<_> = (0..DRAFTS).map(|n| draft(vec![b'x'; size(n)])).collect();
                let id = drafts[DRAFTS - 1].id;
                let key = KeyWrite {
                    user: "u".into(),
                    key: id.to_string(),
                    fingerprint: [0; 32],
                    answer: Bytes::new(),
                    at_ms: now_ms(),
                };
                let write = Append { keys: vec![key], ..append(world, head, drafts) };
                match store.append(write).await.unwrap() {
                    Appended::Done { head: new } => head = new,
                    other => panic!("{other:?}"),
                }
                println!("ack {world} {head} {id}");
            }
        });
    }
    worlds.join_all().await;
}
