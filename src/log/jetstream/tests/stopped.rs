//! A server that stops answering in the middle of an append, and goes on later.

use tokio::time::{Instant, sleep};

use super::*;
use crate::log::contract::{append, draft, make_world, whole};
use crate::log::{Appended, Error, Limit, WorldLog};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn an_append_to_a_stopped_server_is_decided_or_unknown_and_the_tail_tells() {
    let mut servers = Servers::start(3);
    // In some rounds it gives up before there is another leader.
    let options = options(servers.url(), 3);
    let (patient, hasty) = (open(&options).await, Options { settle: Duration::from_millis(500), ..options.clone() });
    let nodes = [Arc::new(patient), Arc::new(open(&hasty).await)];
    let world = make_world(&*nodes[0]).await;
    let (mut quick, mut counts) = (0, [0; 5]);
    for round in 0..if long() { 10 } else { 4 } {
        let node = &nodes[round % 2];
        let leads = super::leader::leader(node).await;
        let mut head = settled(node, world).await.len() as u64;
        // Appends go on until one of them meets the leader that has stopped.
        let appending = {
            let node = node.clone();
            tokio::spawn(async move {
                loop {
                    let (draft, begun) = (draft("{}"), Instant::now());
                    let id = draft.id;
                    let outcome = node.append(append(world, head, vec![draft])).await;
                    match outcome {
                        Ok(Appended::Done { head: now }) if begun.elapsed() < Duration::from_millis(400) => head = now,
                        outcome => return (id, head, outcome),
                    }
                }
            })
        };
        sleep(Duration::from_millis(50 + 7 * round as u64)).await;
        servers.named(&leads).signal("STOP");
        let (id, before, outcome) = appending.await.unwrap();
        // The tail is read as soon as it can be, and says once and for all what happened, whatever
        // the stopped server still held.
        let page = loop {
            match node.read(world, before, Limit { records: 9, bytes: 1 << 20 }).await {
                Ok(page) => break page,
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        servers.named(&leads).signal("CONT");
        sleep(Duration::from_secs(1)).await;
        let log = settled(node, world).await;
        let there = log.iter().filter(|record| record.id == id).count();
        assert_eq!(page.records.iter().any(|record| record.id == id), there == 1, "{outcome:?}");
        assert!(log.iter().map(|r| r.seq).eq(1..=log.len() as u64));
        assert!(there <= 1 && log.len() as u64 >= before, "{there} times");
        quick += before;
        match &outcome {
            Ok(Appended::Done { head }) => {
                assert!(there == 1 && *head == before + 1);
                counts[0] += 1;
            }
            Ok(Appended::Conflict { .. }) => panic!("nobody else writes"),
            Ok(other) => panic!("{other:?}"),
            Err(Error::Unknown(_)) => counts[2 + there] += 1,
            Err(Error::Storage(_) | Error::Away(_)) => {
                assert_eq!(there, 0, "it was said that nothing was written");
                counts[1] += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let [done, refused, gone, there, _] = counts;
    eprintln!(
        "stopped leaders: {done} done, {refused} refused, {gone} unknown and not there, {there} unknown and there, \
         after {quick} quick appends"
    );
    assert!(quick > 0);
}

/// The log once the cluster answers again, and an append has closed what may still be under way.
async fn settled(node: &JetStream, world: crate::log::WorldId) -> Vec<crate::log::Record> {
    let begun = Instant::now();
    loop {
        if let Ok(Some(head)) = node.head(world).await
            && let Ok(Appended::Done { .. }) = node.append(append(world, head.head, Vec::new())).await
        {
            return whole(node, world).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it recovers");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn while_nats_is_away_nothing_is_written_and_that_is_said_soon() {
    let mut servers = Servers::start(1);
    let options = Options { patience: Duration::from_millis(500), ..options(servers.url(), 1) };
    let node = open(&options).await;
    let world = make_world(&node).await;
    node.append(append(world, 0, vec![draft("{}")])).await.unwrap();
    servers.servers[0].kill();
    let mut state = crate::log::cluster::Cluster::state(&node);
    state.wait_for(|link| *link != crate::log::cluster::Link::Connected).await.unwrap();
    let begun = Instant::now();
    let away = node.append(append(world, 1, vec![draft("{}")])).await;
    assert!(matches!(away, Err(Error::Away(_))), "{away:?}");
    assert!(node.head(world).await.is_err() && node.probe().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    servers.servers[0].start();
    let log = settled(&node, world).await;
    assert_eq!(log.len(), 1);
    node.probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn an_append_whose_caller_went_is_closed_before_the_tail_is_read() {
    let servers = Servers::start(1);
    let node = open(&options(servers.url(), 1)).await;
    let world = make_world(&node).await;
    node.append(append(world, 0, vec![draft("{}")])).await.unwrap();
    servers.servers[0].signal("STOP");
    // It has been sent when its caller goes: the server stores it as soon as it goes on.
    let gone = node.append(append(world, 1, vec![draft("late")]));
    assert!(tokio::time::timeout(Duration::from_millis(200), gone).await.is_err());
    let reading = node.read(world, 0, Limit { records: 9, bytes: 1 << 20 });
    let (page, ()) = tokio::join!(reading, async {
        sleep(Duration::from_millis(200)).await;
        servers.servers[0].signal("CONT");
    });
    let page = page.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(whole(&node, world).await, page.records);
    assert_eq!(node.head(world).await.unwrap().unwrap().head, page.head);
}
