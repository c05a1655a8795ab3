//! [`Hub`]: the seam between what is read from the log and what comes live.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{live_reply::reply, outbox::push, publish::world_name, stage::id};
use crate::{
    protocol::{EventKind, MessageId},
    world::{
        hub::Hub,
        outbox::{Item, Outbox, State},
        publish::{Filter, Push},
        reply::LiveReply,
    },
};

/// Trials of each race. Not to be lowered: a seam that is wrong once in a thousand is wrong.
const TRIALS: u64 = 10_000;
/// Far more than one trial takes; whoever waits so long has missed something.
const PATIENCE: Duration = Duration::from_secs(20);

fn outbox(limit: usize) -> Arc<Outbox> {
    Arc::new(Outbox::new(Filter::chat(), limit))
}

fn seqs(outbox: &Outbox) -> Vec<u64> {
    let (items, _) = outbox.take(usize::MAX);
    items.iter().flat_map(seqs_of).collect()
}

fn seqs_of(item: &Item) -> Vec<u64> {
    match item {
        Item::Events(batch) => batch.events.iter().map(|(seq, _)| *seq).collect(),
        Item::Delta { .. } => Vec::new(),
    }
}

#[test]
fn only_who_has_seen_everything_goes_live() {
    let hub = Hub::new(7);
    let outbox = outbox(1_000);
    assert!(!hub.go_live(&outbox, 6));
    assert!(hub.go_live(&outbox, 7));
    hub.publish(8, vec![(8, push(1))], None);
    hub.publish(10, vec![(10, push(1))], None);
    hub.publish(11, vec![], None);
    assert_eq!((seqs(&outbox), hub.head()), (vec![8, 10], 11));
    hub.leave(&outbox);
    hub.publish(12, vec![(12, push(1))], None);
    assert_eq!(seqs(&outbox), [0; 0]);
}

#[test]
fn a_filter_holds_back_what_it_does_not_pass() {
    let hub = Hub::new(0);
    let outbox = outbox(1_000);
    hub.go_live(&outbox, 0);
    let system = Push { kind: EventKind::System, ..push(1) };
    hub.publish(2, vec![(1, system), (2, push(1))], None);
    assert_eq!(seqs(&outbox), [2]);
}

/// Who falls behind is no longer fed, until it has read what it missed.
#[test]
fn who_falls_behind_reads_on_from_the_log() {
    let hub = Hub::new(0);
    let outbox = outbox(10);
    hub.go_live(&outbox, 0);
    hub.publish(1, vec![(1, push(8))], None);
    hub.publish(2, vec![(2, push(8))], None);
    hub.publish(3, vec![(3, push(8))], None);
    assert_eq!((outbox.take(10).0.len(), outbox.take(10).1), (0, State::Behind));
    assert!(!hub.go_live(&outbox, 0) && hub.go_live(&outbox, 3));
    hub.publish(4, vec![(4, push(8))], None);
    assert_eq!(seqs(&outbox), [4]);
}

#[test]
fn a_world_that_is_gone_tells_everyone() {
    let hub = Hub::new(3);
    let (live, late) = (outbox(1_000), outbox(1_000));
    hub.go_live(&live, 3);
    hub.close();
    assert_eq!(live.take(1).1, State::Closed);
    assert!(hub.go_live(&late, 0), "who still reads learns it when it would go live");
    assert_eq!(late.take(1).1, State::Closed);
}

/// What a publisher that appends first, and publishes then, and a subscriber that reads first, and goes live then, do
/// to each other: `events` of them, to a subscriber that holds `limit` bytes. Every event comes once, in order.
fn race(events: u64, limit: usize) {
    let hub = Hub::new(0);
    let log = Mutex::new(Vec::new());
    let outbox = outbox(limit);
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut head = 0;
            while head < events {
                // One to four are appended together. Every third is the server's own business: it only moves the head.
                let last = events.min(head + 1 + head % 4);
                let new = head + 1..=last;
                log.lock().extend(new.clone());
                let pushes = new.filter(|seq| seq % 3 != 0).map(|seq| (seq, push(8))).collect();
                hub.publish(last, pushes, None);
                head = last;
            }
        });
        let (mut cursor, mut reading, mut heard) = (0, true, Vec::new());
        while hub.head() < events || heard.last().is_none_or(|last| *last < events) {
            if !reading {
                let (items, state) = outbox.take(4);
                for item in items {
                    for seq in seqs_of(&item) {
                        cursor = seq;
                        heard.push(seq);
                    }
                }
                reading = state == State::Behind;
            } else if hub.go_live(&outbox, cursor) {
                reading = false;
            } else {
                let head = hub.head();
                let page: Vec<u64> = log.lock().iter().copied().filter(|seq| *seq > cursor && *seq <= head).collect();
                for seq in page.into_iter().take(2) {
                    cursor = seq;
                    heard.extend((seq % 3 != 0).then_some(seq));
                }
            }
            assert!(started.elapsed() < PATIENCE, "stuck behind {cursor}");
            thread::yield_now();
        }
        let expected: Vec<_> = (1..=events).filter(|seq| seq % 3 != 0).collect();
        assert_eq!(heard, expected);
    });
}

#[test]
fn a_publish_races_going_live() {
    for trial in 0..TRIALS {
        race(1 + trial % 2, 1_000);
    }
}

/// The same with a subscriber so slow that it falls behind again and again.
#[test]
fn falling_behind_races_publishing() {
    for trial in 0..TRIALS / 20 {
        race(47, 8 + (trial as usize % 4) * 8);
    }
}

/// A reply is written while a subscriber comes: it hears the start, every bit of text once and in order, the end,
/// and nothing after the end.
#[test]
fn a_reply_races_going_live() {
    const CHUNKS: u64 = 5;
    for trial in 0..TRIALS {
        let hub = Hub::new(0);
        let outbox = outbox(if trial % 4 == 0 { 1 } else { 10_000 });
        let done = AtomicBool::new(false);
        let started = Instant::now();
        let sse = |ends: Option<MessageId>| Push { kind: EventKind::Sse, ends, ..push(8) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let live = Arc::new(LiveReply::new(reply(1)));
                hub.publish(1, vec![(1, sse(None))], Some(live.clone()));
                for n in 0..CHUNKS {
                    live.push(&n.to_string(), |stretch| hub.publish_delta(&world_name(), &live, &stretch));
                    if n == trial % CHUNKS {
                        thread::yield_now();
                    }
                }
                live.freeze();
                hub.publish(2, vec![(2, sse(Some(id(1))))], None);
                done.store(true, Ordering::Release);
            });
            let (mut cursor, mut reading) = (0, true);
            let mut text = String::new();
            while cursor < 2 {
                if !reading {
                    let (items, state) = outbox.take(usize::MAX);
                    for item in items {
                        match item {
                            Item::Events(batch) => {
                                for (seq, _) in &batch.events {
                                    assert_eq!(*seq, cursor + 1);
                                    cursor = *seq;
                                }
                            }
                            Item::Delta { reply, made } => {
                                assert_eq!(cursor, 1, "text comes after the start and before the end");
                                let sent = text.len() as u64;
                                // A delta made for all is used by who is at its offset; others ask for their own.
                                if made.as_ref().is_none_or(|made| made.offset != sent) {
                                    text.extend(reply.since(sent).map(|stretch| stretch.text));
                                } else if let Some(made) = made {
                                    text.push_str(&content(&made.bytes));
                                }
                            }
                        }
                    }
                    reading = state == State::Behind;
                } else if hub.go_live(&outbox, cursor) {
                    reading = false;
                } else {
                    cursor = hub.head();
                }
                assert!(started.elapsed() < PATIENCE, "stuck behind {cursor}");
                thread::yield_now();
            }
            assert!("01234".starts_with(&text), "{text:?}");
            while !done.load(Ordering::Acquire) {
                thread::yield_now();
            }
            assert_eq!(outbox.take(usize::MAX).0.len(), 0, "nothing follows the end");
            assert!(!hub.is_running(&id(1)));
        });
    }
}

fn content(frame: &Bytes) -> String {
    let frame: serde_json::Value = serde_json::from_slice(frame).unwrap();
    frame["payload"]["content"].as_str().unwrap().to_owned()
}
