//! Who owns which world: how worlds come, are found, and go.
//!
//! The entry under user and name is the commit point. A creation writes the entry under the id, then
//! the first messages of the log, then that one; a deletion goes the other way. What a node leaves
//! behind when it dies in between, [`janitor`](super::janitor) removes: it has an id and no name.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::amend::new_epoch;
use super::append::{key, unknown};
use super::batch::{Batch, State};
use super::fold::Tip;
use super::names::{name_key, names_of, world_key};
use super::put::Outcome;
use super::{Core, failed};
use crate::log::{CreatedWorld, Draft, Error, NewWorld, WorldEntry, WorldId};

/// Worlds of a listing that are asked for at the same time.
const ABREAST: usize = 32;
/// How long the last message of a deleted world stays, so that every node hears of it.
pub(super) const TOMBSTONE_SECONDS: u64 = 24 * 60 * 60;
/// What a record takes in a message beside its body, at most.
const PER_RECORD: usize = 80;
/// What a message takes beside its records.
const PER_MESSAGE: usize = 4096;

/// The entry under user and name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    pub id: WorldId,
    pub user: String,
    pub name: String,
    pub template: String,
    pub persistent: bool,
    /// Unix milliseconds.
    pub created: i64,
}

/// The entry under the id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    pub user: String,
    pub name: String,
    /// Of a world that came from elsewhere: when its coming was last known to go on, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<i64>,
    /// What fingerprints were made under where it came from, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_key: Option<Vec<u8>>,
}

/// Something was where a fresh world was to be.
#[derive(Debug, thiserror::Error)]
#[error("the id {0} of a new world is in use")]
pub(super) struct IdInUse(pub WorldId);

/// Another creation of the same name was about to be done.
#[derive(Debug, thiserror::Error)]
#[error("the name of a new world is being taken and given up by others")]
struct Contended;

impl Core {
    pub(super) async fn create_world(&self, new: NewWorld) -> Result<CreatedWorld, Error> {
        if !self.user_exists(&new.user).await? {
            return Err(Error::NoUser);
        }
        if let Some(existing) = self.find_world(&new.user, &new.name).await? {
            return Ok(CreatedWorld::Exists(existing));
        }
        let owner = Owner { user: new.user.clone(), name: new.name.clone(), coming: None, former_key: None };
        if self.set(&world_key(new.id), &owner, 0).await? == Outcome::Moved {
            return Err(failed(IdInUse(new.id)));
        }
        let begun = self.begin(&new).await;
        let named = match &begun {
            Ok(_) => self.take_name(&named_of(&new)).await,
            Err(_) => Ok(()),
        };
        match (begun, named) {
            (Ok(tip), Ok(())) => Ok(CreatedWorld::Created(entry(named_of(&new), tip))),
            // It may be the world's name: whoever looks it up knows.
            (_, Err(error @ Error::Unknown(_))) | (Err(error @ Error::Unknown(_)), _) => Err(error),
            (begun, named) => {
                self.remove_rest(new.id, None).await;
                begun?;
                match self.find_world(&new.user, &new.name).await? {
                    Some(existing) => Ok(CreatedWorld::Exists(existing)),
                    None => Err(named.err().unwrap_or_else(|| failed(Contended))),
                }
            }
        }
    }

    /// The first messages of the log: nobody reads it before it has a name, so it may take several.
    async fn begin(&self, new: &NewWorld) -> Result<Tip, Error> {
        let state = State {
            nonce: Uuid::new_v4(),
            prev: 0,
            first: 1,
            epoch: new_epoch()?,
            floor: 0,
            busy: false,
            title: new.title.clone(),
            deleted: false,
        };
        let mut batch = Batch {
            state,
            drafts: Vec::new(),
            keys: new.key.iter().map(key).collect(),
            secrets: self.seal(new.id, &new.secrets)?,
        };
        let mut rest = new.drafts.as_slice();
        loop {
            let taken = self.fitting(rest);
            batch.drafts = rest[..taken].to_vec();
            rest = &rest[taken..];
            let Outcome::Done(seq) = self.publish(new.id, &batch, false).await? else {
                return Err(failed(IdInUse(new.id)));
            };
            let tip = Tip::new(&batch, seq);
            if rest.is_empty() {
                return Ok(tip);
            }
            batch = Batch::empty(batch.next(seq));
        }
    }

    /// How many of the drafts fit into one message; at least one, which may then be refused.
    fn fitting(&self, drafts: &[Draft]) -> usize {
        let mut room = self.nats.client.max_payload().saturating_sub(PER_MESSAGE);
        let fits = drafts.iter().take_while(|draft| {
            let size = draft.body.len() + PER_RECORD;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        fits.count().max(1).min(drafts.len())
    }

    /// The commit point. It has failed, too, when another world is there: the caller looks.
    pub(super) async fn take_name(&self, new: &Named) -> Result<(), Error> {
        let key = name_key(&new.user, &new.name);
        let until = Instant::now() + self.options.settle;
        loop {
            let found = self.entry::<Named>(&key).await.map_err(unknown)?;
            match found.value {
                Some(named) if named.id == new.id => return Ok(()),
                // A world that is there has a log.
                Some(named) if self.last(named.id).await?.is_some() => return Err(failed(Contended)),
                _ => {}
            }
            match self.set(&key, new, found.revision).await? {
                Outcome::Done(_) => return Ok(()),
                Outcome::Moved if Instant::now() >= until => return Err(failed(Contended)),
                Outcome::Moved => {}
            }
        }
    }

    pub(super) async fn find_world(&self, user: &str, name: &str) -> Result<Option<WorldEntry>, Error> {
        match self.entry::<Named>(&name_key(user, name)).await?.value {
            Some(named) => self.stands(named).await,
            None => Ok(None),
        }
    }

    pub(super) async fn world(&self, world: WorldId) -> Result<Option<WorldEntry>, Error> {
        match self.named(world).await? {
            Some((named, _)) => self.stands(named).await,
            None => Ok(None),
        }
    }

    pub(super) async fn worlds_of(&self, user: &str) -> Result<Vec<WorldEntry>, Error> {
        let keys = self.keys(&names_of(user)).await?;
        let found = stream::iter(keys).map(|key| async move {
            match self.entry::<Named>(&key).await?.value {
                Some(named) => self.stands(named).await,
                None => Ok(None),
            }
        });
        let found: Vec<Option<WorldEntry>> = found.buffer_unordered(ABREAST).try_collect().await?;
        let mut entries: Vec<_> = found.into_iter().flatten().collect();
        entries.sort_by_key(|entry| (entry.created_ms, entry.id));
        Ok(entries)
    }

    /// With how its log stands; none without a log.
    async fn stands(&self, named: Named) -> Result<Option<WorldEntry>, Error> {
        Ok(self.last(named.id).await?.map(|(batch, seq)| entry(named, Tip::new(&batch, seq))))
    }

    /// The entry that gives the world its name, and its revision.
    pub(super) async fn named(&self, world: WorldId) -> Result<Option<(Named, u64)>, Error> {
        let Some(owner) = self.entry::<Owner>(&world_key(world)).await?.value else { return Ok(None) };
        let found = self.entry::<Named>(&name_key(&owner.user, &owner.name)).await?;
        Ok(found.value.filter(|named| named.id == world).map(|named| (named, found.revision)))
    }

    pub(super) async fn set_persistent(&self, world: WorldId, persistent: bool) -> Result<(), Error> {
        loop {
            let (named, revision) = self.named(world).await?.ok_or(Error::NoWorld)?;
            if named.persistent == persistent {
                return Ok(());
            }
            let key = name_key(&named.user, &named.name);
            if let Outcome::Done(_) = self.set(&key, &Named { persistent, ..named }, revision).await? {
                return Ok(());
            }
        }
    }

    pub(super) async fn delete_world(&self, world: WorldId) -> Result<bool, Error> {
        loop {
            let Some((_, revision)) = self.named(world).await? else { return Ok(false) };
            if self.unset(revision).await? {
                break;
            }
        }
        self.remove_rest(world, Some(TOMBSTONE_SECONDS)).await;
        Ok(true)
    }

    pub(super) async fn ephemeral_worlds(&self) -> Result<Vec<WorldId>, Error> {
        let mut worlds = Vec::new();
        let each = |_: &str, named: Named, _| {
            if !named.persistent {
                worlds.push(named.id);
            }
        };
        self.scan("name.*.*", each).await?;
        worlds.sort_unstable();
        Ok(worlds)
    }

    /// Reads the last message of every world: for a start, a migration, a test. Who runs turns for
    /// a cluster takes tickets.
    pub(super) async fn busy_worlds(&self) -> Result<Vec<WorldId>, Error> {
        let mut worlds = Vec::new();
        self.scan("name.*.*", |_, named: Named, _| worlds.push(named.id)).await?;
        let busy = stream::iter(worlds).map(|world| async move {
            let last = self.last(world).await?;
            Ok::<_, Error>(last.filter(|(batch, _)| batch.state.busy).map(|_| world))
        });
        let busy: Vec<Option<WorldId>> = busy.buffer_unordered(ABREAST).try_collect().await?;
        let mut busy: Vec<_> = busy.into_iter().flatten().collect();
        busy.sort_unstable();
        Ok(busy)
    }
}

fn named_of(new: &NewWorld) -> Named {
    Named {
        id: new.id,
        user: new.user.clone(),
        name: new.name.clone(),
        template: new.template.clone(),
        persistent: new.persistent,
        created: new.created_ms,
    }
}

fn entry(named: Named, tip: Tip) -> WorldEntry {
    let head = tip.head();
    let Named { id, user, name, template, persistent, created } = named;
    WorldEntry { id, user, name, template, persistent, title: tip.title, created_ms: created, head, busy: tip.busy }
}
