//! How a user's worlds come to be: opened, or made from a template, or from the records of another one.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    command::Command,
    decide::Context,
    refusal::{gone, storage},
    state::World,
    template::first_events,
    time::now_ms,
    worlds::{Entered, MAKING, Worlds},
};
use crate::{
    error::Failure,
    log::{CreatedWorld, Draft, NewWorld, Secret, SecretWrite, WorldEntry},
    protocol::{ErrorCode, Template, TemplateName, Title, WorldName},
};

/// Worlds that one user may have.
pub const MAX_WORLDS: usize = 1_000;
/// A world that is being deleted is gone within this time, or its deletion failed.
const LEAVING: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a world is to be made of, or is expected to be.
pub struct Wanted<'a> {
    pub name: &'a WorldName,
    pub template: &'a TemplateName,
    pub persistent: bool,
    /// For a new world only.
    pub title: Option<Title>,
}

impl Worlds {
    /// Opens the user's world of that name, or makes it from the template. `true`: it was made.
    pub async fn open_or_create(&self, user: &str, wanted: Wanted<'_>) -> Result<(Entered, bool), Failure> {
        let until = Instant::now() + LEAVING;
        loop {
            match self.try_open_or_create(user, &wanted).await? {
                Some((entered, made)) if !entered.cell.is_gone() => return Ok((entered, made)),
                _ if Instant::now() >= until => return Err(leaving()),
                // Somebody is just deleting it: then it can be made anew.
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn try_open_or_create(&self, user: &str, wanted: &Wanted<'_>) -> Result<Option<(Entered, bool)>, Failure> {
        if let Some(entry) = self.services.log.find_world(user, wanted.name.as_str()).await.map_err(storage)? {
            return Ok(self.open(entry, wanted).await?.map(|entered| (entered, false)));
        }
        let template = self.template(wanted.template)?;
        let _making = self.room_for_one_more(user).await?;
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
                Ok(self.enter(entry).await?.map(|entered| (entered, true)))
            }
            CreatedWorld::Exists(entry) => Ok(self.open(entry, wanted).await?.map(|entered| (entered, false))),
        }
    }

    /// The right to make a world for the user, if there is room. Nodes of a cluster count each for itself.
    async fn room_for_one_more(&self, user: &str) -> Result<tokio::sync::MutexGuard<'_, ()>, Failure> {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let making = self.making[hasher.finish() as usize % MAKING].lock().await;
        if self.list(user).await?.len() >= MAX_WORLDS {
            return Err(Failure::new(ErrorCode::Conflict, format!("a user has at most {MAX_WORLDS} worlds")));
        }
        Ok(making)
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
        let _making = self.room_for_one_more(user).await?;
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
            CreatedWorld::Created(entry) => self.enter(entry).await?.ok_or_else(gone),
            CreatedWorld::Exists(_) => {
                Err(Failure::new(ErrorCode::Conflict, "you have a world of that name; import it under another one"))
            }
        }
    }

    async fn open(&self, entry: WorldEntry, wanted: &Wanted<'_>) -> Result<Option<Entered>, Failure> {
        if entry.template.eq_ignore_ascii_case(wanted.template.as_str()) {
            return self.enter(entry).await;
        }
        let text = format!("the world of that name was made from the template {}", entry.template);
        Err(Failure::new(ErrorCode::Conflict, text))
    }
}

fn leaving() -> Failure {
    Failure::new(ErrorCode::Conflict, "the world of that name is being deleted; then the name is free")
}

/// Refuses what a new world of this template would refuse. Nothing is made.
pub fn try_out(template: &Template, command: &Command) -> Result<(), Failure> {
    let at_ms = now_ms();
    let mut world = World::new(template.name.clone(), template.turn_limit);
    for (seq, event) in (1..).zip(first_events(template, None, at_ms)) {
        world.apply(seq, at_ms, &event);
    }
    let mut context = Context { at_ms, mint: &mut super::actor::mint, text_of: &|_| String::new(), claim: None };
    world.decide(command, &mut context).map(drop)
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
