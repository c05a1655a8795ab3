//! Users and worlds that come from another storage, as what they were there: same ids, epochs, `seq`s and times.
//!
//! A world comes as one is created (`ownership.rs`): the entry under its id, its messages, its snapshot, and last the
//! entry under its name, before which nobody reads it. What was cut off in between is made anew.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::api::Which;
use super::append::key;
use super::batch::{Batch, Key, SealedWrite, State};
use super::fold::Fold;
use super::names::{name_key, world_key};
use super::ownership::{IdInUse, Named, Owner};
use super::put::Outcome;
use super::seal::derive;
pub(in crate::log) use super::sessions::Brought;
use super::worlds::Slot;
use super::{Core, JetStream, failed, now_ms};
use crate::log::{Draft, Error, KeyWrite, Record, Secret, SecretWrite, Snapshot, TokenHash, WorldEntry, WorldId};

/// Of one message, in bytes: little enough that a page of history costs little to read.
const MESSAGE: usize = 128 * 1024;
const RECORDS: usize = 256;
/// What a record, a key or a secret takes beside its own bytes, at most.
const EACH: usize = 256;
/// What a message takes beside them.
const BESIDE: usize = 4096;
/// How often the entry under the id says that the world is still coming, so that no node takes it for a remnant.
const RENEW: Duration = Duration::from_secs(60);
/// Attempts to write a ticket while nodes append.
const ATTEMPTS: usize = 16;

/// How a world was received.
pub(in crate::log) enum Received {
    Begun(Box<Arrival>),
    /// A world of that id and name is here.
    Known(WorldEntry),
    /// It came before, and was removed here since.
    Gone,
    /// Something else is in its place.
    Clash(&'static str),
}

/// A world that is coming.
pub(in crate::log) struct Arrival {
    core: Arc<Core>,
    slot: Arc<Slot>,
    entry: WorldEntry,
    /// Of the next message.
    state: State,
    owner: Owner,
    revision: u64,
    renewed: Instant,
}

/// That everything of a data directory came.
#[derive(Serialize, Deserialize)]
struct Moved {
    /// What was made up to then, in Unix milliseconds, came; what of it is not here was removed since.
    youngest: i64,
}

impl JetStream {
    pub(in crate::log) async fn bring_user(&self, user: &str, created_ms: i64, used_ms: i64) -> Result<bool, Error> {
        self.core.bring_user(user, created_ms, used_ms).await
    }

    pub(in crate::log) async fn knows_user(&self, user: &str) -> Result<bool, Error> {
        self.core.user_exists(user).await
    }

    pub(in crate::log) async fn bring_session(&self, user: &str, token: TokenHash) -> Result<Brought, Error> {
        self.core.bring_session(user, token).await
    }

    /// The same without writing: what came before and is not here any more does not come again.
    pub(in crate::log) async fn find_token(&self, user: &str, token: TokenHash) -> Result<Brought, Error> {
        self.core.find_token(user, token).await
    }

    /// Up to when everything of the installation with that key came.
    pub(in crate::log) async fn moved(&self, installation_key: &[u8; 32]) -> Result<Option<i64>, Error> {
        let found = self.core.entry::<Moved>(&moved_key(installation_key)).await?;
        Ok(found.value.map(|moved| moved.youngest))
    }

    pub(in crate::log) async fn note_moved(&self, installation_key: &[u8; 32], youngest: i64) -> Result<(), Error> {
        let key = moved_key(installation_key);
        let found = self.core.entry::<Moved>(&key).await?;
        // Moved by another process at this moment: it will do.
        self.core.set(&key, &Moved { youngest }, found.revision).await.map(drop)
    }

    /// Begins to take in a world, or says why not. Writes nothing unless it begins.
    pub(in crate::log) async fn receive(&self, entry: WorldEntry, former: &[u8; 32]) -> Result<Received, Error> {
        self.core.receive(entry, former).await
    }

    /// Makes sure that somebody takes up the turns of a world that has come.
    pub(in crate::log) async fn call_for_turns(&self, world: WorldId) -> Result<(), Error> {
        self.core.call_for_turns(world).await
    }
}

/// Not the installation's key itself.
fn moved_key(installation_key: &[u8; 32]) -> String {
    derive(installation_key, "moved").iter().take(16).fold("moved.".to_owned(), |key, byte| format!("{key}{byte:02x}"))
}

impl Core {
    async fn receive(self: &Arc<Self>, entry: WorldEntry, former: &[u8; 32]) -> Result<Received, Error> {
        let id = entry.id;
        let owner = self.entry::<Owner>(&world_key(id)).await?;
        if let Some(owner) = &owner.value {
            if owner.user != entry.user || owner.name != entry.name {
                return Ok(Received::Clash("its id is that of another world"));
            }
            if let Some(known) = self.world(id).await? {
                return Ok(Received::Known(known));
            }
        }
        let named = self.entry::<Named>(&name_key(&entry.user, &entry.name)).await?.value;
        if let Some(named) = named.filter(|named| named.id != id)
            && self.last(named.id).await?.is_some()
        {
            return Ok(Received::Clash("its user has another world of that name"));
        }
        let last = self.nats.get(&self.names.log, Which::Last(&self.names.world(id))).await.map_err(failed)?;
        if let Some(last) = &last
            && Batch::decode(&last.payload).map_err(failed)?.state.deleted
        {
            return Ok(Received::Gone);
        }
        if !self.user_exists(&entry.user).await? {
            return Ok(Received::Gone);
        }
        if owner.value.is_some() || last.is_some() {
            self.slots.forget(id);
            self.try_remove_rest(id, None).await?;
        }
        let same = *former == derive(&self.options.cluster_key, "fingerprints");
        let former_key = (!same).then(|| self.sealer.seal_key(id, former)).transpose().map_err(failed)?;
        let owner = Owner { user: entry.user.clone(), name: entry.name.clone(), coming: Some(now_ms()), former_key };
        let Outcome::Done(revision) = self.set(&world_key(id), &owner, 0).await? else {
            return Err(failed(IdInUse(id)));
        };
        let state = State {
            nonce: Uuid::new_v4(),
            prev: 0,
            first: entry.head.floor.saturating_add(1),
            epoch: entry.head.epoch.clone(),
            floor: entry.head.floor,
            busy: entry.busy,
            title: entry.title.clone(),
            deleted: false,
        };
        let (core, slot) = (self.clone(), self.slots.get(id));
        let renewed = Instant::now();
        Ok(Received::Begun(Box::new(Arrival { core, slot, entry, state, owner, revision, renewed })))
    }

    async fn call_for_turns(&self, world: WorldId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let ticket = self.names.append(world, true);
            if self.nats.get(&self.names.log, Which::Last(&ticket)).await.map_err(failed)?.is_some() {
                return Ok(());
            }
            let Some((last, seq)) = self.last(world).await? else { return Ok(()) };
            if let Outcome::Done(_) = self.publish(world, &Batch::empty(last.next(seq)), true).await? {
                return Ok(());
            }
        }
        Err(failed(IdInUse(world)))
    }

    pub(super) async fn former_key(&self, world: WorldId) -> Result<Option<[u8; 32]>, Error> {
        let owner = self.entry::<Owner>(&world_key(world)).await?.value;
        let sealed = owner.and_then(|owner| owner.former_key);
        sealed.map(|sealed| self.sealer.open_key(world, &sealed)).transpose().map_err(failed)
    }
}

impl Arrival {
    /// The records that follow on those that came.
    pub async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let draft = |Record { id, at_ms, body, .. }: Record| Draft { id, at_ms, body };
        for drafts in self.pieces(records.into_iter().map(draft).collect(), |draft| draft.body.len()) {
            self.publish(drafts, Vec::new(), Vec::new()).await?;
        }
        Ok(())
    }

    pub async fn keys(&mut self, writes: &[KeyWrite]) -> Result<(), Error> {
        // In base64, and JSON may escape each byte of a text.
        let size = |key: &Key| 2 * (key.answer.len() + 3 * key.user.len() + 3 * key.key.len());
        for keys in self.pieces(writes.iter().map(key).collect(), size) {
            self.publish(Vec::new(), keys, Vec::new()).await?;
        }
        Ok(())
    }

    /// Secrets, the snapshot, and then the name: from here on the world is there, and somebody takes up its turns.
    pub async fn settle(mut self, secrets: Vec<(String, Secret)>, snapshot: Option<Snapshot>) -> Result<(), Error> {
        let write = |(agent, secret)| SecretWrite { agent, secret: Some(secret) };
        let writes: Vec<_> = secrets.into_iter().map(write).collect();
        let sealed = self.core.seal(self.entry.id, &writes)?;
        let size = |write: &SealedWrite| 2 * (write.sealed.as_ref().map_or(0, Vec::len) + 3 * write.agent.len());
        for secrets in self.pieces(sealed, size) {
            self.publish(Vec::new(), Vec::new(), secrets).await?;
        }
        if self.state.prev == 0 {
            // Of a world without records there is one message, too.
            self.publish(Vec::new(), Vec::new(), Vec::new()).await?;
        }
        if let Some(snapshot) = snapshot {
            self.core.save_snapshot(self.entry.id, snapshot).await?;
        }
        let WorldEntry { id, user, name, template, persistent, created_ms, busy, .. } = self.entry;
        self.core.take_name(&Named { id, user, name, template, persistent, created: created_ms }).await?;
        if busy {
            self.core.call_for_turns(id).await?;
        }
        self.owner.coming = None;
        // If it does not work: the world has a name, so nobody looks.
        let _ = self.core.set(&world_key(id), &self.owner, self.revision).await;
        self.core.slots.forget(id);
        Ok(())
    }

    /// Takes back what came so far.
    pub async fn give_up(self) {
        self.core.remove_rest(self.entry.id, None).await;
    }

    async fn publish(&mut self, drafts: Vec<Draft>, keys: Vec<Key>, secrets: Vec<SealedWrite>) -> Result<(), Error> {
        let id = self.entry.id;
        if self.renewed.elapsed() > RENEW {
            self.owner.coming = Some(now_ms());
            let Outcome::Done(revision) = self.core.set(&world_key(id), &self.owner, self.revision).await? else {
                return Err(failed(IdInUse(id)));
            };
            (self.revision, self.renewed) = (revision, Instant::now());
        }
        let state = State { nonce: Uuid::new_v4(), ..self.state.clone() };
        let batch = Batch { state, drafts, keys, secrets };
        let Outcome::Done(seq) = self.core.publish(id, &batch, false).await? else {
            return Err(failed(IdInUse(id)));
        };
        if self.state.prev == 0 {
            *self.slot.fold.lock() = Fold::begin(&batch, seq);
        }
        self.core.took(&self.slot, &batch, seq);
        (self.state.prev, self.state.first) = (seq, batch.head().saturating_add(1));
        Ok(())
    }

    /// In pieces that fit into a message; what is too large alone is left to be refused.
    fn pieces<T>(&self, all: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
        let room = MESSAGE.min(self.core.nats.client.max_payload().saturating_sub(BESIDE));
        let (mut pieces, mut bytes) = (Vec::<Vec<T>>::new(), 0);
        for one in all {
            bytes += size(&one) + EACH;
            match pieces.last_mut() {
                Some(piece) if bytes <= room && piece.len() < RECORDS => piece.push(one),
                _ => {
                    bytes = size(&one) + EACH;
                    pieces.push(vec![one]);
                }
            }
        }
        pieces
    }
}
