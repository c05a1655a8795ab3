use super::api::{Failure, Stored, Which};
use super::batch::Batch;
use super::worlds::Slot;
use super::{Core, failed};
use crate::log::{Error, Limit, Page, Record, WorldId};

/// How far from the record a read may begin, in records: nearer costs more requests to find.
const NEAR: u64 = 256;
/// Records looked at in one step backwards.
const WINDOW: u64 = 128;
/// Bytes asked of a replica at once.
const CHUNK: usize = 1 << 20;
/// Reads that start over because the floor rose meanwhile.
const ATTEMPTS: usize = 3;

/// Records are not where they should be.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} of world {world} is missing; restore the stream from a backup")]
struct Missing {
    world: WorldId,
    seq: u64,
}

impl Core {
    pub(super) async fn read(&self, world: WorldId, after: u64, limit: Limit) -> Result<Page, Error> {
        let slot = self.slots.get(world);
        self.settled(world, &slot).await?;
        let mut missing = after;
        for _ in 0..ATTEMPTS {
            let (batch, last) = self.last(world).await?.ok_or(Error::NoWorld)?;
            let (head, floor) = (batch.head(), batch.state.floor);
            if after < floor || after >= head {
                return Ok(Page { records: Vec::new(), head, floor });
            }
            if let Some(records) = self.range(world, &slot, (batch, last), after + 1, head, limit).await? {
                return Ok(Page { records, head, floor });
            }
            missing = after + 1;
        }
        Err(failed(Missing { world, seq: missing }))
    }

    pub(super) async fn read_before(&self, world: WorldId, before: u64, limit: Limit) -> Result<Page, Error> {
        let slot = self.slots.get(world);
        self.settled(world, &slot).await?;
        'start: for _ in 0..ATTEMPTS {
            let (batch, last) = self.last(world).await?.ok_or(Error::NoWorld)?;
            let (head, floor) = (batch.head(), batch.state.floor);
            let (mut newest_first, mut bytes) = (Vec::new(), 0);
            let mut end = before.saturating_sub(1).min(head);
            'back: while end > floor {
                let want = u64::try_from(limit.records.max(1) - newest_first.len()).unwrap_or(u64::MAX);
                let from = end.saturating_sub(want.min(WINDOW) - 1).max(floor + 1);
                let all = Limit { records: usize::MAX, bytes: usize::MAX };
                let Some(window) = self.range(world, &slot, (batch.clone(), last), from, end, all).await? else {
                    continue 'start;
                };
                for record in window.into_iter().rev() {
                    bytes += record.body.len();
                    if bytes > limit.bytes && !newest_first.is_empty() {
                        break 'back;
                    }
                    newest_first.push(record);
                    if newest_first.len() >= limit.records.max(1) {
                        break 'back;
                    }
                }
                end = from - 1;
            }
            newest_first.reverse();
            return Ok(Page { records: newest_first, head, floor });
        }
        Err(failed(Missing { world, seq: before.saturating_sub(1) }))
    }

    /// The records `from..=to`, or as many of them as the limit allows. None when one is not there.
    async fn range(
        &self,
        world: WorldId,
        slot: &Slot,
        (last, last_at): (Batch, u64),
        from: u64,
        to: u64,
        limit: Limit,
    ) -> Result<Option<Vec<Record>>, Error> {
        let mut taken = Taken { next: from, to, limit, bytes: 0, records: Vec::new() };
        // Who follows a world reads what has just been appended.
        if last.state.first <= from {
            taken.take(last);
            return Ok(Some(taken.records));
        }
        slot.places.lock().put(last.state.first, last_at);
        let subject = self.names.world(world);
        let mut at = self.locate(slot, &subject, from).await.map_err(failed)?;
        let mut lagging = false;
        loop {
            let read = if lagging {
                let next = Which::Next { from: at, subject: &subject };
                self.nats.get(&self.names.log, next).await.map_err(failed)?.into_iter().collect()
            } else {
                let bytes = limit.bytes.saturating_add(1 << 12).min(CHUNK);
                let count = limit.records.saturating_add(8);
                let batch = self.nats.batch(&self.names.log, at, &subject, count, bytes).await;
                batch.map(|(read, _)| read).unwrap_or_default()
            };
            let mut dense = !read.is_empty();
            for Stored { seq, payload, .. } in read {
                let batch = Batch::decode(&payload).map_err(failed)?;
                if batch.state.first > taken.next {
                    dense = false;
                    break;
                }
                at = seq + 1;
                slot.places.lock().put(batch.state.first, seq);
                if taken.take(batch) {
                    return Ok(Some(taken.records));
                }
            }
            if !dense {
                if lagging {
                    return Ok(None);
                }
                // A replica that lags, or none at all: the leader has the last word.
                lagging = true;
            }
        }
    }

    /// A place in the stream from which reading on meets the record soon.
    async fn locate(&self, slot: &Slot, subject: &str, target: u64) -> Result<u64, Failure> {
        let (known, beyond) = {
            let places = slot.places.lock();
            (places.before(target), places.after(target))
        };
        let (mut first, mut at) = match known {
            Some(known) => known,
            None => match self.first_at(subject, 1).await? {
                Some(begin) => begin,
                None => return Ok(1),
            },
        };
        let Some((_, mut end)) = beyond else { return Ok(at) };
        // A lower bound by halves: places hold messages of all worlds, so the next one of ours is asked for.
        while target.saturating_sub(first) > NEAR && end - at > 1 {
            let middle = at + (end - at) / 2;
            match self.first_at(subject, middle).await? {
                Some((seq, place)) if seq <= target && place < end => {
                    (first, at) = (seq, place);
                    slot.places.lock().put(first, at);
                }
                _ => end = middle,
            }
        }
        Ok(at)
    }

    /// The message that holds the record: all before it are of older ones.
    pub(super) async fn locate_exactly(&self, slot: &Slot, subject: &str, target: u64) -> Result<u64, Failure> {
        let mut at = self.locate(slot, subject, target).await?;
        loop {
            let mut read = self.nats.batch(&self.names.log, at, subject, usize::MAX, CHUNK).await.unwrap_or_default().0;
            if read.is_empty() {
                read.extend(self.nats.get(&self.names.log, Which::Next { from: at, subject }).await?);
            }
            if read.is_empty() {
                return Ok(at);
            }
            for Stored { seq, payload, .. } in read {
                let batch = Batch::decode(&payload).map_err(|e| Failure::Malformed(e.to_string()))?;
                if batch.head() >= target {
                    return Ok(seq);
                }
                at = seq + 1;
            }
        }
    }

    /// The first message at or after a place: its first `seq`, and its place.
    async fn first_at(&self, subject: &str, from: u64) -> Result<Option<(u64, u64)>, Failure> {
        let stored = self.nats.get(&self.names.log, Which::Next { from, subject }).await?;
        let first = |stored: Stored| {
            let batch = Batch::decode(&stored.payload).map_err(|e| Failure::Malformed(e.to_string()))?;
            Ok((batch.state.first, stored.seq))
        };
        stored.map(first).transpose()
    }
}

/// Records as they are collected.
struct Taken {
    next: u64,
    to: u64,
    limit: Limit,
    bytes: usize,
    records: Vec<Record>,
}

impl Taken {
    /// Whether that was all that is wanted.
    fn take(&mut self, batch: Batch) -> bool {
        for record in batch.into_records() {
            if record.seq < self.next {
                continue;
            }
            if record.seq > self.to {
                return true;
            }
            self.bytes += record.body.len();
            if self.bytes > self.limit.bytes && !self.records.is_empty() {
                return true;
            }
            self.next = record.seq + 1;
            self.records.push(record);
            if self.records.len() >= self.limit.records.max(1) {
                return true;
            }
        }
        self.next > self.to
    }
}
