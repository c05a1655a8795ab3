//! [`Outlet`]: what is written for a subscriber that waits.

use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;

use super::{
    live_reply::reply,
    outbox::{describe, event, live, push, write},
};
use crate::{
    protocol::MessageId,
    world::{
        hub::Hub,
        outbox::{Batch, Offered, Outbox, Outlet, State},
        publish::{Filter, Push},
        reply::LiveReply,
    },
};

/// Notes what is put, `+` where more follows; takes so many batches, and leaves a rest of the last.
struct Notes {
    put: Mutex<Vec<String>>,
    takes: usize,
}

impl Notes {
    fn new(takes: usize) -> Arc<Self> {
        Arc::new(Self { put: Mutex::default(), takes })
    }

    fn put(&self) -> Vec<String> {
        std::mem::take(&mut self.put.lock())
    }
}

impl Outlet for Notes {
    fn put(&self, batch: &Batch, more: bool) -> bool {
        let mut put = self.put.lock();
        put.push(format!("{}{}", batch.events[0].0, if more { "+" } else { "" }));
        put.len() < self.takes
    }
}

fn is_woken(outbox: &Outbox) -> bool {
    outbox.woken().now_or_never().is_some()
}

#[test]
fn events_are_put_while_the_subscriber_waits() {
    let (outbox, notes) = (live(1_000), Notes::new(usize::MAX));
    outbox.lend(notes.clone());
    assert_eq!(outbox.offer(&event(1, 10)), Offered::ToDeliver);
    assert_eq!(outbox.offer(&event(2, 10)), Offered::Taken, "somebody is on the way");
    assert_eq!(outbox.waiting_bytes(), 20);
    outbox.deliver();
    assert_eq!(notes.put(), ["1+", "2"]);
    assert_eq!(outbox.offer(&event(3, 10)), Offered::ToDeliver);
    outbox.deliver();
    assert_eq!((notes.put(), outbox.waiting_bytes(), is_woken(&outbox)), (vec!["3".to_owned()], 0, false));
    assert_eq!((outbox.take_back(), outbox.take_back()), (Some(3), None));
    assert_eq!(outbox.offer(&event(4, 10)), Offered::Taken);
    outbox.deliver();
    assert!(is_woken(&outbox) && notes.put().is_empty());
    assert_eq!(describe(&outbox.take(10).0), ["4"]);
}

/// Whoever comes to deliver after the subscriber has gone on finds nothing to do.
#[test]
fn what_is_taken_back_in_time_is_the_subscribers() {
    let (outbox, notes) = (live(1_000), Notes::new(usize::MAX));
    outbox.lend(notes.clone());
    outbox.offer(&event(1, 10));
    assert_eq!(outbox.take_back(), None);
    outbox.deliver();
    assert!(notes.put().is_empty());
    assert_eq!(describe(&outbox.take(10).0), ["1"]);
}

#[test]
fn nothing_is_lent_past_what_waits() {
    let (outbox, notes) = (live(1_000), Notes::new(usize::MAX));
    outbox.offer(&event(1, 10));
    outbox.lend(notes.clone());
    assert_eq!(outbox.offer(&event(2, 10)), Offered::Taken);
    outbox.deliver();
    assert!(is_woken(&outbox) && notes.put().is_empty());
    assert_eq!(describe(&outbox.take(10).0), ["1", "2"]);
}

/// After a rest, only the subscriber writes.
#[test]
fn a_rest_wakes_the_subscriber() {
    let (outbox, notes) = (live(1_000), Notes::new(2));
    outbox.lend(notes.clone());
    (1..=4).for_each(|seq| {
        outbox.offer(&event(seq, 10));
    });
    outbox.deliver();
    outbox.deliver();
    assert_eq!((notes.put(), is_woken(&outbox)), (vec!["1+".to_owned(), "2+".to_owned()], true));
    assert_eq!((outbox.take_back(), outbox.waiting_bytes()), (Some(2), 20));
    assert_eq!(describe(&outbox.take(10).0), ["3", "4"]);
}

/// The end of a reply, a stretch of one, and a lot at once are the subscriber's business; their order stays.
#[test]
fn what_is_more_than_writing_wakes_the_subscriber() {
    let ended = MessageId::new("01938a6e-0000-7000-8000-000000000001").unwrap();
    let ends = Batch::new(&Filter::chat(), &[(2, Arc::new(Push { ends: Some(ended), ..push(10) }))]).unwrap();
    let large = event(2, 40_000);
    for other in [&ends, &large] {
        let (outbox, notes) = (live(1_000_000), Notes::new(usize::MAX));
        outbox.lend(notes.clone());
        for batch in [&event(1, 10), other, &event(3, 10)] {
            outbox.offer(batch);
        }
        outbox.deliver();
        assert_eq!((notes.put(), is_woken(&outbox)), (vec!["1".to_owned()], true));
        assert_eq!(outbox.take_back(), Some(1));
        assert_eq!(describe(&outbox.take(10).0), ["2", "3"]);
    }
    let (outbox, notes) = (live(1_000), Notes::new(usize::MAX));
    outbox.lend(notes.clone());
    outbox.offer(&event(1, 10));
    write(&outbox, &Arc::new(LiveReply::new(reply(1))), "a");
    outbox.offer(&event(2, 10));
    outbox.deliver();
    assert_eq!((notes.put(), is_woken(&outbox), outbox.take_back()), (vec!["1".to_owned()], true, Some(1)));
    assert_eq!(describe(&outbox.take(10).0), ["+0", "2"]);
}

/// Who falls behind reads on from where the outlet is.
#[test]
fn what_was_put_is_known_after_all_is_forgotten() {
    let beyond = |outbox: &Outbox| {
        (2..=3).for_each(|seq| {
            outbox.offer(&event(seq, 600));
        })
    };
    let cases: [(&dyn Fn(&Outbox), State); 3] =
        [(&beyond, State::Behind), (&Outbox::fall_behind, State::Behind), (&Outbox::close, State::Closed)];
    for (forget, state) in cases {
        let (outbox, notes) = (live(1_000), Notes::new(usize::MAX));
        outbox.lend(notes.clone());
        outbox.offer(&event(1, 10));
        outbox.deliver();
        forget(&outbox);
        outbox.deliver();
        assert_eq!((notes.put(), is_woken(&outbox)), (vec!["1".to_owned()], true));
        assert_eq!((outbox.take_back(), outbox.take(10).1), (Some(1), state));
        outbox.lend(notes.clone());
        assert_eq!(outbox.offer(&event(4, 10)), Offered::Refused);
    }
}

#[tokio::test]
async fn a_world_delivers_to_all_who_wait() {
    let hub = Hub::new(0);
    let all: Vec<_> = (0..100).map(|_| (Arc::new(Outbox::new(Filter::chat(), 1_000)), Notes::new(2))).collect();
    for (outbox, notes) in &all {
        assert!(hub.go_live(outbox, 0));
        outbox.lend(notes.clone());
    }
    for seq in 1..=3 {
        hub.publish(seq, vec![(seq, push(10))], None);
        tokio::task::yield_now().await;
    }
    for (outbox, notes) in &all {
        // The second left a rest.
        outbox.woken().await;
        assert_eq!((notes.put(), outbox.take_back()), (vec!["1".to_owned(), "2".to_owned()], Some(2)));
        assert_eq!(describe(&outbox.take(10).0), ["3"]);
    }
}
