//! The same dice for both storages: what SQLite answers, JetStream answers too, over two nodes that
//! know nothing of each other and forget at random what they remember.

use std::fmt::Debug;

use tempfile::TempDir;

use super::*;
use crate::log::contract::{Dice, draft, now_ms};
use crate::log::sqlite::{self, Sqlite};
use crate::log::{
    Append, Appended, CreatedWorld, Directory, Error, Head, KeyWrite, Limit, NewWorld, Secret, SecretWrite, Snapshot,
    Store, TokenHash, WorldEntry, WorldId, WorldLog,
};

const WORLDS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn both_storages_answer_the_same() {
    let (seeds, steps) = if long() { (10, 1500) } else { (2, 500) };
    let servers = shared();
    play([servers.url(), servers.url()], 1, seeds, steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn both_storages_answer_the_same_when_there_are_three_replicas() {
    let (seeds, steps) = if long() { (10, 1000) } else { (1, 300) };
    let servers = Servers::start(3);
    play([servers.servers[0].url.clone(), servers.servers[1].url.clone()], 3, seeds, steps).await;
}

async fn play(urls: [String; 2], replicas: usize, seeds: u64, steps: u64) {
    for seed in 0..seeds {
        let dir = TempDir::new().unwrap();
        let expected = Sqlite::open(&sqlite::Options::new(dir.path())).unwrap();
        let one = options(urls[0].clone(), replicas);
        let two = Options { url: urls[1].clone(), ..one.clone() };
        let nodes = [open(&one).await, open(&two).await];
        let mut dice = Dice(seed);
        let mut worlds = Vec::new();
        for n in 0..WORLDS {
            worlds.push(create(&expected, &nodes[0], &format!("w{n}")).await);
        }
        for step in 0..steps {
            let node = &nodes[dice.roll(2) as usize];
            let world = worlds[dice.roll(WORLDS) as usize];
            if dice.roll(20) == 0 {
                node.core.slots.forget(world);
            }
            let at = format!("seed {seed}, step {step}");
            let head = expected.head(world).await.unwrap().map_or(0, |head| head.head);
            step_of_both(&mut dice, &expected, node, world, head, &at).await;
        }
        let all = (expected.worlds_of("u").await.unwrap(), nodes[1].worlds_of("u").await.unwrap());
        let plain = |entries: Vec<WorldEntry>| {
            entries.into_iter().map(|e| WorldEntry { head: plain(e.head), ..e }).collect::<Vec<_>>()
        };
        assert_eq!(plain(all.0), plain(all.1), "seed {seed}");
    }
    eprintln!("{seeds} × {steps} steps with {replicas} replica(s): both storages answer the same");
}

/// One step on both, chosen by the dice.
async fn step_of_both(dice: &mut Dice, expected: &Sqlite, node: &JetStream, world: WorldId, head: u64, at: &str) {
    let near = |dice: &mut Dice| head.saturating_sub(dice.roll(40)) + dice.roll(3);
    let limit = |dice: &mut Dice| Limit { records: dice.roll(60) as usize, bytes: 1 + dice.roll(9000) as usize };
    let names = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];
    match dice.roll(12) {
        0..5 => {
            let write = random_append(dice, world, head);
            let answers = (expected.append(write.clone()).await, node.append(write).await);
            let text = |answer: &Result<Appended, Error>| format!("{answer:?}");
            same(text(&answers.0), text(&answers.1), at);
        }
        5 => {
            let (after, limit) = (near(dice), limit(dice));
            pages(expected.read(world, after, limit).await, node.read(world, after, limit).await, at);
        }
        6 => {
            let (before, limit) = (near(dice), limit(dice));
            pages(expected.read_before(world, before, limit).await, node.read_before(world, before, limit).await, at);
        }
        7 => {
            let size = if dice.roll(10) == 0 { 700_000 } else { 50 };
            let snapshot = Snapshot { seq: near(dice), body: vec![dice.roll(256) as u8; size].into() };
            expected.save_snapshot(world, snapshot.clone()).await.unwrap();
            node.save_snapshot(world, snapshot).await.unwrap();
        }
        8 => {
            let found = (expected.latest_snapshot(world).await.unwrap(), node.latest_snapshot(world).await.unwrap());
            same(found.0, found.1, at);
        }
        9 => {
            let upto = near(dice);
            let floors = (expected.truncate(world, upto).await.unwrap(), node.truncate(world, upto).await.unwrap());
            same(floors.0, floors.1, at);
        }
        10 => {
            let keys = (expected.find_keys(world, "u", &names).await, node.find_keys(world, "u", &names).await);
            same(keys.0.unwrap(), keys.1.unwrap(), at);
        }
        _ => {
            let text = |secrets: Vec<(String, Secret)>| {
                secrets.into_iter().map(|(agent, s)| format!("{agent}={}", s.expose())).collect::<Vec<_>>()
            };
            same(text(expected.secrets(world).await.unwrap()), text(node.secrets(world).await.unwrap()), at);
            let heads = (expected.head(world).await.unwrap(), node.head(world).await.unwrap());
            same(heads.0.map(plain), heads.1.map(plain), at);
        }
    }
}

fn random_append(dice: &mut Dice, world: WorldId, head: u64) -> Append {
    let stale = dice.roll(8) == 0;
    let key = |dice: &mut Dice| KeyWrite {
        user: "u".into(),
        key: format!("k{}", dice.roll(40)),
        fingerprint: [dice.roll(256) as u8; 32],
        answer: "{}".into(),
        at_ms: now_ms() - dice.roll(2) as i64 * 25 * 60 * 60 * 1000,
    };
    let secret = |dice: &mut Dice| SecretWrite {
        agent: ["a", "A", "b", "c"][dice.roll(4) as usize].into(),
        secret: (dice.roll(3) > 0).then(|| Secret::new(format!("sk{}", dice.roll(100)))),
    };
    Append {
        world,
        expected_head: if stale { head.saturating_sub(1 + dice.roll(3)) } else { head },
        drafts: (0..dice.roll(5)).map(|_| draft(vec![b'x'; dice.roll(400) as usize])).collect(),
        keys: if dice.roll(3) == 0 { vec![key(dice)] } else { Vec::new() },
        secrets: if dice.roll(6) == 0 { vec![secret(dice)] } else { Vec::new() },
        busy: dice.roll(3) == 0,
        ticket: dice.roll(3) == 0,
        title: match dice.roll(8) {
            0 => Some(None),
            1 => Some(Some(format!("t{}", dice.roll(9)))),
            _ => None,
        },
    }
}

async fn create(expected: &Sqlite, node: &JetStream, name: &str) -> WorldId {
    let new = NewWorld {
        id: WorldId::now_v7(),
        user: "u".into(),
        name: name.into(),
        template: "t".into(),
        persistent: true,
        title: None,
        created_ms: now_ms(),
        drafts: vec![draft("{}")],
        key: None,
        secrets: Vec::new(),
    };
    let stores: [&dyn Store; 2] = [expected, node];
    for store in stores {
        store.create_session("u", TokenHash::of("u"), 1).await.unwrap();
        assert!(matches!(store.create_world(new.clone()).await.unwrap(), CreatedWorld::Created(_)));
    }
    new.id
}

/// Epochs are random: all else is compared.
fn plain(head: Head) -> Head {
    Head { epoch: String::new(), ..head }
}

fn pages(expected: Result<crate::log::Page, Error>, found: Result<crate::log::Page, Error>, at: &str) {
    let (expected, found) = (expected.unwrap(), found.unwrap());
    same((expected.head, expected.floor), (found.head, found.floor), at);
    same(expected.records, found.records, at);
}

fn same<T: PartialEq + Debug>(expected: T, found: T, at: &str) {
    assert_eq!(expected, found, "{at}");
}
