//! A data directory that moves here.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::Instant;

use super::super::arrival::Received;
use super::*;
use crate::log::cluster::Cluster;
use crate::log::contract::{Dice, append, draft, now_ms, whole};
use crate::log::migrate::{Failure, Report, migrate};
use crate::log::sqlite::{self, OpenError as SqliteError, Sqlite};
use crate::log::{
    Append, CreatedWorld, Directory, KeyWrite, NewWorld, Secret, SecretWrite, Snapshot, TokenHash, WorldId, WorldLog,
};

/// What was put into a data directory.
struct Put {
    dir: TempDir,
    worlds: Vec<WorldId>,
    users: Vec<String>,
    keys: Vec<(WorldId, String, String)>,
    /// Waits for turns.
    busy: WorldId,
    records: u64,
}

impl Put {
    fn options(&self) -> sqlite::Options {
        sqlite::Options::new(self.dir.path())
    }
}

async fn create(store: &Sqlite, user: &str, name: &str, persistent: bool) -> WorldId {
    let new = NewWorld {
        id: Uuid::now_v7(),
        user: user.to_owned(),
        name: name.to_owned(),
        template: "default".to_owned(),
        persistent,
        title: Some(format!("Of {user}")),
        created_ms: now_ms() - 1_000_000,
        drafts: vec![draft("first")],
        key: None,
        secrets: Vec::new(),
    };
    match store.create_world(new).await.unwrap() {
        CreatedWorld::Created(entry) => entry.id,
        CreatedWorld::Exists(entry) => panic!("{entry:?}"),
    }
}

/// Users with worlds of all kinds: short and long, cut, ephemeral, with keys and secrets, busy.
async fn put(users: usize) -> Put {
    let dir = TempDir::new().unwrap();
    let store = Sqlite::open(&sqlite::Options::new(dir.path())).unwrap();
    let mut put = Put { dir, worlds: Vec::new(), users: Vec::new(), keys: Vec::new(), busy: Uuid::nil(), records: 0 };
    let mut dice = Dice(7);
    for n in 0..users {
        let user = format!("anon_{n:08}-한");
        let used = now_ms() - 50_000 * n as i64;
        for session in 0..=n % 3 {
            let token = TokenHash::of(&format!("{user} {session}"));
            store.create_session(&user, token, used).await.unwrap();
        }
        for (name, persistent) in [("My World", true), ("Ephemeral", false)] {
            let world = create(&store, &user, name, persistent).await;
            put.worlds.push(world);
            let mut head = 1;
            for turn in 0..dice.roll(6) {
                let drafts: Vec<_> =
                    (0..=dice.roll(120)).map(|_| draft(vec![b'x'; dice.roll(3000) as usize])).collect();
                let key = KeyWrite {
                    user: user.clone(),
                    key: format!("key {turn}"),
                    fingerprint: [turn as u8; 32],
                    answer: Bytes::from(format!("{{\"turn\":{turn}}}")),
                    // The first is forgotten already.
                    at_ms: if turn == 0 { 5 } else { now_ms() - 1000 },
                };
                put.keys.push((world, user.clone(), key.key.clone()));
                let secret = SecretWrite { agent: format!("A{turn}"), secret: Some(Secret::new(format!("sk-{turn}"))) };
                head += drafts.len() as u64;
                let write = Append {
                    keys: vec![key],
                    secrets: vec![secret],
                    ..append(world, head - drafts.len() as u64, drafts)
                };
                store.append(write).await.unwrap();
            }
            if dice.roll(2) == 0 {
                let snapshot = Snapshot { seq: head - dice.roll(head), body: vec![b's'; 3_000].into() };
                store.save_snapshot(world, snapshot.clone()).await.unwrap();
                store.truncate(world, snapshot.seq - dice.roll(snapshot.seq)).await.unwrap();
            }
        }
        put.users.push(user);
    }
    let world = create(&store, &put.users[0], "Busy", true).await;
    store.append(Append { busy: true, ..append(world, 1, vec![draft("waits")]) }).await.unwrap();
    put.worlds.push(world);
    put.busy = world;
    // All records gone.
    let world = create(&store, &put.users[0], "Cut", true).await;
    store.save_snapshot(world, Snapshot { seq: 1, body: vec![b's'; 900_000].into() }).await.unwrap();
    assert_eq!(store.truncate(world, 1).await.unwrap(), 1);
    put.worlds.push(world);
    for world in &put.worlds {
        let head = store.head(*world).await.unwrap().unwrap();
        put.records += head.head - head.floor;
    }
    store.close().await.unwrap();
    put
}

async fn run(put: &Put, to: &Options) -> Report {
    migrate(&put.options(), to.clone(), &|_| {}).await.unwrap()
}

/// Everything is here as it is there.
async fn compare(put: &Put, node: &JetStream) {
    let store = Sqlite::open(&put.options()).unwrap();
    assert_eq!(node.counts().await.unwrap(), store.counts().await.unwrap());
    for user in &put.users {
        let entries = node.worlds_of(user).await.unwrap();
        let mut theirs = store.worlds_of(user).await.unwrap();
        theirs.sort_by_key(|entry| (entry.created_ms, entry.id));
        assert_eq!(entries, theirs, "{user}");
        for session in 0..3 {
            // Long ago: a look-up is no use.
            let token = TokenHash::of(&format!("{user} {session}"));
            assert_eq!(node.find_session(token, 5).await.unwrap(), store.find_session(token, 5).await.unwrap());
        }
    }
    for world in &put.worlds {
        let floor = store.head(*world).await.unwrap().unwrap().floor;
        if floor == 0 {
            assert_eq!(whole(node, *world).await, whole(&store, *world).await);
        }
        let all = crate::log::Limit { records: usize::MAX, bytes: usize::MAX };
        let (ours, theirs) =
            (node.read(*world, floor, all).await.unwrap(), store.read(*world, floor, all).await.unwrap());
        assert_eq!((ours.records, ours.head, ours.floor), (theirs.records, theirs.head, theirs.floor));
        let (ours, theirs) = (
            node.read_before(*world, u64::MAX, all).await.unwrap(),
            store.read_before(*world, u64::MAX, all).await.unwrap(),
        );
        assert_eq!(ours.records, theirs.records);
        assert_eq!(node.latest_snapshot(*world).await.unwrap(), store.latest_snapshot(*world).await.unwrap());
        let by_agent = |secrets: Vec<(String, Secret)>| secrets.into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(by_agent(node.secrets(*world).await.unwrap()), by_agent(store.secrets(*world).await.unwrap()));
        let key = store.installation_key().await.unwrap();
        assert_eq!(node.former_key(*world).await.unwrap(), Some(key));
    }
    let mut known = 0;
    for (world, user, key) in &put.keys {
        let ours = node.find_keys(*world, user, &[key]).await.unwrap();
        assert_eq!(ours, store.find_keys(*world, user, &[key]).await.unwrap());
        known += usize::from(ours[0].is_some());
    }
    assert!(known > 0 && known < put.keys.len(), "{known}");
    assert_eq!(node.ephemeral_worlds().await.unwrap(), store.ephemeral_worlds().await.unwrap());
    assert_eq!(node.busy_worlds().await.unwrap(), [put.busy]);
    store.close().await.unwrap();
}

fn digest(dir: &Path) -> Vec<u8> {
    Sha256::digest(std::fs::read(dir.join("log.db")).unwrap()).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn everything_moves_and_a_second_time_nothing_does() {
    let users = if long() { 400 } else { 24 };
    let (servers, put) = (shared(), put(users).await);
    let to = options(servers.url(), 1);
    let before = digest(put.dir.path());
    let begun = Instant::now();
    let report = run(&put, &to).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.users, report.worlds), (users as u64, put.worlds.len() as u64));
    assert_eq!((report.records, report.verified, report.skipped), (put.records, put.records, 0));
    assert_eq!(digest(put.dir.path()), before);
    eprintln!("{} worlds, {} records moved and read back in {:?}", report.worlds, report.records, begun.elapsed());
    let node = open(&to).await;
    compare(&put, &node).await;
    // The world that waits is taken up.
    let ticket = tokio::time::timeout(Duration::from_secs(5), node.next_ticket()).await.unwrap().unwrap();
    assert_eq!((ticket.world, ticket.head), (put.busy, 2));
    ticket.done().await.unwrap();

    // What was removed here since does not come back; what went on here is not touched.
    let token = TokenHash::of(&format!("{} 0", put.users[1]));
    assert!(node.revoke_session(token).await.unwrap());
    assert!(node.delete_world(put.worlds[0]).await.unwrap());
    let head = node.head(put.worlds[2]).await.unwrap().unwrap();
    node.append(append(put.worlds[2], head.head, vec![draft("went on")])).await.unwrap();
    let again = run(&put, &to).await;
    assert_eq!(again.problems, Vec::<String>::new());
    assert_eq!((again.users, again.sessions, again.worlds, again.records), (0, 0, 0, 0));
    assert_eq!((again.skipped, again.gone), (put.worlds.len() as u64 - 1, 2));
    assert_eq!(node.find_session(token, 5).await.unwrap(), None);
    assert!(node.world(put.worlds[0]).await.unwrap().is_none());
    assert_eq!(node.head(put.worlds[2]).await.unwrap().unwrap().head, head.head + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn what_is_cut_off_is_begun_again_and_never_seen_half() {
    let (servers, put) = (shared(), put(12).await);
    let to = options(servers.url(), 1);
    let node = open(&to).await;
    let (mut cut, mut wait) = (0, 20);
    let report = loop {
        match tokio::time::timeout(Duration::from_millis(wait), migrate(&put.options(), to.clone(), &|_| {})).await {
            Ok(done) => break done.unwrap(),
            Err(_) => cut += 1,
        }
        // Whatever has a name is whole.
        let store = sqlite_of(&put).await;
        for user in &put.users {
            for entry in node.worlds_of(user).await.unwrap() {
                assert_eq!(Some(entry.head), store.head(entry.id).await.unwrap(), "{}", entry.id);
            }
        }
        store.close().await.unwrap();
        wait += 40;
    };
    eprintln!("cut off {cut} times");
    assert!(cut >= 3, "{cut}");
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.worlds + report.skipped, put.worlds.len() as u64);
    compare(&put, &node).await;
    let leftovers = node.core.tidy(i64::MAX).await.unwrap();
    assert_eq!(leftovers, 0);
}

/// The directory is free once what was dropped has let go of it.
async fn sqlite_of(put: &Put) -> Sqlite {
    loop {
        match Sqlite::open(&put.options()) {
            Ok(store) => return store,
            Err(SqliteError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_world_that_is_coming_is_left_alone_and_may_come_again() {
    let (servers, put) = (shared(), put(1).await);
    let to = options(servers.url(), 1);
    let node = open(&to).await;
    let store = sqlite_of(&put).await;
    let entry = store.world(put.busy).await.unwrap().unwrap();
    store.close().await.unwrap();
    drop(store);
    node.bring_user(&entry.user, 1, 2).await.unwrap();
    let received = node.receive(entry.clone(), &[5; 32]).await.unwrap();
    let Received::Begun(mut arrival) = received else { panic!("it is not there") };
    let record = |seq| crate::log::Record { seq, id: Uuid::now_v7(), at_ms: 1, body: "half".into() };
    arrival.records(vec![record(1)]).await.unwrap();
    drop(arrival);
    assert!(node.find_world(&entry.user, &entry.name).await.unwrap().is_none());
    assert!(node.world(entry.id).await.unwrap().is_none());
    // Its id is old, its coming is not.
    assert_eq!(node.core.tidy(now_ms() - 60_000).await.unwrap(), 0);
    // It was left for long: removed, but not as one that was deleted.
    assert_eq!(node.core.tidy(now_ms() + 60_000).await.unwrap(), 1);
    let report = run(&put, &to).await;
    assert_eq!((report.problems.len(), report.gone, report.worlds), (0, 0, put.worlds.len() as u64));
    compare(&put, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_clash_is_told_by_name_and_touches_nothing() {
    let (servers, put) = (shared(), put(3).await);
    let to = options(servers.url(), 1);
    let node = open(&to).await;
    let held = Sqlite::open(&put.options()).unwrap();
    let refused = migrate(&put.options(), to.clone(), &|_| {}).await;
    assert!(matches!(refused, Err(Failure::From(SqliteError::InUse { .. }))), "{refused:?}");
    held.close().await.unwrap();
    drop(held);

    // A world of the same user and name, and others that are in nobody's way.
    let user = &put.users[1];
    node.create_session(user, TokenHash::of("other"), 1).await.unwrap();
    let new = |user: &str, name: &str| NewWorld {
        id: Uuid::now_v7(),
        user: user.to_owned(),
        name: name.to_owned(),
        template: "t".to_owned(),
        persistent: true,
        title: None,
        created_ms: 1,
        drafts: vec![draft("another")],
        key: None,
        secrets: Vec::new(),
    };
    let CreatedWorld::Created(mine) = node.create_world(new(user, "MY WORLD")).await.unwrap() else { panic!() };
    node.create_session("else", TokenHash::of("else"), 1).await.unwrap();
    node.create_world(new("else", "My World")).await.unwrap();
    // A token of another user.
    let token = TokenHash::of(&format!("{} 0", put.users[2]));
    node.create_session("else", token, 1).await.unwrap();

    let report = run(&put, &to).await;
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(report.problems.iter().any(|problem| problem.contains("My World") && problem.contains(user.as_str())));
    assert!(report.problems.iter().any(|problem| problem.contains(put.users[2].as_str())));
    assert_eq!(report.worlds, put.worlds.len() as u64 - 1);
    assert_eq!(node.find_world(user, "my world").await.unwrap().unwrap(), mine);
    assert_eq!(node.find_session(token, 5).await.unwrap().unwrap(), "else");

    // It goes on in the directory, which is then not what was moved.
    let store = sqlite_of(&put).await;
    let head = store.head(put.busy).await.unwrap().unwrap().head;
    store.append(append(put.busy, head, vec![draft("more")])).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert!(node.delete_world(mine.id).await.unwrap());
    assert!(node.revoke_session(token).await.unwrap());
    let again = run(&put, &to).await;
    assert_eq!((again.problems.len(), again.worlds, again.sessions), (1, 1, 1), "{:?}", again.problems);
    assert!(again.problems[0].contains("gone on"), "{:?}", again.problems);

    let nothing = TempDir::new().unwrap();
    let refused = migrate(&sqlite::Options::new(nothing.path()), to, &|_| {}).await;
    assert!(matches!(refused, Err(Failure::From(SqliteError::NoDatabase { .. }))), "{refused:?}");
    assert_eq!(std::fs::read_dir(nothing.path()).unwrap().count(), 0);
}
