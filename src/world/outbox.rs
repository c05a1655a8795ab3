//! [`Outbox`]: what waits to be delivered to one subscriber. It holds shared bytes of durable events, and of a
//! running reply at most one pending delta. Past its limit it forgets everything: the subscriber goes back to
//! reading the log (docs/DESIGN.md, decision 9).
//!
//! A subscriber that only waits need not be woken for what needs no more than being written: it lends its [`Outlet`]
//! (decision 9e).

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    publish::{Filter, Push},
    reply::LiveReply,
};
use crate::protocol::MessageId;

/// Bytes of events that go to a connection in one piece.
const TOGETHER: usize = 32 * 1024;

pub struct Outbox {
    pub filter: Filter,
    /// Bytes of queued frames past which the queue is dropped.
    limit: usize,
    queue: Mutex<Queue>,
    wake: Notify,
}

/// Where events are written for a subscriber while it waits.
pub trait Outlet: Send + Sync {
    /// Writes as much as goes without waiting, and keeps the rest for the subscriber. `false`: there is a rest. With
    /// `more`, another batch follows at once, and this one may wait for it.
    ///
    /// Called under the outbox's lock: it asks nothing of outbox and hub.
    fn put(&self, batch: &Batch, more: bool) -> bool;
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Replies with a pending delta, and whether that is a merged one.
    pending: Vec<(MessageId, bool)>,
    state: State,
    /// Lent by a subscriber that waits. What is in the queue then, somebody is on the way to deliver, or the subscriber
    /// has been woken for it.
    outlet: Option<Arc<dyn Outlet>>,
    /// The `seq` of the last event that went to the outlet.
    put: Option<u64>,
}

impl Queue {
    fn forget(&mut self, state: State) {
        *self = Self { state, put: self.put, ..Self::default() };
    }
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The outbox is not live (any more).
    Refused,
    /// The subscriber knows, or somebody is on the way already.
    Taken,
    /// [`Outbox::deliver`] must be called.
    ToDeliver,
}

/// How an outbox stands to the live stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not live: the subscriber reads the log.
    #[default]
    Behind,
    Live,
    /// The world is gone.
    Closed,
}

pub enum Item {
    Events(Arc<Batch>),
    Delta { reply: Arc<LiveReply>, made: Option<MadeDelta> },
}

impl Item {
    /// Events that need no more than being written.
    fn plain(&self) -> Option<&Arc<Batch>> {
        match self {
            Self::Events(batch) if batch.ends.is_empty() && batch.is_small() => Some(batch),
            _ => None,
        }
    }
}

/// Events that were appended together and pass a filter, with the `seq` of each: chosen once for everyone who has that
/// filter.
pub struct Batch {
    pub events: Vec<(u64, Arc<Push>)>,
    /// Of all frames together.
    pub bytes: usize,
    /// The replies that end here.
    pub ends: Vec<MessageId>,
    wire: OnceLock<Bytes>,
}

impl Batch {
    /// Those that pass; `None`, if none does.
    pub fn new(filter: &Filter, events: &[(u64, Arc<Push>)]) -> Option<Arc<Self>> {
        let passing = events.iter().filter(|(_, push)| filter.passes(push.kind, push.about.as_ref()));
        let events: Vec<_> = passing.cloned().collect();
        let bytes = events.iter().map(|(_, push)| push.bytes.len()).sum();
        let ends = events.iter().filter_map(|(_, push)| push.ends.clone()).collect();
        (!events.is_empty()).then(|| Arc::new(Self { events, bytes, ends, wire: OnceLock::new() }))
    }

    /// Whether its frames are put together for everyone: a lot is not held for each subscriber.
    pub fn is_small(&self) -> bool {
        self.bytes <= TOGETHER
    }

    /// All frames as they stand on a connection, which the first who needs them makes for everyone.
    pub fn wire(&self, make: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> Bytes) -> &Bytes {
        self.wire.get_or_init(|| make(&mut self.events.iter().map(|(_, push)| &push.bytes[..])))
    }
}

impl fmt::Debug for Batch {
    /// Never the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events.iter().map(|(seq, _)| seq)).finish()
    }
}

/// A delta encoded once for all: usable by whoever has exactly the text before `offset`.
#[derive(Clone)]
pub struct MadeDelta {
    pub offset: u64,
    pub end: u64,
    pub bytes: Bytes,
}

impl Outbox {
    pub fn new(filter: Filter, limit: usize) -> Self {
        Self { filter, limit, queue: Mutex::default(), wake: Notify::new() }
    }

    /// The subscriber has read the log to its end: from here on it is fed. Called under the hub's lock.
    pub(super) fn go_live(&self, replies: &[Arc<LiveReply>]) {
        let mut queue = self.queue.lock();
        queue.forget(State::Live);
        for reply in replies {
            queue.pending.push((reply.reply.message_id.clone(), true));
            queue.items.push_back(Item::Delta { reply: reply.clone(), made: None });
        }
    }

    /// Offers durable events.
    pub(super) fn offer(&self, batch: &Arc<Batch>) -> Offered {
        let mut queue = self.queue.lock();
        if queue.state != State::Live {
            return Offered::Refused;
        }
        let first = queue.items.is_empty();
        queue.bytes += batch.bytes;
        if queue.bytes > self.limit && !(queue.items.is_empty() && batch.events.len() == 1) {
            queue.forget(State::Behind);
        } else {
            queue.items.push_back(Item::Events(batch.clone()));
        }
        let (live, lent) = (queue.state == State::Live, queue.outlet.is_some());
        drop(queue);
        if !lent {
            self.wake.notify_one();
        } else if first {
            return Offered::ToDeliver;
        }
        if live { Offered::Taken } else { Offered::Refused }
    }

    /// Writes what waits to the outlet, if it is still lent. The subscriber is woken for the rest, and for what needs
    /// more than being written.
    pub(super) fn deliver(&self) {
        let mut guard = self.queue.lock();
        let queue = &mut *guard;
        let Some(outlet) = &queue.outlet else { return };
        let mut all = true;
        while all && let Some(batch) = queue.items.front().and_then(Item::plain).cloned() {
            queue.items.pop_front();
            queue.bytes = queue.bytes.saturating_sub(batch.bytes);
            queue.put = batch.events.last().map(|(seq, _)| *seq);
            let more = queue.items.front().is_some_and(|next| next.plain().is_some());
            all = outlet.put(&batch, more);
        }
        if queue.items.is_empty() {
            // An idle subscriber keeps no buffer.
            queue.items = VecDeque::new();
        } else {
            all = false;
        }
        if !all {
            queue.outlet = None;
            drop(guard);
            self.wake.notify_one();
        }
    }

    /// From here on, until [`Outbox::take_back`], events may be written to `outlet`; unless something waits already.
    pub fn lend(&self, outlet: Arc<dyn Outlet>) {
        let mut queue = self.queue.lock();
        if queue.state == State::Live && queue.items.is_empty() {
            queue.outlet = Some(outlet);
        }
    }

    /// From here on only the subscriber writes. Returns the `seq` of the last event that was written to the outlet,
    /// if one was.
    pub fn take_back(&self) -> Option<u64> {
        let mut queue = self.queue.lock();
        queue.outlet = None;
        queue.put.take()
    }

    /// Offers a live delta; one that waits already takes it in.
    pub(super) fn offer_delta(&self, reply: &Arc<LiveReply>, made: impl FnOnce() -> MadeDelta) {
        let mut queue = self.queue.lock();
        if queue.state != State::Live {
            return;
        }
        let id = &reply.reply.message_id;
        match queue.pending.iter_mut().find(|(pending, _)| pending == id) {
            Some((_, true)) => return,
            Some((_, merged)) => *merged = true,
            None => {
                let made = made();
                queue.pending.push((id.clone(), false));
                queue.bytes += made.bytes.len();
                queue.items.push_back(Item::Delta { reply: reply.clone(), made: Some(made) });
                drop(queue);
                self.wake.notify_one();
                return;
            }
        }
        let mut freed = 0;
        for item in queue.items.iter_mut().rev() {
            if let Item::Delta { reply: pending, made } = item
                && pending.reply.message_id == *id
            {
                freed = made.take().map_or(0, |made| made.bytes.len());
                break;
            }
        }
        queue.bytes = queue.bytes.saturating_sub(freed);
    }

    /// Forgets everything: the subscriber reads the log.
    pub(super) fn fall_behind(&self) {
        self.queue.lock().forget(State::Behind);
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        self.queue.lock().forget(State::Closed);
        self.wake.notify_one();
    }

    /// Takes up to `max` items.
    pub fn take(&self, max: usize) -> (Vec<Item>, State) {
        let mut queue = self.queue.lock();
        let items: Vec<_> = match queue.items.len() > max {
            true => queue.items.drain(..max).collect(),
            // An idle subscriber keeps no buffer.
            false => std::mem::take(&mut queue.items).into(),
        };
        for item in &items {
            match item {
                Item::Events(batch) => queue.bytes = queue.bytes.saturating_sub(batch.bytes),
                Item::Delta { reply, made } => {
                    let freed = made.as_ref().map_or(0, |made| made.bytes.len());
                    queue.bytes = queue.bytes.saturating_sub(freed);
                    queue.pending.retain(|(id, _)| *id != reply.reply.message_id);
                }
            }
        }
        if queue.items.is_empty() {
            queue.pending = Vec::new();
        }
        (items, queue.state)
    }

    /// Bytes of queued frames.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Returns when something may have come since the last [`Outbox::take`].
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}
