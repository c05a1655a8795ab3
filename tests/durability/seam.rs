//! The seam between replay and live: subscriptions that begin while others write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use agent_world::{
    log::{
        Directory, TokenHash, WorldLog,
        sqlite::{Options, Sqlite},
    },
    protocol::{ChatContent, EventKind, SenderName},
    provider::{ProviderSettings, Providers},
    world::{
        Batch, Command, Counters, Delivery, Filter, Gate, Outlet, Services, Settings, Subscription, Templates, Wanted,
        WorldCell, Worlds,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;

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

/// What one subscription brought, whether something was written before it was live, and how many events of it were
/// written for the subscriber while it waited.
struct Trial {
    after: u64,
    got: Vec<(u64, Bytes)>,
    met: bool,
    put: u64,
}

/// What came, in its order, whoever brought it. As an outlet it leaves a rest each third time.
#[derive(Default)]
struct Came {
    events: Mutex<Vec<(u64, Bytes)>>,
    puts: AtomicU64,
}

impl Came {
    fn add(&self, batch: &Batch) {
        self.events.lock().extend(batch.events.iter().map(|(seq, push)| (*seq, push.bytes.clone())));
    }

    fn count(&self) -> usize {
        self.events.lock().len()
    }
}

impl Outlet for Came {
    fn put(&self, batch: &Batch, _: bool) -> bool {
        self.add(batch);
        self.puts.fetch_add(1, Ordering::Relaxed) % 3 != 2
    }
}

async fn trial(cell: &Arc<WorldCell>, after: u64, live: usize, lends: bool) -> Trial {
    let head = cell.hub.head();
    let cursor = cell.cursor(after);
    let mut subscription = Subscription::new(cell.clone(), everything(), Some(&cursor)).expect("a known cursor");
    let came = Arc::new(Came::default());
    let outlet: Option<Arc<dyn Outlet>> = lends.then(|| came.clone() as _);
    let (mut met, mut caught_up) = (false, None);
    let mut turn = 0;
    while caught_up.is_none_or(|before| came.count() - before < live) {
        // Whoever serves a connection often goes away from what it waits for, and comes back.
        turn += 1;
        let deliveries = tokio::select! {
            deliveries = subscription.next(outlet.as_ref()) => deliveries.expect("the log can be read"),
            () = tokio::time::sleep(Duration::from_micros(300)), if turn % 2 == 0 => Vec::new(),
        };
        for delivery in deliveries {
            match delivery {
                Delivery::Events(batch) => came.add(&batch),
                Delivery::CaughtUp(cursor) => {
                    assert_eq!(caught_up.replace(came.count()), None, "caught_up comes once");
                    met = cursor != cell.cursor(head);
                }
                other => panic!("not expected here: {other:?}"),
            }
        }
    }
    if let Some((seq, _)) = came.events.lock().last() {
        assert!(subscription.cursor() == cell.cursor(*seq), "it stands behind what came last");
    }
    drop(subscription);
    Trial { after, got: std::mem::take(&mut came.events.lock()), met, put: came.puts.load(Ordering::Relaxed) }
}

/// `least`: of all trials, in a hundred, this often at least something must have been written for a subscriber
/// that waited.
async fn race(outbox_bytes: usize, trials: u64, least: u64) {
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
                trials_done.push(trial(&cell, after, random.below(4) as usize, random.below(2) == 0).await);
            }
            trials_done
        });
    }
    let all: Vec<Trial> = subscribers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::Relaxed);
    writing.await.expect("no panic");
    // What there is, read in one go by somebody who was never live.
    let head = cell.hub.head();
    let truth: BTreeMap<u64, Bytes> = trial(&cell, 0, 0, false).await.got.into_iter().collect();
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
    let put: u64 = all.iter().map(|trial| trial.put).sum();
    let met = all.iter().filter(|trial| trial.met).count() as u64;
    println!(
        "seam: {} trials with outboxes of {outbox_bytes} bytes, {met} of them met a write on the way, {events} events, {put} times \
         some were put, {} messages, head {head}",
        all.len(),
        said.load(Ordering::Relaxed)
    );
    assert!(all.len() as u64 >= trials && met * 100 >= trials * MET, "{met} of {}", all.len());
    assert!(put * 100 >= trials * least, "{put} of {trials}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_meets_live_without_a_gap_or_a_duplicate() {
    race(1024 * 1024, size("TRIALS", 10_000), MET).await;
}

/// With outboxes so small that subscribers fall behind all the time, and go back to the log: what a message causes does
/// not fit at all, or only when nothing waits.
#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_again_and_again_misses_nothing() {
    race(700, size("TRIALS", 10_000) / 2, 0).await;
    race(1_500, size("TRIALS", 10_000) / 2, 2).await;
}
