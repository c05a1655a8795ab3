//! Removes what creations and deletions left behind that were cut off in the middle.

use std::collections::HashSet;
use std::sync::Weak;
use std::time::Duration;

use async_nats::HeaderMap;
use tokio::time::sleep;
use uuid::Uuid;

use super::batch::{Batch, State};
use super::names::world_key;
use super::ownership::{Named, Owner, TOMBSTONE_SECONDS};
use super::sessions::User;
use super::{Core, failed, now_ms};
use crate::log::{Error, WorldId};

const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// Before it is left for the next time.
const ATTEMPTS: usize = 3;
/// A creation takes seconds; what is this old and has no name gets none any more.
const GRACE_MS: i64 = 10 * 60 * 1000;

pub(super) async fn serve(core: Weak<Core>) {
    sleep(FIRST).await;
    while let Some(core) = core.upgrade() {
        match core.tidy(now_ms() - GRACE_MS).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed what was left of worlds"),
            Err(error) => tracing::debug!(%error, "failed to look for what is left of worlds"),
        }
        drop(core);
        sleep(EVERY).await;
    }
}

impl Core {
    /// Removes worlds without a name or a user that were made before `made_before_ms`. How many.
    pub(super) async fn tidy(&self, made_before_ms: i64) -> Result<usize, Error> {
        Ok(self.tidy_nobodys(made_before_ms).await? + self.tidy_nameless(made_before_ms).await?)
    }

    /// Worlds whose user is gone: the expiry was cut off behind that.
    async fn tidy_nobodys(&self, made_before_ms: i64) -> Result<usize, Error> {
        let mut users = HashSet::new();
        self.scan("user.*", |_, user: User, _| {
            users.insert(user.user);
        })
        .await?;
        let mut nobodys = Vec::new();
        self.scan("name.*.*", |_, named: Named, _| {
            if !users.contains(&named.user) && made_ms(named.id) < made_before_ms {
                nobodys.push(named);
            }
        })
        .await?;
        let mut removed = 0;
        for Named { id, user, .. } in nobodys {
            // The scans may have been behind; the leader is not.
            if !self.user_exists(&user).await? && self.delete_world(id).await? {
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn tidy_nameless(&self, made_before_ms: i64) -> Result<usize, Error> {
        let mut worlds = Vec::new();
        self.scan("world.*", |key, owner: Owner, _| {
            let id = key.strip_prefix("world.").and_then(|id| Uuid::try_parse(id).ok());
            // What comes from elsewhere is older than its coming.
            let made = |id| made_ms(id).max(owner.coming.unwrap_or(0));
            worlds.extend(id.filter(|id| made(*id) < made_before_ms).map(|id| (id, owner.coming.is_some())));
        })
        .await?;
        let mut named = HashSet::new();
        self.scan("name.*.*", |_, value: Named, _| {
            named.insert(value.id);
        })
        .await?;
        worlds.retain(|(world, _)| !named.contains(world));
        let mut removed = 0;
        for (world, coming) in worlds {
            // The scans may have been behind; the leader is not.
            if self.named(world).await?.is_none() {
                // One that was coming was never there, and may come again: it was not deleted.
                self.remove_rest(world, (!coming).then_some(TOMBSTONE_SECONDS)).await;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes a world that has no name (any more). Best effort, as it can be done again. With a
    /// tombstone every node hears of it, and appends to it are refused as such.
    pub(super) async fn remove_rest(&self, world: WorldId, tombstone_seconds: Option<u64>) {
        self.slots.forget(world);
        for _ in 0..ATTEMPTS {
            match self.try_remove_rest(world, tombstone_seconds).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%world, %error, "failed to remove what is left of a world"),
            }
        }
    }

    pub(super) async fn try_remove_rest(&self, world: WorldId, tombstone_seconds: Option<u64>) -> Result<(), Error> {
        let before = match tombstone_seconds {
            Some(seconds) => self.bury(world, seconds).await?,
            None => None,
        };
        self.nats.purge(&self.names.log, &self.names.world(world), before).await.map_err(failed)?;
        self.purge_snapshot(world).await?;
        let owner = self.entry::<Owner>(&world_key(world)).await?;
        if owner.revision > 0 {
            self.unset(owner.revision).await?;
        }
        Ok(())
    }

    /// Writes the world's last message, whatever was the last until now. Its place.
    async fn bury(&self, world: WorldId, seconds: u64) -> Result<Option<u64>, Error> {
        let Some((last, seq)) = self.last_message(world).await? else { return Ok(None) };
        if last.state.deleted {
            // Of an attempt that was cut off behind it: it stays, for those who have not heard of it.
            return Ok(Some(seq));
        }
        let tombstone = Batch::empty(State { busy: false, title: None, deleted: true, ..last.next(seq) });
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", format!("{seconds}s"));
        let payload = tombstone.encode().map_err(failed)?;
        // Without compare-and-set: nothing may come after it. A second one does no harm.
        let subject = self.names.append(world, false);
        let mut outcome = self.nats.publish(&subject, headers.clone(), payload.clone()).await;
        if outcome.is_err() {
            outcome = self.nats.publish(&subject, headers, payload).await;
        }
        outcome.map(Some).map_err(failed)
    }
}

/// When the id was made (UUID v7), in Unix milliseconds.
fn made_ms(world: WorldId) -> i64 {
    let made = world.get_timestamp().map(|at| at.to_unix());
    made.map_or(0, |(seconds, nanos)| (seconds as i64).saturating_mul(1000) + i64::from(nanos / 1_000_000))
}
