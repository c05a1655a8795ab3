//! [`Worlds`]: all worlds of this server. Finds and deletes them, always by user; a name never reaches another user's
//! world (docs/PROTOCOL.md §5). How they are made: `making.rs`.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    cell::{Services, WorldCell},
    presence::{Presence, Usage},
    refusal::{not_found, storage},
    template::Templates,
};
use crate::{
    error::Failure,
    log::{WorldEntry, WorldId},
    protocol::{ErrorCode, ErrorDetails, KnownNames, Template, TemplateName, WorldName},
};

/// Users whose worlds are made one after the other, as they share a place in a table of this length.
pub(super) const MAKING: usize = 64;

pub struct Worlds {
    pub services: Arc<Services>,
    pub templates: Templates,
    known: Mutex<HashMap<WorldId, Known>>,
    /// Held by who makes a world of one of these users, so that the number of their worlds is true.
    pub(super) making: [tokio::sync::Mutex<()>; MAKING],
}

/// A world that somebody uses, or that is to be deleted when nobody does.
struct Known {
    cell: Arc<WorldCell>,
    usage: Arc<Usage>,
}

/// A world, and the right to find it there while this is held.
pub struct Entered {
    pub cell: Arc<WorldCell>,
    pub presence: Presence,
}

impl Worlds {
    pub fn new(services: Arc<Services>, templates: Templates) -> Self {
        let making = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { services, templates, known: Mutex::default(), making }
    }

    /// Takes up what a stop left: worlds with turns that wait, and the grace of those that are not persistent.
    pub async fn resume(&self) -> Result<(), Failure> {
        let log = &self.services.log;
        for id in log.ephemeral_worlds().await.map_err(storage)? {
            if let Some(entry) = log.world(id).await.map_err(storage)? {
                drop(self.enter(entry).await?);
            }
        }
        if self.services.cluster.is_some() {
            // What waits comes with tickets.
            return Ok(());
        }
        for id in log.busy_worlds().await.map_err(storage)? {
            if let Some(entry) = log.world(id).await.map_err(storage)?
                && let Some(entered) = self.enter(entry).await?
            {
                self.take_up(&entered.cell).await;
            }
        }
        Ok(())
    }

    /// Sees to it that what waits in the world runs. Where nodes share the log, tickets do.
    pub(super) async fn take_up(&self, cell: &WorldCell) {
        if self.services.cluster.is_none()
            && let Err(failure) = cell.wake().await
        {
            failure.log();
        }
    }

    pub async fn find(&self, user: &str, name: &WorldName) -> Result<Option<Entered>, Failure> {
        match self.services.log.find_world(user, name.as_str()).await.map_err(storage)? {
            Some(entry) => self.enter(entry).await,
            None => Ok(None),
        }
    }

    pub async fn require(&self, user: &str, name: &WorldName) -> Result<Entered, Failure> {
        self.find(user, name).await?.ok_or_else(not_found)
    }

    pub async fn list(&self, user: &str) -> Result<Vec<WorldEntry>, Failure> {
        self.services.log.worlds_of(user).await.map_err(storage)
    }

    pub fn template(&self, name: &TemplateName) -> Result<&Template, Failure> {
        self.templates.get(name.as_str()).ok_or_else(|| {
            let known = KnownNames::trusted(self.templates.names());
            let details = ErrorDetails { known: Some(known), ..ErrorDetails::default() };
            Failure::new(ErrorCode::TemplateNotFound, "there is no template of that name").details(details)
        })
    }

    /// Makes an ephemeral world persistent. There is no way back.
    pub async fn keep(&self, cell: &WorldCell) -> Result<(), Failure> {
        if !cell.is_persistent() {
            self.services.log.set_persistent(cell.id, true).await.map_err(storage)?;
            cell.set_persistent();
        }
        Ok(())
    }

    pub async fn delete(&self, user: &str, name: &WorldName) -> Result<(), Failure> {
        let entered = self.require(user, name).await?;
        self.remove(&entered.cell).await
    }

    async fn remove(&self, cell: &Arc<WorldCell>) -> Result<(), Failure> {
        cell.close().await;
        let deleted = self.services.log.delete_world(cell.id).await;
        self.known.lock().remove(&cell.id);
        if let Err(error) = deleted {
            // The world is still there: it is found anew, its grace period begins again, and its turns go on.
            if let Ok(Some(entry)) = self.services.log.world(cell.id).await {
                let busy = entry.busy;
                if let Ok(Some(entered)) = self.enter(entry).await
                    && busy
                {
                    self.take_up(&entered.cell).await;
                }
            }
            return Err(storage(error));
        }
        tracing::info!(user = cell.user.as_str(), world = %cell.id, "world deleted");
        Ok(())
    }

    /// The world, as far as its log reached when `entry` was read, or further. `None`: it was deleted meanwhile.
    pub(super) async fn enter(&self, entry: WorldEntry) -> Result<Option<Entered>, Failure> {
        let mut head = entry.head.head;
        let (entered, usage) = self.register(entry);
        if !usage.is_there.load(Ordering::Relaxed) {
            match self.services.log.head(entered.cell.id).await.map_err(storage)? {
                // What was appended by others before this node knew the world was told to nobody here.
                Some(now) => head = now.head,
                // It was removed before it was known here: nobody else closes it, or tells those who are in it.
                None => {
                    self.known.lock().retain(|_, known| !Arc::ptr_eq(&known.cell, &entered.cell));
                    entered.cell.close().await;
                    return Ok(None);
                }
            }
            usage.is_there.store(true, Ordering::Relaxed);
        }
        if self.services.cluster.is_some()
            && let Err(failure) = entered.cell.reach(head).await
        {
            failure.log();
        }
        Ok(Some(entered))
    }

    /// Knows the world from here on.
    pub(super) fn register(&self, entry: WorldEntry) -> (Entered, Arc<Usage>) {
        let mut known = self.known.lock();
        let known = known.entry(entry.id).or_insert_with(|| {
            // The directory holds what a world's name was checked as when it was made.
            let name = WorldName::trusted(entry.name.clone());
            let cell = WorldCell::new(entry, name, self.services.clone());
            Known { cell, usage: Arc::new(Usage::new()) }
        });
        let presence = Presence::new(&known.usage);
        (Entered { cell: known.cell.clone(), presence }, known.usage.clone())
    }

    pub(super) fn known(&self, world: WorldId) -> Option<Arc<WorldCell>> {
        self.known.lock().get(&world).map(|known| known.cell.clone())
    }

    pub(super) fn all_known(&self) -> Vec<Arc<WorldCell>> {
        self.known.lock().values().map(|known| known.cell.clone()).collect()
    }

    /// Whether the world is in its grace period, on this node.
    pub(super) fn is_used_here(&self, world: WorldId) -> bool {
        let grace = self.services.settings.grace;
        self.known.lock().get(&world).is_some_and(|known| known.usage.used_within(grace))
    }

    pub(super) fn used_elsewhere(&self, world: WorldId) {
        if let Some(known) = self.known.lock().get(&world) {
            known.usage.used_elsewhere();
        }
    }

    /// Deletes ephemeral worlds that nobody used for the grace period, and forgets persistent ones that sleep.
    pub async fn tidy(&self) {
        let grace = self.services.settings.grace;
        let unused: Vec<_> = {
            let mut known = self.known.lock();
            known.retain(|_, known| {
                let used = known.usage.is_present() || Arc::strong_count(&known.cell) > 1;
                used || known.cell.is_loaded() || !known.cell.is_persistent()
            });
            let over = |known: &&Known| !known.cell.is_persistent() && known.usage.unused_for(grace);
            known.values().filter(over).map(|known| known.cell.clone()).collect()
        };
        self.ask_others(&unused).await;
        for cell in unused {
            if cell.is_busy().await || self.is_kept(&cell).await {
                self.used(cell.id);
            } else if self.still_unused(cell.id, grace)
                && let Err(failure) = self.remove(&cell).await
            {
                failure.log();
            }
        }
    }

    fn used(&self, id: WorldId) {
        if let Some(known) = self.known.lock().get(&id) {
            known.usage.touch();
        }
    }

    fn still_unused(&self, id: WorldId, grace: Duration) -> bool {
        self.known.lock().get(&id).is_some_and(|known| known.usage.unused_for(grace))
    }

    /// Users of worlds that somebody is in.
    pub fn present_users(&self) -> Vec<String> {
        let known = self.known.lock();
        let present = known.values().filter(|known| known.usage.is_present());
        present.map(|known| known.cell.user.clone()).collect()
    }

    /// Closes worlds that were deleted with their user.
    pub fn forget(&self, worlds: &[WorldId]) {
        for id in worlds {
            let known = self.known.lock().remove(id);
            if let Some(known) = known {
                // Its actor may be waiting for storage: nobody else shall.
                tokio::spawn(async move { known.cell.close().await });
            }
        }
    }

    /// Bytes that wait in the outboxes of all subscribers.
    pub fn waiting_bytes(&self) -> usize {
        let cells: Vec<_> = self.known.lock().values().map(|known| known.cell.clone()).collect();
        cells.iter().map(|cell| cell.hub.waiting_bytes()).sum()
    }

    /// Worlds whose state is in memory.
    pub fn loaded(&self) -> Vec<Arc<WorldCell>> {
        self.known.lock().values().map(|known| known.cell.clone()).filter(|cell| cell.is_loaded()).collect()
    }
}
