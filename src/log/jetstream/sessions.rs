//! Users and their sessions.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Core;
use super::names::{names_of, session_key, user_key};
use super::ownership::Named;
use super::put::Outcome;
use crate::log::{Error, ExpiredUser, TokenHash, USE_GRAIN_MS, WorldId};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub user: String,
    /// Unix milliseconds.
    created: i64,
    used: i64,
    /// Another one for a user that comes back after it expired: its old sessions stay dead.
    life: Uuid,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    user: String,
    life: Uuid,
}

/// What became of something that came from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Brought {
    New,
    /// It was here already.
    Known,
    /// It came before, and was removed here since.
    Gone,
    /// Something else is in its place.
    Clash,
}

impl Core {
    pub(super) async fn create_session(&self, user: &str, token: TokenHash, now_ms: i64) -> Result<(), Error> {
        let life = loop {
            let found = self.entry::<User>(&user_key(user)).await?;
            let user = match found.value {
                Some(user) if user.used >= now_ms => break user.life,
                Some(user) => User { used: now_ms, ..user },
                None => User { user: user.to_owned(), created: now_ms, used: now_ms, life: Uuid::new_v4() },
            };
            if let Outcome::Done(_) = self.set(&user_key(&user.user), &user, found.revision).await? {
                break user.life;
            }
        };
        let session = Session { user: user.to_owned(), life };
        loop {
            let found = self.entry::<Session>(&session_key(token)).await?;
            if found.value.as_ref() == Some(&session) {
                return Ok(());
            }
            if let Outcome::Done(_) = self.set(&session_key(token), &session, found.revision).await? {
                return Ok(());
            }
        }
    }

    /// A user that comes from elsewhere, with the times that it has there. Whether it was new.
    pub(super) async fn bring_user(&self, user: &str, created: i64, used: i64) -> Result<bool, Error> {
        loop {
            let found = self.entry::<User>(&user_key(user)).await?;
            let brought = match &found.value {
                Some(known) => {
                    User { created: known.created.min(created), used: known.used.max(used), ..known.clone() }
                }
                None => User { user: user.to_owned(), created, used, life: Uuid::new_v4() },
            };
            if found.value.as_ref() == Some(&brought) {
                return Ok(false);
            }
            if let Outcome::Done(_) = self.set(&user_key(user), &brought, found.revision).await? {
                return Ok(found.value.is_none());
            }
        }
    }

    /// A session that comes from elsewhere, after its user.
    pub(super) async fn bring_session(&self, user: &str, token: TokenHash) -> Result<Brought, Error> {
        let Some(User { life, .. }) = self.entry(&user_key(user)).await?.value else { return Ok(Brought::Gone) };
        let session = Session { user: user.to_owned(), life };
        loop {
            let found = self.entry::<Session>(&session_key(token)).await?;
            match &found.value {
                Some(known) if *known == session => return Ok(Brought::Known),
                Some(known) if known.user != user => return Ok(Brought::Clash),
                _ => {}
            }
            if let Outcome::Done(_) = self.set(&session_key(token), &session, found.revision).await? {
                return Ok(Brought::New);
            }
        }
    }

    pub(super) async fn find_token(&self, user: &str, token: TokenHash) -> Result<Brought, Error> {
        Ok(match self.entry::<Session>(&session_key(token)).await?.value {
            Some(known) if known.user == user => Brought::Known,
            Some(_) => Brought::Clash,
            None => Brought::Gone,
        })
    }

    pub(super) async fn find_session(&self, token: TokenHash, now_ms: i64) -> Result<Option<String>, Error> {
        let Some(session) = self.entry::<Session>(&session_key(token)).await?.value else { return Ok(None) };
        let found = self.entry::<User>(&user_key(&session.user)).await?;
        let Some(user) = found.value.filter(|user| user.life == session.life) else { return Ok(None) };
        let fresh = now_ms.saturating_sub(user.used) < USE_GRAIN_MS;
        // A use that cannot be written is no reason to refuse a good token.
        let exists = fresh || self.touch_user(&user.user, now_ms).await.unwrap_or(true);
        Ok(exists.then_some(user.user))
    }

    pub(super) async fn revoke_session(&self, token: TokenHash) -> Result<bool, Error> {
        let found = self.entry::<Session>(&session_key(token)).await?;
        match found.value {
            Some(_) => self.unset(found.revision).await,
            None => Ok(false),
        }
    }

    pub(super) async fn touch_user(&self, user: &str, now_ms: i64) -> Result<bool, Error> {
        loop {
            let found = self.entry::<User>(&user_key(user)).await?;
            let Some(known) = found.value else { return Ok(false) };
            if known.used >= now_ms {
                return Ok(true);
            }
            let used = User { used: now_ms, ..known };
            if let Outcome::Done(_) = self.set(&user_key(user), &used, found.revision).await? {
                return Ok(true);
            }
        }
    }

    pub(super) async fn user_exists(&self, user: &str) -> Result<bool, Error> {
        Ok(self.entry::<User>(&user_key(user)).await?.value.is_some())
    }

    pub(super) async fn expire_users(&self, before_ms: i64, limit: usize) -> Result<Vec<ExpiredUser>, Error> {
        let mut unused = Vec::new();
        self.scan("user.*", |_, user: User, revision| {
            if user.used < before_ms && unused.len() < limit {
                unused.push((user, revision));
            }
        })
        .await?;
        let (mut expired, mut dead) = (Vec::new(), HashSet::new());
        for (user, revision) in unused {
            // Another revision: used in this moment, or expired by another node.
            if !self.unset(revision).await? {
                continue;
            }
            let mut worlds = BTreeSet::<WorldId>::new();
            for key in self.keys(&names_of(&user.user)).await? {
                if let Some(named) = self.entry::<Named>(&key).await?.value
                    && self.delete_world(named.id).await?
                {
                    worlds.insert(named.id);
                }
            }
            dead.insert(user.life);
            expired.push(ExpiredUser { user: user.user, worlds: worlds.into_iter().collect() });
        }
        if !expired.is_empty() {
            self.sweep_sessions(&dead).await?;
        }
        Ok(expired)
    }

    /// They are refused already, as their user is gone.
    async fn sweep_sessions(&self, dead: &HashSet<Uuid>) -> Result<(), Error> {
        let mut revisions = Vec::new();
        self.scan("session.*", |_, session: Session, revision| {
            if dead.contains(&session.life) {
                revisions.push(revision);
            }
        })
        .await?;
        for revision in revisions {
            self.unset(revision).await?;
        }
        Ok(())
    }
}
