//! Snapshots: in one message if they are small, in parts otherwise, with the fold beside the state.
//!
//! `<prefix>.snap.<world>.meta` is the commit point: the whole snapshot, or the list of its parts,
//! which stand at `<prefix>.snap.<world>.<generation>.<n>` before it is written.

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::api::{Stored, Which};
use super::batch::{frame, unframe};
use super::fold::{Fold, StoredFold};
use super::put::{Outcome, Put};
use super::{Core, failed};
use crate::log::{Error, Snapshot, WorldId};

/// Reads of a snapshot that is being replaced.
const ATTEMPTS: usize = 3;
/// Of a part or a small snapshot, in bytes, if the server takes as much.
const PART: usize = 512 * 1024;
const MORE: &[Bytes] = &[];

/// A snapshot as it was found.
pub(super) struct StoredSnapshot {
    pub snapshot: Snapshot,
    pub fold: Fold,
    /// A record and a message at or before it: where reading on begins.
    pub place: (u64, u64),
}

/// What stands before the state itself.
#[derive(Serialize, Deserialize)]
struct Head {
    seq: u64,
    place: (u64, u64),
    fold: StoredFold,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    seq: u64,
    nonce: Uuid,
    sha256: [u8; 32],
    /// How many; none when the snapshot follows here.
    parts: u32,
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot of world {world} at {seq} is torn")]
struct Torn {
    world: WorldId,
    seq: u64,
}

impl Core {
    pub(super) async fn latest_snapshot(&self, world: WorldId) -> Result<Option<Snapshot>, Error> {
        let (last, stored) = tokio::join!(self.last(world), self.stored_snapshot(world));
        let (last, last_at) = last?.ok_or(Error::NoWorld)?;
        // Beyond the head: of a log that was put back to an older state.
        let Some(stored) = stored?.filter(|stored| stored.snapshot.seq <= last.head()) else { return Ok(None) };
        let StoredSnapshot { snapshot, fold, place } = stored;
        let slot = self.slots.get(world);
        slot.places.lock().put(place.0, place.1);
        if fold.tip.last <= last_at {
            // Who reads it is about to open the world, and will write to it.
            slot.fold.lock().get_or_insert(fold);
        }
        Ok(Some(snapshot))
    }

    /// None also when it is torn: the log says the same, as long as it reaches back.
    pub(super) async fn stored_snapshot(&self, world: WorldId) -> Result<Option<StoredSnapshot>, Error> {
        let mut torn = None;
        for _ in 0..ATTEMPTS {
            let Some((meta, inline, _)) = self.snapshot_meta(world).await? else { return Ok(None) };
            let whole = match meta.parts {
                0 => Some(inline),
                parts => self.snapshot_parts(world, &meta, parts).await?,
            };
            if let Some(whole) = whole.filter(|whole| Sha256::digest(whole)[..] == meta.sha256) {
                let (head, body) = unframe(&whole).map_err(failed)?;
                let Head { seq, place, fold } = serde_json::from_slice(&head).map_err(failed)?;
                let snapshot = Snapshot { seq, body };
                return Ok(Some(StoredSnapshot { snapshot, fold: fold.into(), place }));
            }
            torn = Some(meta.seq);
        }
        tracing::error!(%world, seq = torn, "snapshot is torn, not used");
        Ok(None)
    }

    /// The commit point: what it says, what follows it, its place in the stream.
    async fn snapshot_meta(&self, world: WorldId) -> Result<Option<(Meta, Bytes, u64)>, Error> {
        let subject = format!("{}.meta", self.names.snapshot(world));
        let stored = self.nats.get(&self.names.snapshots, Which::Last(&subject)).await.map_err(failed)?;
        let Some(Stored { payload, seq, .. }) = stored else { return Ok(None) };
        let (meta, inline) = unframe(&payload).map_err(failed)?;
        Ok(Some((serde_json::from_slice(&meta).map_err(failed)?, inline, seq)))
    }

    async fn snapshot_parts(&self, world: WorldId, meta: &Meta, parts: u32) -> Result<Option<Bytes>, Error> {
        let mut whole = BytesMut::new();
        for n in 0..parts {
            let subject = part(&self.names.snapshot(world), meta.nonce, n);
            match self.nats.get(&self.names.snapshots, Which::Last(&subject)).await.map_err(failed)? {
                Some(stored) => whole.extend_from_slice(&stored.payload),
                None => return Ok(None),
            }
        }
        Ok(Some(whole.freeze()))
    }

    pub(super) async fn save_snapshot(&self, world: WorldId, snapshot: Snapshot) -> Result<(), Error> {
        let Snapshot { seq, body } = snapshot;
        let fold = self.with_fold(world, |fold| fold.store(self.keys_since_ms())).await?;
        if seq > fold.tip.head {
            return Ok(());
        }
        let stored = self.snapshot_meta(world).await?;
        if stored.as_ref().is_some_and(|(meta, ..)| meta.seq >= seq) {
            return Ok(());
        }
        let place = self.slots.get(world).places.lock().before(seq.saturating_add(1)).unwrap_or((0, 0));
        let head = serde_json::to_vec(&Head { seq, place, fold }).map_err(failed)?;
        let whole = frame(&head, std::slice::from_ref(&body).iter());
        let room = PART.min(self.nats.client.max_payload() * 3 / 4).max(1024);
        let parts = if whole.len() <= room { 0 } else { whole.len().div_ceil(room) };
        let parts = u32::try_from(parts).map_err(failed)?;
        let meta = Meta { seq, nonce: Uuid::new_v4(), sha256: Sha256::digest(&whole).into(), parts };
        let root = self.names.snapshot(world);
        let mut oldest = None;
        for n in 0..parts {
            let chunk = whole.slice(n as usize * room..whole.len().min((n as usize + 1) * room));
            let at = self.put_snapshot(&part(&root, meta.nonce, n), 0, chunk, |_| true).await?;
            let Outcome::Done(at) = at else { return Err(failed(Torn { world, seq })) };
            oldest.get_or_insert(at);
        }
        let head = serde_json::to_vec(&meta).map_err(failed)?;
        let payload = if parts == 0 { frame(&head, [whole].iter()) } else { frame(&head, MORE.iter()) };
        let nonce = meta.nonce;
        let mine = |stored: &Stored| {
            let meta = unframe(&stored.payload).ok().and_then(|(m, _)| serde_json::from_slice::<Meta>(&m).ok());
            meta.is_some_and(|meta| meta.nonce == nonce)
        };
        let expected = stored.as_ref().map_or(0, |(.., at)| *at);
        match self.put_snapshot(&format!("{root}.meta"), expected, payload, mine).await? {
            // The parts of older ones, and of any that were never finished.
            Outcome::Done(at) => {
                let tidied = self.nats.purge(&self.names.snapshots, &format!("{root}.*.*"), oldest.or(Some(at))).await;
                if let Err(error) = tidied {
                    tracing::debug!(%world, %error, "parts of old snapshots are left for the next time");
                }
                Ok(())
            }
            // Another node has just saved one: it will do.
            Outcome::Moved => Ok(()),
        }
    }

    async fn put_snapshot(
        &self,
        subject: &str,
        expected: u64,
        payload: Bytes,
        mine: impl Fn(&Stored) -> bool,
    ) -> Result<Outcome, Error> {
        let stream = &self.names.snapshots;
        let put = Put { stream, subject, last_of: subject, expected, headers: HeaderMap::new(), payload };
        self.nats.put(put, self.options.settle, mine).await
    }

    pub(super) async fn purge_snapshot(&self, world: WorldId) -> Result<(), Error> {
        let subjects = format!("{}.>", self.names.snapshot(world));
        self.nats.purge(&self.names.snapshots, &subjects, None).await.map_err(failed)
    }
}

fn part(root: &str, nonce: Uuid, n: u32) -> String {
    format!("{root}.{}.{n}", nonce.simple())
}
