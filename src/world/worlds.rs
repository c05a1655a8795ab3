//! [`Worlds`]: all worlds of this server. Finds, creates and deletes them, always by user; a name never reaches
//! another user's world (docs/PROTOCOL.md §5).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    cell::{Services, WorldCell},
    refusal::{not_found, storage},
    template::{Templates, first_events},
    time::now_ms,
};
use crate::{
    error::Failure,
    log::{CreatedWorld, Draft, NewWorld, Secret, SecretWrite, WorldEntry, WorldId},
    protocol::{ErrorCode, ErrorDetails, KnownNames, Template, TemplateName, Title, WorldName},
};

/// Worlds that one user may have.
pub const MAX_WORLDS: usize = 1_000;

pub struct Worlds {
    pub services: Arc<Services>,
    pub templates: Templates,
    known: Mutex<HashMap<WorldId, Known>>,
}

/// A world that somebody uses, or that is to be deleted when nobody does.
struct Known {
    cell: Arc<WorldCell>,
    usage: Arc<Usage>,
}

/// How many are in a world, and when the last one came or left.
struct Usage {
    present: AtomicUsize,
    last: Mutex<Instant>,
    /// When another node last said that somebody is there.
    elsewhere: Mutex<Option<Instant>>,
}

impl Usage {
    fn touch(&self) {
        *self.last.lock() = Instant::now();
    }

    fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed) > 0
    }

    /// On this node.
    fn used_within(&self, time: Duration) -> bool {
        self.is_present() || self.last.lock().elapsed() < time
    }

    fn unused_for(&self, time: Duration) -> bool {
        !self.used_within(time) && self.elsewhere.lock().is_none_or(|last| last.elapsed() >= time)
    }
}

/// Somebody is in the world: a connection that has it selected, an open stream, a request.
pub struct Presence(Arc<Usage>);

impl Presence {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.present.fetch_add(1, Ordering::Relaxed);
        usage.touch();
        Self(usage.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.touch();
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A world, and the right to find it there while this is held.
pub struct Entered {
    pub cell: Arc<WorldCell>,
    pub presence: Presence,
}

/// What a world is to be made of, or is expected to be.
pub struct Wanted<'a> {
    pub name: &'a WorldName,
    pub template: &'a TemplateName,
    pub persistent: bool,
    /// For a new world only.
    pub title: Option<Title>,
}

impl Worlds {
    pub fn new(services: Arc<Services>, templates: Templates) -> Self {
        Self { services, templates, known: Mutex::default() }
    }

    /// Takes up what a stop left: worlds with turns that wait, and the grace of those that are not persistent.
    pub async fn resume(&self) -> Result<(), Failure> {
        let log = &self.services.log;
        for id in log.ephemeral_worlds().await.map_err(storage)? {
            if let Some(entry) = log.world(id).await.map_err(storage)? {
                drop(self.enter(entry).await);
            }
        }
        if self.services.cluster.is_some() {
            // What waits comes with tickets.
            return Ok(());
        }
        for id in log.busy_worlds().await.map_err(storage)? {
            if let Some(entry) = log.world(id).await.map_err(storage)? {
                let entered = self.enter(entry).await;
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
        let entry = self.services.log.find_world(user, name.as_str()).await.map_err(storage)?;
        Ok(match entry {
            Some(entry) => Some(self.enter(entry).await),
            None => None,
        })
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

    /// Opens the user's world of that name, or makes it from the template. `true`: it was made.
    pub async fn open_or_create(&self, user: &str, wanted: Wanted<'_>) -> Result<(Entered, bool), Failure> {
        if let Some(entry) = self.services.log.find_world(user, wanted.name.as_str()).await.map_err(storage)? {
            return Ok((self.open(entry, &wanted).await?, false));
        }
        let template = self.template(wanted.template)?;
        if self.list(user).await?.len() >= MAX_WORLDS {
            return Err(Failure::new(ErrorCode::Conflict, format!("a user has at most {MAX_WORLDS} worlds")));
        }
        let at_ms = now_ms();
        let new = NewWorld {
            id: Uuid::now_v7(),
            user: user.to_owned(),
            name: wanted.name.to_string(),
            template: template.name.to_string(),
            persistent: wanted.persistent,
            title: wanted.title.as_ref().map(ToString::to_string),
            created_ms: at_ms,
            drafts: drafts(template, wanted.title.clone(), at_ms)?,
            key: None,
            secrets: secrets(template),
        };
        match self.services.log.create_world(new).await.map_err(storage)? {
            CreatedWorld::Created(entry) => {
                tracing::info!(user, world = %entry.id, template = template.name.as_str(), "world created");
                Ok((self.enter(entry).await, true))
            }
            CreatedWorld::Exists(entry) => Ok((self.open(entry, &wanted).await?, false)),
        }
    }

    /// Makes a world of the records of another one. Its history is new here: it gets an epoch of its own.
    pub async fn restore(
        &self,
        user: &str,
        name: &WorldName,
        template: &TemplateName,
        persistent: bool,
        title: Option<Title>,
        drafts: Vec<Draft>,
    ) -> Result<Entered, Failure> {
        if self.list(user).await?.len() >= MAX_WORLDS {
            return Err(Failure::new(ErrorCode::Conflict, format!("a user has at most {MAX_WORLDS} worlds")));
        }
        let new = NewWorld {
            id: Uuid::now_v7(),
            user: user.to_owned(),
            name: name.to_string(),
            template: template.to_string(),
            persistent,
            title: title.map(|title| title.to_string()),
            created_ms: now_ms(),
            drafts,
            key: None,
            secrets: Vec::new(),
        };
        match self.services.log.create_world(new).await.map_err(storage)? {
            CreatedWorld::Created(entry) => Ok(self.enter(entry).await),
            CreatedWorld::Exists(_) => {
                Err(Failure::new(ErrorCode::Conflict, "you have a world of that name; import it under another one"))
            }
        }
    }

    async fn open(&self, entry: WorldEntry, wanted: &Wanted<'_>) -> Result<Entered, Failure> {
        if entry.template.eq_ignore_ascii_case(wanted.template.as_str()) {
            return Ok(self.enter(entry).await);
        }
        let text = format!("the world of that name was made from the template {}", entry.template);
        Err(Failure::new(ErrorCode::Conflict, text))
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
                let entered = self.enter(entry).await;
                if busy {
                    self.take_up(&entered.cell).await;
                }
            }
            return Err(storage(error));
        }
        tracing::info!(user = cell.user.as_str(), world = %cell.id, "world deleted");
        Ok(())
    }

    /// The world, as far as its log reached when `entry` was read, or further.
    pub(super) async fn enter(&self, entry: WorldEntry) -> Entered {
        let mut head = entry.head.head;
        let (entered, new) = self.register(entry);
        if self.services.cluster.is_some() {
            if new && let Ok(Some(now)) = self.services.log.head(entered.cell.id).await {
                // What was appended by others before this node knew the world was told to nobody here.
                head = now.head;
            }
            if let Err(failure) = entered.cell.reach(head).await {
                failure.log();
            }
        }
        entered
    }

    /// `true`: it was not known here.
    pub(super) fn register(&self, entry: WorldEntry) -> (Entered, bool) {
        let mut known = self.known.lock();
        let new = !known.contains_key(&entry.id);
        let known = known.entry(entry.id).or_insert_with(|| {
            // The directory holds what a world's name was checked as when it was made.
            let name = WorldName::trusted(entry.name.clone());
            let cell = WorldCell::new(entry, name, self.services.clone());
            let usage =
                Usage { present: AtomicUsize::new(0), last: Mutex::new(Instant::now()), elsewhere: Mutex::default() };
            Known { cell, usage: Arc::new(usage) }
        });
        (Entered { cell: known.cell.clone(), presence: Presence::new(&known.usage) }, new)
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
            *known.usage.elsewhere.lock() = Some(Instant::now());
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

/// Keys that a template gives its agents become secrets of the world.
fn secrets(template: &Template) -> Vec<SecretWrite> {
    let secret = |agent: &crate::protocol::AgentDefinition| {
        let secret = Secret::new(agent.config.api_key.as_ref()?.as_str());
        Some(SecretWrite { agent: agent.name.to_string(), secret: Some(secret) })
    };
    template.agents.iter().filter_map(secret).collect()
}

fn drafts(template: &Template, title: Option<Title>, at_ms: i64) -> Result<Vec<Draft>, Failure> {
    first_events(template, title, at_ms)
        .iter()
        .map(|event| {
            let body = Bytes::from(event.to_record().map_err(Failure::internal)?);
            Ok(Draft { id: Uuid::now_v7(), at_ms, body })
        })
        .collect()
}
