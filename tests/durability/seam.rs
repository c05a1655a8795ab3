//! The seam between replay and live: subscriptions that begin while others write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use agent_world::{
    log::{
        Directory, TokenHash, WorldLog,
        sqlite::{Options, Sqlite},
    },
    protocol::{ChatContent, EventKind, SenderName},
    provider::{ProviderSettings, Providers},
    world::{
        Command, Counters, Delivery, Filter, Gate, Services, Settings, Subscription, Templates, Wanted, WorldCell,
        Worlds,
    },
};
use bytes::Bytes;

use crate::{
    random::{Random, size},
    support::here,
};

const SUBSCRIBERS: u64 = 32;
/// Of all trials, this many in a hundred at least must have met a write between their start and going live.
const MET: u64 = 10;

async fn worlds(dir: &std::path::Path, outbox_bytes: usize) -> Worlds {
    let log = Arc::new(Sqlite::open(&Options::new(dir)).expect("a log"));
    log.create_session("u", TokenHash::of("t"), 1).await.expect("a user");
    let services = Arc::new(Services {
        cluster: None,
        installation_key: log.installation_key().await.expect("a key"),
        log,
        provider: Arc::new(Providers::new(ProviderSettings::default())),
        gate: Gate::new(8, 8),
        settings: Settings { outbox_bytes, ..Settings::default() },
        draining: AtomicBool::new(false),
        counters: Counters::default(),
    });
    Worlds::new(services, Templates::load(Some(&here("templates"))).expect("templates"))
}

fn everything() -> Filter {
    Filter::new([EventKind::Message, EventKind::World, EventKind::Sse, EventKind::System], None)
}

/// What one subscription brought, and whether something was written before it was live.
struct Trial {
    after: u64,
    got: Vec<(u64, Bytes)>,
    met: bool,
}

async fn trial(cell: &Arc<WorldCell>, after: u64, live: usize) -> Trial {
    let head = cell.hub.head();
    let cursor = cell.cursor(after);
    let mut subscription = Subscription::new(cell.clone(), everything(), Some(&cursor)).expect("a known cursor");
    let (mut got, mut met, mut caught_up, mut extra) = (Vec::new(), false, false, 0);
    while !caught_up || extra < live {
        for delivery in subscription.next().await.expect("the log can be read") {
            match delivery {
                Delivery::Events(batch) => {
                    got.extend(batch.events.iter().map(|(seq, push)| (*seq, push.bytes.clone())));
                    extra += if caught_up { batch.events.len() } else { 0 };
                }
                Delivery::CaughtUp(cursor) => {
                    assert!(!std::mem::replace(&mut caught_up, true), "caught_up comes once");
                    met = cursor != cell.cursor(head);
                }
                other => panic!("not expected here: {other:?}"),
            }
        }
    }
    Trial { after, got, met }
}

async fn race(outbox_bytes: usize, trials: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let worlds = worlds(dir.path(), outbox_bytes).await;
    let name = "w".to_owned().try_into().expect("a name");
    let template = "empty".to_owned().try_into().expect("a name");
    let wanted = Wanted { name: &name, template: &template, persistent: true, title: None };
    let (entered, _) = worlds.open_or_create("u", wanted).await.expect("a world");
    let cell = entered.cell.clone();
    cell.view().await.expect("it can be loaded");
    let done = Arc::new(AtomicBool::new(false));
    let (begun, said) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn({
        let (cell, done, said) = (cell.clone(), done.clone(), said.clone());
        async move {
            while !done.load(Ordering::Relaxed) {
                let content = format!("number {}", said.fetch_add(1, Ordering::Relaxed));
                let command = Command::Chat {
                    content: ChatContent::try_from(content).expect("text"),
                    sender: SenderName::try_from("HUMAN".to_owned()).expect("a sender"),
                    display_name: None,
                    target_agent: None,
                };
                cell.execute(command, None).await.expect("it is stored");
            }
        }
    });
    let mut random = Random::new("seam");
    let mut subscribers = tokio::task::JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let (cell, begun, mut random) = (cell.clone(), begun.clone(), random.fork());
        subscribers.spawn(async move {
            let mut trials_done = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < trials {
                let after = cell.hub.head().saturating_sub(random.below(12));
                trials_done.push(trial(&cell, after, random.below(4) as usize).await);
            }
            trials_done
        });
    }
    let all: Vec<Trial> = subscribers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::Relaxed);
    writing.await.expect("no panic");
    // What there is, read in one go by somebody who was never live.
    let head = cell.hub.head();
    let truth: BTreeMap<u64, Bytes> = trial(&cell, 0, 0).await.got.into_iter().collect();
    let mut events = 0;
    for Trial { after, got, .. } in &all {
        let Some((last, _)) = got.last() else { continue };
        let wanted = truth.range(after + 1..=*last).map(|(seq, bytes)| (*seq, bytes.clone()));
        assert!(
            wanted.eq(got.iter().cloned()),
            "after {after}: {:?}",
            got.iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        );
        events += got.len();
    }
    let met = all.iter().filter(|trial| trial.met).count() as u64;
    println!(
        "seam: {} trials with outboxes of {outbox_bytes} bytes, {met} of them met a write on the way, {events} events, {} messages, head {head}",
        all.len(),
        said.load(Ordering::Relaxed)
    );
    assert!(all.len() as u64 >= trials && met * 100 >= trials * MET, "{met} of {}", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_meets_live_without_a_gap_or_a_duplicate() {
    race(1024 * 1024, size("TRIALS", 10_000)).await;
}

/// With outboxes so small that subscribers fall behind all the time, and go back to the log.
#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_again_and_again_misses_nothing() {
    race(700, size("TRIALS", 10_000) / 2).await;
}
