//! [`Outbox`]: what waits to be delivered to one subscriber. It holds shared bytes of durable events, and of a
//! running reply at most one pending delta. Past its limit it forgets everything: the subscriber goes back to
//! reading the log (docs/DESIGN.md, decision 9).

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    publish::{Filter, Push},
    reply::LiveReply,
};
use crate::protocol::MessageId;

pub struct Outbox {
    pub filter: Filter,
    /// Bytes of queued frames past which the queue is dropped.
    limit: usize,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Replies with a pending delta, and whether that is a merged one.
    pending: Vec<(MessageId, bool)>,
    state: State,
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
    Event { seq: u64, push: Arc<Push> },
    Delta { reply: Arc<LiveReply>, made: Option<MadeDelta> },
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
        *queue = Queue { state: State::Live, ..Queue::default() };
        for reply in replies {
            queue.pending.push((reply.reply.message_id.clone(), true));
            queue.items.push_back(Item::Delta { reply: reply.clone(), made: None });
        }
    }

    /// Offers durable events, of which it takes those that pass its filter, and wakes its subscriber once. `false`:
    /// this outbox is not live (any more).
    pub(super) fn offer(&self, pushes: &[(u64, Arc<Push>)]) -> bool {
        let mut passing = pushes.iter().filter(|(_, push)| self.filter.passes(push.kind, push.about.as_ref())).peekable();
        if passing.peek().is_none() {
            return true;
        }
        let mut queue = self.queue.lock();
        if queue.state != State::Live {
            return false;
        }
        for (seq, push) in passing {
            queue.bytes += push.bytes.len();
            if queue.bytes > self.limit && !queue.items.is_empty() {
                *queue = Queue::default();
                break;
            }
            queue.items.push_back(Item::Event { seq: *seq, push: push.clone() });
        }
        let live = queue.state == State::Live;
        drop(queue);
        self.wake.notify_one();
        live
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

    pub(super) fn close(&self) {
        *self.queue.lock() = Queue { state: State::Closed, ..Queue::default() };
        self.wake.notify_one();
    }

    /// Takes up to `max` items.
    pub fn take(&self, max: usize) -> (Vec<Item>, State) {
        let mut queue = self.queue.lock();
        let count = max.min(queue.items.len());
        let items: Vec<_> = queue.items.drain(..count).collect();
        for item in &items {
            match item {
                Item::Event { push, .. } => queue.bytes = queue.bytes.saturating_sub(push.bytes.len()),
                Item::Delta { reply, made } => {
                    let freed = made.as_ref().map_or(0, |made| made.bytes.len());
                    queue.bytes = queue.bytes.saturating_sub(freed);
                    queue.pending.retain(|(id, _)| *id != reply.reply.message_id);
                }
            }
        }
        if queue.items.is_empty() {
            // An idle subscriber keeps no buffer.
            queue.items = VecDeque::new();
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
