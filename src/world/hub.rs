//! [`Hub`]: the subscribers of one world. Events come in once, encoded, and go to every live outbox.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    outbox::{Batch, MadeDelta, Offered, Outbox},
    publish::{Filter, Push, delta},
    reply::{LiveReply, Stretch},
};
use crate::protocol::{EventKind, MessageId, WorldName};

/// Filters whose choice is shared by all that have them; beyond that, everybody chooses for themselves.
const FILTERS: usize = 8;
/// Subscribers that one task delivers to, one after the other: enough that tasks cost little beside writing, few enough
/// that all cores take part and nobody waits long for one of them.
const ROUND: usize = 32;

/// Lock order, outermost first: a reply's text, the hub, an outbox, what its outlet has.
pub struct Hub {
    inner: Mutex<Inner>,
}

struct Inner {
    head: u64,
    live: Vec<Arc<Outbox>>,
    replies: Vec<Arc<LiveReply>>,
    closed: bool,
}

impl Hub {
    pub fn new(head: u64) -> Self {
        Self { inner: Mutex::new(Inner { head, live: Vec::new(), replies: Vec::new(), closed: false }) }
    }

    /// The `seq` of the last event published.
    pub fn head(&self) -> u64 {
        self.inner.lock().head
    }

    /// Publishes what was just appended, in order, up to `head`. Records that clients never see only move the head.
    pub fn publish(&self, head: u64, pushes: Vec<(u64, Push)>, started: Option<Arc<LiveReply>>) {
        let mut inner = self.inner.lock();
        inner.head = head;
        for ended in pushes.iter().filter_map(|(_, push)| push.ends.as_ref()) {
            inner.replies.retain(|reply| reply.reply.message_id != *ended);
        }
        let pushes: Vec<_> = pushes.into_iter().map(|(seq, push)| (seq, Arc::new(push))).collect();
        let mut batches: Vec<(Filter, Option<Arc<Batch>>)> = Vec::new();
        let mut waiting = Vec::new();
        inner.live.retain(|outbox| {
            let known = batches.iter().find(|(filter, _)| *filter == outbox.filter);
            let batch = match known {
                Some((_, batch)) => batch.clone(),
                None => {
                    let batch = Batch::new(&outbox.filter, &pushes);
                    if batches.len() < FILTERS {
                        batches.push((outbox.filter.clone(), batch.clone()));
                    }
                    batch
                }
            };
            match batch.map_or(Offered::Taken, |batch| outbox.offer(&batch)) {
                Offered::Refused => return false,
                Offered::Taken => {}
                Offered::ToDeliver => waiting.push(outbox.clone()),
            }
            true
        });
        inner.replies.extend(started);
        drop(inner);
        deliver(waiting);
    }

    /// A reply runs that others started; what was said of it comes from [`Hub::publish_delta`].
    pub fn begin(&self, reply: Arc<LiveReply>) {
        self.inner.lock().replies.push(reply);
    }

    /// Moves the head without a word, if nobody listens who would have to hear what is passed over.
    pub fn skip_to(&self, head: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.live.is_empty() {
            inner.head = inner.head.max(head);
        }
        inner.live.is_empty()
    }

    /// Moves the head past what cannot be told any more: who is live goes back to reading the log.
    pub fn jump_to(&self, head: u64) {
        let mut inner = self.inner.lock();
        inner.head = inner.head.max(head);
        inner.replies.clear();
        inner.live.drain(..).for_each(|outbox| outbox.fall_behind());
    }

    /// Publishes a stretch of a running reply. The caller holds the reply's text.
    pub fn publish_delta(&self, world_name: &WorldName, reply: &Arc<LiveReply>, stretch: &Stretch) {
        let inner = self.inner.lock();
        let mut made: Option<MadeDelta> = None;
        for outbox in &inner.live {
            if outbox.filter.passes(EventKind::Sse, Some(&reply.reply.agent_name)) {
                outbox.offer_delta(reply, || {
                    made.get_or_insert_with(|| MadeDelta {
                        offset: stretch.offset,
                        end: stretch.end,
                        bytes: delta(world_name, &reply.reply, stretch),
                    })
                    .clone()
                });
            }
        }
    }

    /// Makes `outbox` live, if its subscriber has seen everything up to `cursor` and that is the head.
    pub fn go_live(&self, outbox: &Arc<Outbox>, cursor: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            outbox.close();
            return true;
        }
        if inner.head != cursor {
            return false;
        }
        let wanted = |reply: &&Arc<LiveReply>| outbox.filter.passes(EventKind::Sse, Some(&reply.reply.agent_name));
        let replies: Vec<_> = inner.replies.iter().filter(wanted).cloned().collect();
        outbox.go_live(&replies);
        inner.live.push(outbox.clone());
        true
    }

    pub fn leave(&self, outbox: &Arc<Outbox>) {
        self.inner.lock().live.retain(|other| !Arc::ptr_eq(other, outbox));
    }

    pub fn is_running(&self, reply: &MessageId) -> bool {
        self.inner.lock().replies.iter().any(|live| live.reply.message_id == *reply)
    }

    /// Bytes that wait in the outboxes of those who are live; who reads the log has none.
    pub fn waiting_bytes(&self) -> usize {
        self.inner.lock().live.iter().map(|outbox| outbox.waiting_bytes()).sum()
    }

    /// The world is gone: every subscriber is told.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.replies.clear();
        inner.live.drain(..).for_each(|outbox| outbox.close());
    }
}

/// Delivers to those who only wait: not one task is woken for each, but one made for many.
fn deliver(waiting: Vec<Arc<Outbox>>) {
    let mut waiting = waiting.into_iter();
    while waiting.len() > 0 {
        let round: Vec<_> = waiting.by_ref().take(ROUND).collect();
        tokio::spawn(async move { round.iter().for_each(|outbox| outbox.deliver()) });
    }
}
