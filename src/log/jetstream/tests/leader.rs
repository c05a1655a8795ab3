//! The leader of the stream is killed while others write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::log::contract::{append, draft, make_world, whole};
use crate::log::{Appended, Error, WorldLog};

/// The server that leads the log's stream, once there is one.
pub(super) async fn leader(node: &JetStream) -> String {
    loop {
        let what = format!("STREAM.INFO.{}", node.core.names.log);
        let info = timeout(Duration::from_secs(2), node.core.nats.ask::<Value>(&what, json!({}))).await;
        if let Ok(Ok(info)) = info
            && let Some(leader) = info["cluster"]["leader"].as_str()
            && !leader.is_empty()
        {
            return leader.to_owned();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn nothing_acknowledged_is_lost_when_leaders_are_killed() {
    let kills = if long() { 5 } else { 1 };
    let mut servers = Servers::start(3);
    let options = options(servers.url(), 3);
    let node = Arc::new(open(&options).await);
    let mut worlds = Vec::new();
    for _ in 0..6 {
        worlds.push(make_world(&*node).await);
    }
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = JoinSet::new();
    for n in 0..12 {
        // Two writers to each world, on nodes of their own, so that they race too.
        let (url, world) = (servers.servers[n % 3].url.clone(), worlds[n % 6]);
        let all = servers.url();
        let node = open(&Options { url: format!("{url},{all}"), ..options.clone() }).await;
        let (over, done) = (over.clone(), done.clone());
        writers.spawn(async move {
            let (mut won, mut open, mut failed) = (Vec::new(), Vec::new(), 0u32);
            let mut head = 0;
            while !over.load(Ordering::Relaxed) {
                let draft = draft("{}");
                let id = draft.id;
                match node.append(append(world, head, vec![draft])).await {
                    Ok(Appended::Done { head: now }) => {
                        won.push((now, id));
                        done.fetch_add(1, Ordering::Relaxed);
                        head = now;
                    }
                    Ok(Appended::Conflict { head: now }) => head = now,
                    Ok(Appended::Duplicate(key)) => panic!("{key:?}"),
                    Err(Error::Unknown(_)) => {
                        open.push(id);
                        sleep(Duration::from_millis(100)).await;
                    }
                    Err(Error::Storage(_) | Error::Away(_)) => {
                        failed += 1;
                        sleep(Duration::from_millis(100)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (world, won, open, failed)
        });
    }
    let mut stops = Vec::new();
    for _ in 0..kills {
        wait_for_more(&done, 200).await;
        let leads = leader(&node).await;
        servers.named(&leads).kill();
        let killed = Instant::now();
        wait_for_more(&done, 50).await;
        stops.push(killed.elapsed());
        servers.named(&leads).start();
        sleep(Duration::from_secs(3)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut unknown, mut refused) = (BTreeMap::<_, BTreeMap<_, _>>::new(), Vec::new(), 0);
    while let Some(writer) = writers.join_next().await {
        let (world, won, open, failed) = writer.unwrap();
        for (seq, id) in won {
            assert_eq!(acknowledged.entry(world).or_default().insert(seq, id), None, "two winners of {seq}");
        }
        unknown.extend(open);
        refused += failed;
    }
    let mut records = 0;
    for world in worlds {
        let log = whole(&*node, world).await;
        assert!(log.iter().map(|r| r.seq).eq(1..=log.len() as u64), "a gap");
        let wins = &acknowledged[&world];
        for record in &log {
            // What is there was acknowledged, or nobody could say.
            assert!(wins.get(&record.seq) == Some(&record.id) || unknown.contains(&record.id), "{record:?}");
        }
        for (seq, id) in wins {
            assert_eq!(log.get(*seq as usize - 1).map(|r| r.id), Some(*id), "{seq} was acknowledged and is lost");
        }
        records += log.len();
    }
    eprintln!(
        "{kills} leaders killed: {records} records, none lost, none twice; {} unknown, {refused} refused; writes stopped for {stops:?}",
        unknown.len()
    );
}

/// Until so many more appends were acknowledged.
async fn wait_for_more(done: &AtomicU64, more: u64) {
    let wanted = done.load(Ordering::Relaxed) + more;
    timeout(Duration::from_secs(90), async {
        while done.load(Ordering::Relaxed) < wanted {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("appends go on");
}
