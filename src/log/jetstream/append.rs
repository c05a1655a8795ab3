use std::sync::Arc;

use async_nats::HeaderMap;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::api::{Failure, Stored, Which};
use super::batch::{Batch, Key, SealedWrite, State};
use super::fold::{Fold, Tip};
use super::put::{Outcome, Put};
use super::worlds::Slot;
use super::{Core, failed};
use crate::log::{Append, Appended, Error, KeyRecord, KeyWrite, SecretWrite, WorldId};

/// Attempts to make a world's fold while others append and truncate.
const ATTEMPTS: usize = 5;
/// Bytes asked of a replica at once.
const CHUNK: usize = 1 << 20;

/// A world's messages do not follow each other, and no snapshot bridges them.
#[derive(Debug, thiserror::Error)]
#[error("the log of world {world} is damaged after message {after}; restore the stream from a backup")]
struct Damaged {
    world: WorldId,
    after: u64,
}

impl Core {
    pub(super) async fn append(&self, append: Append) -> Result<Appended, Error> {
        let slot = self.slots.get(append.world);
        let _turn = slot.turn.lock().await;
        let until = Instant::now() + self.options.settle;
        self.settle(append.world, &slot).await?;
        let mut fresh = slot.fold.lock().is_none();
        if fresh {
            self.refresh(append.world, &slot).await?;
        }
        loop {
            let (known, tip) = {
                let fold = slot.fold.lock();
                let fold = fold.as_ref().ok_or(Error::NoWorld)?;
                let since = self.keys_since_ms();
                let known = append.keys.iter().find_map(|key| fold.key(&key.user, &key.key, since));
                (known, fold.tip.clone())
            };
            if let Some(known) = known {
                return Ok(Appended::Duplicate(known));
            }
            if tip.head != append.expected_head {
                if fresh {
                    return Ok(Appended::Conflict { head: tip.head });
                }
            } else {
                let batch = self.batch(&append, &tip)?;
                let mut doubt = InDoubt { slot: &slot, after: tip.last, decided: false };
                let outcome = self.publish(append.world, &batch, append.ticket).await;
                doubt.decided = !matches!(outcome, Err(Error::Unknown(_)));
                drop(doubt);
                if let Outcome::Done(seq) = outcome? {
                    self.took(&slot, &batch, seq);
                    return Ok(Appended::Done { head: batch.head() });
                }
            }
            // Another node has written, or is just about to.
            self.refresh(append.world, &slot).await?;
            fresh = true;
            let moved = slot.fold.lock().as_ref().is_none_or(|fold| fold.tip.last != tip.last);
            if !moved {
                if Instant::now() >= until {
                    return Err(failed(Stuck));
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Makes sure that no append of this node can come in any more that nobody waits for: what a
    /// stopped server still holds would be stored whenever it goes on. An empty append does it,
    /// as only one of two can follow the same message. The caller holds the slot's turn.
    async fn settle(&self, world: WorldId, slot: &Slot) -> Result<(), Error> {
        let Some(after) = *slot.doubt.lock() else { return Ok(()) };
        if let Some((last, seq)) = self.last(world).await?
            && seq <= after
        {
            // Moved is as good: another message is there.
            self.publish(world, &Batch::empty(last.next(seq)), false).await.map_err(still_open)?;
        }
        *slot.doubt.lock() = None;
        Ok(())
    }

    /// The same for who only reads.
    pub(super) async fn settled(&self, world: WorldId, slot: &Slot) -> Result<(), Error> {
        if slot.doubt.lock().is_none() {
            return Ok(());
        }
        let turn = timeout(self.nats.patience, slot.turn.lock()).await;
        let _turn = turn.map_err(|_| failed(Failure::Away("an append waits for it".to_owned())))?;
        self.settle(world, slot).await
    }

    fn batch(&self, append: &Append, tip: &Tip) -> Result<Batch, Error> {
        Ok(Batch {
            state: State {
                busy: append.busy,
                title: append.title.clone().unwrap_or_else(|| tip.title.clone()),
                ..tip.next()
            },
            drafts: append.drafts.clone(),
            keys: append.keys.iter().map(key).collect(),
            secrets: self.seal(append.world, &append.secrets)?,
        })
    }

    pub(super) fn seal(&self, world: WorldId, secrets: &[SecretWrite]) -> Result<Vec<SealedWrite>, Error> {
        let seal = |write: &SecretWrite| {
            let sealed = write.secret.as_ref().map(|secret| self.sealer.seal(world, &write.agent, secret));
            Ok(SealedWrite { agent: write.agent.clone(), sealed: sealed.transpose().map_err(failed)? })
        };
        secrets.iter().map(seal).collect()
    }

    /// The batch as the world's next message.
    pub(super) async fn publish(&self, world: WorldId, batch: &Batch, ticket: bool) -> Result<Outcome, Error> {
        let mut headers = HeaderMap::new();
        // For people and tools: what the message holds says the same.
        headers.insert("Aw-Seq", format!("{}-{}", batch.state.first, batch.head()));
        let put = Put {
            stream: &self.names.log,
            subject: &self.names.append(world, ticket),
            last_of: &self.names.world(world),
            expected: batch.state.prev,
            headers,
            payload: batch.encode().map_err(failed)?,
        };
        let nonce = batch.state.nonce;
        let mine = |stored: &Stored| Batch::decode(&stored.payload).is_ok_and(|b| b.state.nonce == nonce);
        self.nats.put(put, self.options.settle, mine).await
    }

    /// Remembers a message that follows; anything else is left to the next refresh.
    pub(super) fn took(&self, slot: &Slot, batch: &Batch, seq: u64) {
        if let Some(fold) = slot.fold.lock().as_mut() {
            fold.apply(batch, seq, self.keys_since_ms());
        }
        slot.places.lock().put(batch.state.first, seq);
    }

    /// The world's last message, from the leader. None when there is no such world (any more).
    pub(super) async fn last(&self, world: WorldId) -> Result<Option<(Batch, u64)>, Error> {
        Ok(self.last_message(world).await?.filter(|(batch, _)| !batch.state.deleted))
    }

    /// The same, and the tombstone of one that was deleted.
    pub(super) async fn last_message(&self, world: WorldId) -> Result<Option<(Batch, u64)>, Error> {
        let subject = self.names.world(world);
        let Some(stored) = self.nats.get(&self.names.log, Which::Last(&subject)).await.map_err(failed)? else {
            return Ok(None);
        };
        Ok(Some((Batch::decode(&stored.payload).map_err(failed)?, stored.seq)))
    }

    /// Brings the fold to the world's last message. The caller holds the slot's turn.
    pub(super) async fn refresh(&self, world: WorldId, slot: &Slot) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            let Some((batch, last)) = self.last(world).await? else {
                self.slots.forget(world);
                *slot.fold.lock() = None;
                return Err(Error::NoWorld);
            };
            // What comes after a failed attempt is built from nothing.
            let held = slot.fold.lock().clone().filter(|_| attempt == 0);
            let since = self.keys_since_ms();
            let caught_up = match held {
                Some(fold) if fold.tip.last >= last => return Ok(()),
                Some(mut fold) if fold.tip.last == batch.state.prev => fold.apply(&batch, last, since).then_some(fold),
                None if batch.state.prev == 0 => Fold::begin(&batch, last),
                held => self.catch_up(world, slot, held, last).await?,
            };
            if let Some(caught_up) = caught_up {
                let mut fold = slot.fold.lock();
                // The node's consumer may have been faster.
                if fold.as_ref().is_none_or(|fold| fold.tip.last < caught_up.tip.last) || attempt > 0 {
                    *fold = Some(caught_up);
                }
                return Ok(());
            }
        }
        let after = slot.fold.lock().as_ref().map_or(0, |fold| fold.tip.last);
        Err(failed(Damaged { world, after }))
    }

    /// From what is held, or the snapshot, or nothing, to the message at `last`. None when the messages
    /// do not follow each other: a replica lags, or they were removed meanwhile.
    async fn catch_up(
        &self,
        world: WorldId,
        slot: &Slot,
        held: Option<Fold>,
        last: u64,
    ) -> Result<Option<Fold>, Error> {
        let mut fold = match held {
            Some(fold) => Some(fold),
            None => match self.stored_snapshot(world).await? {
                // One of a later log than this, which was put back, is none.
                Some(stored) if stored.fold.tip.last <= last => {
                    slot.places.lock().put(stored.place.0, stored.place.1);
                    Some(stored.fold)
                }
                _ => None,
            },
        };
        let subject = self.names.world(world);
        let mut lagging = false;
        loop {
            let reached = fold.as_ref().map_or(0, |fold| fold.tip.last);
            if reached >= last {
                return Ok(fold);
            }
            let read = if lagging {
                let next = Which::Next { from: reached + 1, subject: &subject };
                self.nats.get(&self.names.log, next).await.map_err(failed)?.into_iter().collect()
            } else {
                // A replica that cannot be asked is one that lags: the leader has the last word.
                let batch = self.nats.batch(&self.names.log, reached + 1, &subject, usize::MAX, CHUNK).await;
                batch.map(|(read, _)| read).unwrap_or_default()
            };
            let mut follows = false;
            for Stored { payload, seq, .. } in read {
                let batch = Batch::decode(&payload).map_err(failed)?;
                follows = match &mut fold {
                    Some(fold) => fold.apply(&batch, seq, self.keys_since_ms()),
                    None => {
                        fold = Fold::begin(&batch, seq);
                        fold.is_some()
                    }
                };
                if !follows {
                    break;
                }
                slot.places.lock().put(batch.state.first, seq);
            }
            if !follows {
                if lagging {
                    return Ok(None);
                }
                lagging = true;
            }
        }
    }

    pub(super) async fn find_keys(
        &self,
        world: WorldId,
        user: String,
        keys: Vec<String>,
    ) -> Result<Vec<Option<KeyRecord>>, Error> {
        let since = self.keys_since_ms();
        self.with_fold(world, |fold| keys.iter().map(|key| fold.key(&user, key, since)).collect()).await
    }

    /// Reads something of the fold as the leader knows it.
    pub(super) async fn with_fold<T>(&self, world: WorldId, read: impl FnOnce(&Fold) -> T) -> Result<T, Error> {
        let slot = self.slots.get(world);
        let _turn = slot.turn.lock().await;
        self.settle(world, &slot).await?;
        self.refresh(world, &slot).await?;
        let fold = slot.fold.lock();
        fold.as_ref().map(read).ok_or(Error::NoWorld)
    }
}

pub(super) fn key(write: &KeyWrite) -> Key {
    let known = KeyRecord { fingerprint: write.fingerprint, answer: write.answer.clone(), at_ms: write.at_ms };
    Key::new(&write.user, &write.key, &known)
}

/// An append that is under way. Dropped without a decision, also because its caller went, it leaves
/// the world in doubt.
struct InDoubt<'a> {
    slot: &'a Slot,
    after: u64,
    decided: bool,
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        if !self.decided {
            *self.slot.doubt.lock() = Some(self.after);
        }
    }
}

/// The server refuses, although nothing was written: it is not itself.
#[derive(Debug, thiserror::Error)]
#[error("NATS refuses an append as stale that is not")]
struct Stuck;

/// What could not be closed stays open; whoever asked has written nothing.
fn still_open(error: Error) -> Error {
    match error {
        Error::Unknown(cause) => Error::Storage(cause),
        other => other,
    }
}

/// For callers that hand it on.
pub(super) fn unknown(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unknown(Arc::new(cause))
}
