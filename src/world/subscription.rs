//! [`Subscription`]: one subscriber's way through a world's events: from a cursor through the log to the live end,
//! and back to the log whenever it falls behind. Replay and slowness are one mechanism; there is no gap and no
//! duplicate at the seam, because going live and publishing hold the same lock.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    cell::WorldCell,
    event::Event,
    outbox::{Batch, Item, Outbox, Outlet, State},
    publish::{Filter, delta, publish},
    refusal::{storage, unresumable},
    reply::LiveReply,
};
use crate::{
    error::Failure,
    log::{Limit, Page},
    protocol::{Cursor, MessageId, UnresumableReason},
};

/// Records and bytes of one read of the log.
const PAGE: Limit = Limit { records: 256, bytes: 256 * 1024 };
/// Items taken from the outbox at once.
const BATCH: usize = 256;

pub struct Subscription {
    cell: Arc<WorldCell>,
    outbox: Arc<Outbox>,
    /// `seq` of the last event that was delivered or passed over.
    cursor: u64,
    reading: bool,
    /// A read of the log that goes on when this is polled again: who sends faster than the log is read would otherwise
    /// begin one after the other and see none to its end.
    page: Option<BoxFuture<'static, Result<Page, crate::log::Error>>>,
    /// Says `caught_up` once, when the replay that was asked for is over.
    announce: bool,
    /// Running replies, and how much of their text was delivered, in code points.
    sent: Vec<(MessageId, u64)>,
}

/// What a subscriber gets.
#[derive(Debug)]
pub enum Delivery {
    /// Durable events.
    Events(Arc<Batch>),
    /// The frame of a stretch of a running reply.
    Delta(Bytes),
    /// The replay reached the live end.
    CaughtUp(Cursor),
    /// The world was deleted; nothing follows.
    Gone,
}

impl Subscription {
    /// Subscribes after `after` (default: the head). Refused with `UNRESUMABLE` when the log cannot serve that.
    pub fn new(cell: Arc<WorldCell>, filter: Filter, after: Option<&Cursor>) -> Result<Self, Failure> {
        let cursor = match after {
            Some(cursor) => cell.resume_at(cursor)?,
            None => cell.hub.head(),
        };
        let outbox = Arc::new(Outbox::new(filter, cell.services.settings.outbox_bytes));
        Ok(Self { cell, outbox, cursor, reading: true, page: None, announce: after.is_some(), sent: Vec::new() })
    }

    pub fn cell(&self) -> &Arc<WorldCell> {
        &self.cell
    }

    /// Where this subscription stands.
    pub fn cursor(&self) -> Cursor {
        self.cell.cursor(self.cursor)
    }

    /// Starts at `seq` instead: for a stream that begins with an event of its own making.
    pub fn start_after(mut self, seq: u64) -> Self {
        self.cursor = seq;
        self
    }

    /// Waits for deliveries. Cancel-safe: nothing is taken from the world before it can be returned.
    ///
    /// While it waits, events may be written to `outlet`, by others; then it may return nothing: the outlet may have a
    /// rest to be written.
    pub async fn next(&mut self, outlet: Option<&Arc<dyn Outlet>>) -> Result<Vec<Delivery>, Failure> {
        let mut put = false;
        loop {
            // Going live may have brought something by itself: it is taken before anything is waited for.
            let was_live = !self.reading;
            let batch = if was_live { self.take() } else { self.read_on().await? };
            if !batch.is_empty() || put {
                return Ok(batch);
            }
            if was_live && !self.reading {
                put = self.wait(outlet).await;
            }
        }
    }

    /// Waits until something may have come. `true` if something was written to the outlet meanwhile.
    async fn wait(&mut self, outlet: Option<&Arc<dyn Outlet>>) -> bool {
        let Some(outlet) = outlet else {
            self.outbox.woken().await;
            return false;
        };
        let from = self.cursor;
        self.outbox.lend(outlet.clone());
        let lent = Lent { outbox: &self.outbox, cursor: &mut self.cursor };
        lent.outbox.woken().await;
        drop(lent);
        self.cursor > from
    }

    async fn read_on(&mut self) -> Result<Vec<Delivery>, Failure> {
        if self.cursor == self.cell.hub.head() && self.cell.hub.go_live(&self.outbox, self.cursor) {
            self.reading = false;
            self.page = None;
            let announced = std::mem::take(&mut self.announce);
            return Ok(announced.then(|| Delivery::CaughtUp(self.cursor())).into_iter().collect());
        }
        let page = self.page.get_or_insert_with(|| {
            let (cell, after) = (self.cell.clone(), self.cursor);
            Box::pin(async move { cell.services.log.read(cell.id, after, PAGE).await })
        });
        let read = page.await;
        self.page = None;
        let page = match read {
            Err(crate::log::Error::NoWorld) => return Ok(vec![Delivery::Gone]),
            page => page.map_err(storage)?,
        };
        if page.floor > self.cursor {
            return Err(unresumable(UnresumableReason::Expired, self.cell.cursor(page.head)));
        }
        let mut events = Vec::with_capacity(page.records.len());
        // Not beyond the hub's head: what is appended but not published yet comes live.
        let head = self.cell.hub.head();
        for record in page.records.into_iter().take_while(|record| record.seq <= head) {
            let event = Event::from_record(&record.body).map_err(Failure::internal)?;
            self.cursor = record.seq;
            let Some(push) = publish(&self.cell.name, record.seq, record.id, record.at_ms, &event) else { continue };
            if let Some(ended) = &push.ends {
                self.forget(ended);
            }
            events.push((record.seq, Arc::new(push)));
        }
        Ok(Batch::new(&self.outbox.filter, &events).map(Delivery::Events).into_iter().collect())
    }

    fn take(&mut self) -> Vec<Delivery> {
        let (items, state) = self.outbox.take(BATCH);
        let empty = items.is_empty();
        let mut batch = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Events(events) => {
                    self.cursor = events.events.last().map_or(self.cursor, |(seq, _)| *seq);
                    events.ends.iter().for_each(|ended| self.forget(ended));
                    batch.push(Delivery::Events(events));
                }
                Item::Delta { reply, made } => {
                    let cell = self.cell.clone();
                    let sent = self.sent_of(&reply);
                    let bytes = match made {
                        Some(made) if made.offset == *sent => {
                            *sent = made.end;
                            Some(made.bytes)
                        }
                        _ => reply.since(*sent).map(|stretch| {
                            *sent = stretch.end;
                            delta(&cell.name, &reply.reply, &stretch)
                        }),
                    };
                    batch.extend(bytes.map(Delivery::Delta));
                }
            }
        }
        match state {
            State::Closed if empty => batch.push(Delivery::Gone),
            State::Behind => self.reading = true,
            _ => {}
        }
        batch
    }

    fn sent_of(&mut self, reply: &LiveReply) -> &mut u64 {
        let id = &reply.reply.message_id;
        let at = self.sent.iter().position(|(known, _)| known == id).unwrap_or_else(|| {
            self.sent.push((id.clone(), 0));
            self.sent.len() - 1
        });
        &mut self.sent[at].1
    }

    fn forget(&mut self, reply: &MessageId) {
        self.sent.retain(|(known, _)| known != reply);
    }
}

/// An outlet is lent as long as this lives.
struct Lent<'a> {
    outbox: &'a Outbox,
    cursor: &'a mut u64,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(seq) = self.outbox.take_back() {
            *self.cursor = seq;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cell.hub.leave(&self.outbox);
    }
}
