//! Compare-and-set, over three servers with three replicas.

use super::*;
use crate::log::contract::{append, draft, make_world, whole};
use crate::log::{Append, Appended, WorldLog};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn of_nine_writers_over_three_servers_one_wins_each_round() {
    let rounds = if long() { 200 } else { 40 };
    let servers = Servers::start(3);
    let options = options(servers.url(), 3);
    let mut nodes = Vec::new();
    for n in 0..9 {
        let url = servers.servers[n % 3].url.clone();
        nodes.push(Arc::new(open(&Options { url, ..options.clone() }).await));
    }
    let world = make_world(&*nodes[0]).await;
    let mut expected = Vec::new();
    let mut head = 0;
    for round in 0..rounds {
        let tries = nodes.iter().enumerate().map(|(n, node)| {
            // Both kinds of subject, and batches of different lengths.
            let drafts: Vec<_> = (0..1 + (n + round) % 3).map(|_| draft("{}")).collect();
            let ids: Vec<_> = drafts.iter().map(|d| d.id).collect();
            let write = Append { ticket: (n + round) % 2 == 0, ..append(world, head, drafts) };
            async move { (ids, node.append(write).await.unwrap()) }
        });
        let mut winners = Vec::new();
        for (ids, outcome) in futures_util::future::join_all(tries).await {
            match outcome {
                Appended::Done { head } => winners.push((ids, head)),
                Appended::Conflict { head: now } => assert!(now > head, "a conflict with nothing at {now}"),
                Appended::Duplicate(key) => panic!("{key:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        expected.extend(winners[0].0.iter().copied());
        head = winners[0].1;
    }
    for node in &nodes {
        let log = whole(&**node, world).await;
        assert!(log.iter().map(|r| r.seq).eq(1..=head), "a gap");
        assert!(log.iter().map(|r| r.id).eq(expected.iter().copied()), "not what was acknowledged");
    }
    eprintln!("{rounds} rounds of 9 writers over 3 servers: one winner each");
}
