//! What nodes hear: changes of the log, and what they tell each other beside it.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::*;
use crate::log::cluster::{Change, Cluster, Link};
use crate::log::contract::{append, draft, make_world, whole};
use crate::log::{Append, Appended, Directory, Error, WorldId, WorldLog};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn every_node_hears_of_everything_in_order() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let (one, two) = (open(&options).await, open(&options).await);
    let mut changes = two.changes();
    let world = make_world(&one).await;
    for head in 0..20 {
        let write = Append { ticket: head == 7, ..append(world, head, vec![draft(format!("{{\"n\":{head}}}"))]) };
        one.append(write).await.unwrap();
    }
    assert!(one.delete_world(world).await.unwrap());
    let (mut seqs, mut tickets) = (Vec::new(), Vec::new());
    loop {
        match timeout(SOON, changes.next()).await.unwrap().unwrap() {
            Change::Appended { world: of, records, head, ticket } => {
                assert_eq!((of, records.last().map_or(0, |r| r.seq)), (world, head));
                seqs.extend(records.iter().map(|r| r.seq));
                tickets.extend(ticket.then_some(head));
            }
            Change::Deleted { world: of } => {
                assert_eq!(of, world);
                break;
            }
            Change::Gap => panic!("a gap"),
        }
    }
    assert!(seqs.iter().copied().eq(1..=20), "{seqs:?}");
    assert_eq!(tickets, [8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_node_that_has_not_heard_of_a_deletion_brings_nothing_back() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let (one, two) = (open(&options).await, open(&options).await);
    let world = make_world(&one).await;
    // It remembers the world now, and hears no more.
    two.append(append(world, 0, vec![draft("{}")])).await.unwrap();
    for task in &two.tasks {
        task.abort();
    }
    assert!(one.delete_world(world).await.unwrap());
    for _ in 0..2 {
        let late = two.append(append(world, 1, vec![draft("{}")])).await;
        assert!(matches!(late, Err(Error::NoWorld)), "{late:?}");
    }
    assert_eq!(two.head(world).await.unwrap(), None);
    assert_eq!(one.core.tidy(i64::MAX).await.unwrap(), 0, "nothing was left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn what_a_creation_leaves_behind_is_removed() {
    let servers = shared();
    let node = open(&options(servers.url(), 1)).await;
    let kept = make_world(&node).await;
    let orphan = WorldId::now_v7();
    // As a node that died before it gave the world its name.
    let owner = super::super::ownership::Owner { user: "u".into(), name: "w".into(), coming: None, former_key: None };
    node.core.set(&super::super::names::world_key(orphan), &owner, 0).await.unwrap();
    assert_eq!(node.core.tidy(0).await.unwrap(), 0, "too young");
    assert_eq!(node.core.tidy(i64::MAX).await.unwrap(), 1);
    assert_eq!(node.core.tidy(i64::MAX).await.unwrap(), 0);
    assert!(node.head(kept).await.unwrap().is_some());
}

/// The removal is cut off behind the tombstone, and made again: who has not heard of it yet still does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_world_that_is_removed_again_stays_known_as_deleted() {
    let servers = shared();
    let node = open(&options(servers.url(), 1)).await;
    let world = make_world(&node).await;
    for _ in 0..2 {
        node.core.try_remove_rest(world, Some(60)).await.unwrap();
        let last = node.core.last_message(world).await.unwrap();
        assert!(last.is_some_and(|(batch, _)| batch.state.deleted));
    }
}

/// An expiry that was cut off behind the user's own entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn worlds_of_a_user_who_is_gone_are_removed() {
    let servers = shared();
    let node = open(&options(servers.url(), 1)).await;
    let world = make_world(&node).await;
    let user = node.world(world).await.unwrap().unwrap().user;
    assert_eq!(node.core.tidy(i64::MAX).await.unwrap(), 0, "the user is there");
    let entry = node.core.entry::<super::super::sessions::User>(&super::super::names::user_key(&user)).await.unwrap();
    assert!(node.core.unset(entry.revision).await.unwrap());
    assert_eq!(node.core.tidy(0).await.unwrap(), 0, "too young");
    assert_eq!(node.core.tidy(i64::MAX).await.unwrap(), 1);
    assert_eq!(node.core.tidy(i64::MAX).await.unwrap(), 0);
    assert!(node.world(world).await.unwrap().is_none() && node.head(world).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_large_world_is_created_whole_or_not_at_all() {
    let servers = shared();
    let node = open(&options(servers.url(), 1)).await;
    node.create_session("u", crate::log::TokenHash::of("u"), 1).await.unwrap();
    let drafts: Vec<_> = (0..40).map(|_| draft(vec![b'x'; 100_000])).collect();
    let new = crate::log::NewWorld {
        id: WorldId::now_v7(),
        user: "u".into(),
        name: "w".into(),
        template: "t".into(),
        persistent: true,
        title: None,
        created_ms: 1,
        drafts,
        key: None,
        secrets: Vec::new(),
    };
    let (id, created) = (new.id, node.create_world(new).await.unwrap());
    assert!(matches!(created, crate::log::CreatedWorld::Created(entry) if entry.head.head == 40));
    assert_eq!(whole(&node, id).await.len(), 40);

    let large = append(id, 40, vec![draft(vec![b'x'; 2 << 20])]);
    match node.append(large).await {
        Err(Error::TooLarge(cause)) => assert!(cause.to_string().contains("max_payload"), "{cause}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(node.append(append(id, 40, vec![draft("{}")])).await.unwrap(), Appended::Done { head: 41 });
    // A snapshot of the size of many messages.
    let body = bytes::Bytes::from((0..3_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
    for seq in [40, 41] {
        let snapshot = crate::log::Snapshot { seq, body: body.clone() };
        node.save_snapshot(id, snapshot.clone()).await.unwrap();
        assert_eq!(node.latest_snapshot(id).await.unwrap(), Some(snapshot));
    }
    // Torn: a part is gone. The log says the same.
    let subject = format!("{}.*.3", node.core.names.snapshot(id));
    node.core.nats.purge(&node.core.names.snapshots, &subject, None).await.unwrap();
    assert_eq!(node.latest_snapshot(id).await.unwrap(), None);
    node.core.slots.forget(id);
    assert_eq!(node.append(append(id, 41, vec![draft("{}")])).await.unwrap(), Appended::Done { head: 42 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn nodes_talk_beside_the_log() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let (one, two) = (open(&options).await, open(&options).await);
    let (world, other) = (WorldId::now_v7(), WorldId::now_v7());
    assert_eq!(one.ask(world, "?".into(), SOON).await.unwrap(), None, "nobody answers");

    let (mut live, mut all) = (two.listen(world).await.unwrap(), two.announcements().await.unwrap());
    let mut questions = two.answer(world).await.unwrap();
    one.say(other, "not for you".into()).await.unwrap();
    one.say(world, "delta".into()).await.unwrap();
    one.announce("revoked".into()).await.unwrap();
    assert_eq!(timeout(SOON, live.next()).await.unwrap().unwrap(), "delta");
    assert_eq!(timeout(SOON, all.next()).await.unwrap().unwrap(), "revoked");
    let answering = tokio::spawn(async move {
        let question = questions.next().await.unwrap();
        assert_eq!(question.body, "text so far?");
        question.reply("so far".into()).await;
        let unanswered = questions.next().await;
        sleep(Duration::from_secs(1)).await;
        drop(unanswered);
    });
    let answer = one.ask(world, "text so far?".into(), SOON).await.unwrap();
    assert_eq!(answer.as_deref(), Some(&b"so far"[..]));
    assert_eq!(one.ask(world, "again?".into(), Duration::from_millis(100)).await.unwrap(), None);
    answering.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn nothing_is_missed_when_the_connection_was_lost() {
    let mut servers = Servers::start(3);
    let options = options(servers.url(), 3);
    // The one that listens knows all servers, the one that writes too; the listener's is killed.
    let (writer, listener) = (open(&options).await, open(&options).await);
    let mut state = listener.state();
    assert_eq!(*state.borrow_and_update(), Link::Connected);
    let mut changes = listener.changes();
    let world = make_world(&writer).await;
    let heard = tokio::spawn(async move {
        let mut seqs = BTreeMap::new();
        while seqs.len() < 60 {
            match timeout(Duration::from_secs(60), changes.next()).await.expect("changes go on").unwrap() {
                Change::Appended { records, .. } => {
                    for record in records {
                        assert_eq!(seqs.insert(record.seq, record.id), None, "{} came twice", record.seq);
                    }
                }
                Change::Gap => panic!("a gap without need"),
                Change::Deleted { .. } => panic!("deleted"),
            }
        }
        seqs
    });
    let mut head = 0;
    while head < 60 {
        if head == 20 {
            let serving = listener.core.nats.client.server_info().server_name;
            servers.named(&serving).kill();
            // It may be connected to another one again before anybody has looked.
            timeout(SOON, state.changed()).await.expect("it is noticed").unwrap();
            servers.named(&serving).start();
        }
        match writer.append(append(world, head, vec![draft("{}")])).await {
            Ok(Appended::Done { head: now } | Appended::Conflict { head: now }) => head = now,
            Ok(other) => panic!("{other:?}"),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    let heard = heard.await.unwrap();
    let log = whole(&listener, world).await;
    assert!(log.iter().take(60).map(|r| (r.seq, r.id)).eq(heard.into_iter().take(60)));
    timeout(SOON, state.wait_for(|link| *link == Link::Connected)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn closing_ends_what_waits() {
    let servers = shared();
    let node = Arc::new(open(&options(servers.url(), 1)).await);
    let mut changes = node.changes();
    let ticket = tokio::spawn({
        let node = node.clone();
        async move { node.next_ticket().await.map(|ticket| ticket.seq) }
    });
    sleep(Duration::from_millis(50)).await;
    node.close().await.unwrap();
    assert!(timeout(SOON, changes.next()).await.unwrap().is_none());
    assert!(matches!(timeout(SOON, ticket).await.unwrap().unwrap(), Err(Error::Closed)));
    assert!(matches!(node.next_ticket().await, Err(Error::Closed)));
    assert!(matches!(node.say(WorldId::now_v7(), "x".into()).await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn who_is_too_slow_hears_of_a_gap() {
    let servers = shared();
    let node = open(&options(servers.url(), 1)).await;
    let world = make_world(&node).await;
    let mut changes = node.changes();
    let more = super::super::changes::QUEUE as u64 + 200;
    for head in 0..more {
        node.append(append(world, head, vec![draft("{}")])).await.unwrap();
    }
    // Until the node itself has heard of the last.
    let (mut gaps, mut last) = (0, 0);
    while last < more {
        match timeout(SOON, changes.next()).await.unwrap().unwrap() {
            Change::Gap => gaps += 1,
            Change::Appended { head, .. } => last = head,
            Change::Deleted { .. } => panic!("deleted"),
        }
    }
    assert_eq!(gaps, 1);
}
