//! [`Outbox`]: what waits for one subscriber.

use std::sync::Arc;

use bytes::Bytes;

use super::live_reply::reply;
use crate::{
    protocol::EventKind,
    world::{
        outbox::{Batch, Item, MadeDelta, Offered, Outbox, State},
        publish::{Filter, Push},
        reply::{LiveReply, Stretch},
    },
};

pub fn push(size: usize) -> Push {
    Push { bytes: Bytes::from(vec![b'x'; size]), kind: EventKind::Message, about: None, settles: None, ends: None }
}

pub fn event(seq: u64, size: usize) -> Arc<Batch> {
    Batch::new(&Filter::chat(), &[(seq, Arc::new(push(size)))]).unwrap()
}

pub fn live(limit: usize) -> Outbox {
    let outbox = Outbox::new(Filter::chat(), limit);
    outbox.go_live(&[]);
    outbox
}

/// `seq` of an event, the offset of a delta made for all, `merged` for one that is not.
pub fn describe(items: &[Item]) -> Vec<String> {
    let items = items.iter().map(|item| match item {
        Item::Events(batch) => batch.events[0].0.to_string(),
        Item::Delta { made: Some(made), .. } => format!("+{}", made.offset),
        Item::Delta { made: None, .. } => "merged".to_owned(),
    });
    items.collect()
}

/// Whether it was taken.
fn offer(outbox: &Outbox, batch: &Arc<Batch>) -> bool {
    outbox.offer(batch) != Offered::Refused
}

pub fn write(outbox: &Outbox, reply: &Arc<LiveReply>, chunk: &str) {
    reply.push(chunk, |Stretch { offset, end, text }| {
        outbox.offer_delta(reply, || MadeDelta { offset, end, bytes: Bytes::from(text) });
    });
}

#[test]
fn events_wait_in_order() {
    let outbox = live(1_000);
    for seq in 1..=5 {
        assert!(offer(&outbox, &event(seq, 10)));
    }
    let (items, state) = outbox.take(3);
    assert_eq!((describe(&items), state), (vec!["1".into(), "2".into(), "3".into()], State::Live));
    assert_eq!(describe(&outbox.take(3).0), ["4", "5"]);
    assert_eq!(describe(&outbox.take(3).0), [""; 0]);
}

/// A subscriber that reads the log is not fed, before and after.
#[test]
fn past_its_limit_an_outbox_forgets_everything() {
    let outbox = Outbox::new(Filter::chat(), 25);
    assert!(!offer(&outbox, &event(1, 1)));
    outbox.go_live(&[]);
    assert!(offer(&outbox, &event(2, 10)) && offer(&outbox, &event(3, 10)));
    assert!(!offer(&outbox, &event(4, 10)));
    let (items, state) = outbox.take(10);
    assert_eq!((items.len(), state), (0, State::Behind));
    assert!(!offer(&outbox, &event(5, 1)));
    outbox.go_live(&[]);
    assert!(offer(&outbox, &event(6, 1)));
    assert_eq!(describe(&outbox.take(10).0), ["6"]);
}

/// One event is always let through, whatever its size, and what was taken makes room.
#[test]
fn a_large_event_alone_is_let_through() {
    let outbox = live(25);
    for seq in 1..=3 {
        assert!(offer(&outbox, &event(seq, 100)));
        assert_eq!(describe(&outbox.take(10).0), [seq.to_string()]);
    }
    for seq in 4..=20 {
        assert!(offer(&outbox, &event(seq, 20)));
        outbox.take(10);
    }
}

/// What was appended together comes together, or not at all.
#[test]
fn a_batch_is_one_item_of_those_that_pass() {
    let events: Vec<_> = (1..=4)
        .map(|seq| {
            (seq, Arc::new(Push { kind: if seq == 2 { EventKind::System } else { EventKind::Message }, ..push(10) }))
        })
        .collect();
    let batch = Batch::new(&Filter::chat(), &events).unwrap();
    assert_eq!(batch.events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(Batch::new(&Filter::new([EventKind::Sse], None), &events).is_none());
    assert!(offer(&live(30), &batch));
    let small = live(29);
    assert!(!offer(&small, &batch));
    assert_eq!(small.take(10).1, State::Behind);
}

#[test]
fn deltas_of_one_reply_become_one() {
    let outbox = live(1_000);
    let (one, two) = (Arc::new(LiveReply::new(reply(1))), Arc::new(LiveReply::new(reply(2))));
    write(&outbox, &one, "a");
    write(&outbox, &two, "b");
    offer(&outbox, &event(7, 1));
    for _ in 0..100 {
        write(&outbox, &one, "aaaa");
    }
    assert_eq!(describe(&outbox.take(10).0), ["merged", "+0", "7"]);
    write(&outbox, &one, "a");
    write(&outbox, &two, "b");
    assert_eq!(describe(&outbox.take(10).0), ["+401", "+1"]);
}

/// Deltas, however many, never drive a subscriber back to the log.
#[test]
fn deltas_alone_never_pass_the_limit() {
    let outbox = live(64);
    let one = Arc::new(LiveReply::new(reply(1)));
    for _ in 0..1_000 {
        write(&outbox, &one, "0123456789");
    }
    assert!(offer(&outbox, &event(1, 60)), "what was merged weighs nothing");
    assert_eq!(describe(&outbox.take(10).0), ["merged", "1"]);
}

/// Who comes in the middle of replies gets one delta of each, and then the rest.
#[test]
fn going_live_in_the_middle_of_a_reply() {
    let outbox = Outbox::new(Filter::chat(), 1_000);
    let one = Arc::new(LiveReply::new(reply(1)));
    write(&outbox, &one, "before");
    outbox.go_live(std::slice::from_ref(&one));
    write(&outbox, &one, " between");
    assert_eq!(describe(&outbox.take(10).0), ["merged"]);
    assert_eq!(one.since(0).unwrap().text, "before between");
    write(&outbox, &one, " after");
    assert_eq!(describe(&outbox.take(10).0), ["+14"]);
}

#[test]
fn a_closed_outbox_stays_closed() {
    let outbox = live(1_000);
    offer(&outbox, &event(1, 1));
    outbox.close();
    assert!(!offer(&outbox, &event(2, 1)));
    assert_eq!((outbox.take(10).0.len(), outbox.take(10).1), (0, State::Closed));
}

/// A wake-up between taking and waiting is not lost.
#[tokio::test]
async fn a_wake_up_is_kept() {
    let outbox = live(1_000);
    outbox.take(10);
    offer(&outbox, &event(1, 1));
    outbox.woken().await;
    assert_eq!(describe(&outbox.take(10).0), ["1"]);
    write(&outbox, &Arc::new(LiveReply::new(reply(1))), "a");
    outbox.woken().await;
    outbox.close();
    outbox.woken().await;
}
