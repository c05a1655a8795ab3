use std::collections::HashSet;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::log::cluster::{Cluster, Ticket};
use crate::log::contract::{append, draft, make_world};
use crate::log::{Append, WorldId, WorldLog};

const LEASE: Duration = Duration::from_secs(1);

async fn write_ticket(node: &JetStream, world: WorldId, head: u64) {
    let write = Append { ticket: true, busy: true, ..append(world, head, vec![draft("{}")]) };
    node.append(write).await.unwrap();
}

async fn next(node: &JetStream, within: Duration) -> Option<Ticket> {
    timeout(within, node.next_ticket()).await.ok().map(Result::unwrap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_ticket_is_kept_while_it_is_held_and_handed_on_when_it_is_not() {
    let servers = shared();
    let options = Options { lease: LEASE, ..options(servers.url(), 1) };
    let (one, two) = (open(&options).await, open(&options).await);
    let world = make_world(&one).await;
    write_ticket(&one, world, 0).await;

    let held = next(&one, 5 * LEASE).await.expect("a ticket");
    assert_eq!((held.world, held.head, held.delivered), (world, 1, 1));
    // Far beyond the lease.
    assert!(next(&two, 4 * LEASE).await.is_none(), "it is held");
    // Given back: at once, not after the lease.
    let seq = held.seq;
    let waiting = tokio::spawn(async move { (next(&two, 5 * LEASE).await, two) });
    sleep(LEASE / 4).await;
    let dropped = Instant::now();
    drop(held);
    let (again, two) = waiting.await.unwrap();
    let again = again.expect("the ticket again");
    assert_eq!((again.seq, again.delivered), (seq, 2));
    assert!(dropped.elapsed() < LEASE / 2, "{:?}", dropped.elapsed());
    again.done().await.unwrap();
    assert!(next(&one, 2 * LEASE).await.is_none(), "it is done");

    // A call that was dropped loses none: what still comes to it is given back, and counts as handed out.
    write_ticket(&two, world, 1).await;
    let found = next(&one, LEASE).await.expect("the next ticket");
    assert_eq!(found.head, 2);
    assert!(found.delivered <= 2, "{found:?}");
    found.done().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_ticket_goes_to_another_node_when_its_holder_vanishes() {
    let servers = shared();
    let options = Options { lease: LEASE, ..options(servers.url(), 1) };
    let two = open(&options).await;
    let world = make_world(&two).await;
    write_ticket(&two, world, 0).await;
    // A runtime of its own that ends without a word, as a process does that is killed.
    let theirs = options.clone();
    let seq = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seq = runtime.block_on(async {
            let one = open(&theirs).await;
            let held = next(&one, 5 * LEASE).await.expect("a ticket");
            let seq = held.seq;
            std::mem::forget((held, one));
            seq
        });
        runtime.shutdown_background();
        seq
    });
    let seq = tokio::task::spawn_blocking(|| seq.join().unwrap()).await.unwrap();
    let again = next(&two, 5 * LEASE).await.expect("the ticket again");
    assert_eq!((again.seq, again.delivered), (seq, 2));
    again.done().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn each_ticket_is_handed_to_one_node_also_over_three_servers() {
    const TICKETS: u64 = 60;
    let servers = Servers::start(3);
    let options = options(servers.url(), 3);
    let mut nodes = Vec::new();
    for server in &servers.servers {
        nodes.push(Arc::new(open(&Options { url: server.url.clone(), ..options.clone() }).await));
    }
    let world = make_world(&*nodes[0]).await;
    let taking = nodes.clone().into_iter().map(|node| {
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            while let Some(ticket) = next(&node, Duration::from_secs(4)).await {
                assert_eq!(ticket.delivered, 1);
                seqs.push((ticket.seq, ticket.head));
                ticket.done().await.unwrap();
            }
            seqs
        })
    });
    let taking: Vec<_> = taking.collect();
    for head in 0..TICKETS {
        write_ticket(&nodes[(head % 3) as usize], world, head).await;
    }
    let mut all = Vec::new();
    for seqs in taking {
        all.extend(seqs.await.unwrap());
    }
    let heads: HashSet<_> = all.iter().map(|(_, head)| *head).collect();
    assert_eq!((all.len() as u64, heads.len() as u64), (TICKETS, TICKETS), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_ticket_outlives_the_truncation_of_its_world() {
    let servers = shared();
    let options = Options { lease: LEASE, ..options(servers.url(), 1) };
    let node = open(&options).await;
    let world = make_world(&node).await;
    write_ticket(&node, world, 0).await;
    for head in 1..5 {
        node.append(Append { busy: true, ..append(world, head, vec![draft("{}")]) }).await.unwrap();
    }
    let held = next(&node, 5 * LEASE).await.expect("a ticket");
    let snapshot = crate::log::Snapshot { seq: 5, body: "s".into() };
    node.save_snapshot(world, snapshot).await.unwrap();
    assert_eq!(node.truncate(world, 5).await.unwrap(), 5);
    drop(held);
    let again = next(&node, 5 * LEASE).await.expect("the ticket again");
    again.done().await.unwrap();
}
