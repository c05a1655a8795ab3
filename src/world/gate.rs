//! [`Gate`]: how many turns run at once. A turn waits here for its user's place and then for the server's; nobody
//! is refused (docs/PROTOCOL.md §6, "turns"). [`Shares`]: how much of something each user may hold.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub struct Gate {
    server: Arc<Semaphore>,
    places: usize,
    users: Shares,
}

/// The right to run one turn. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Pass {
    _user: OwnedSemaphorePermit,
    _server: OwnedSemaphorePermit,
}

impl Gate {
    pub fn new(server: usize, per_user: usize) -> Self {
        Self { server: Arc::new(Semaphore::new(server)), places: server, users: Shares::new(per_user) }
    }

    /// Waits for a place, first come, first served. `None`: the server is going down.
    pub async fn enter(&self, user: &str) -> Option<Pass> {
        let user = self.users.of(user).acquire_owned().await.ok()?;
        let server = self.server.clone().acquire_owned().await.ok()?;
        Some(Pass { _user: user, _server: server })
    }

    /// A place, if one is free and nobody waits for it.
    pub fn try_enter(&self, user: &str) -> Option<Pass> {
        let user = self.users.of(user).try_acquire_owned().ok()?;
        let server = self.server.clone().try_acquire_owned().ok()?;
        Some(Pass { _user: user, _server: server })
    }

    /// Turns that run now.
    pub fn running(&self) -> usize {
        self.places - self.server.available_permits()
    }
}

/// As many places for each user. Nothing is kept of a user who holds none.
pub struct Shares {
    each: usize,
    users: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Shares {
    pub fn new(each: usize) -> Self {
        Self { each, users: Mutex::default() }
    }

    pub fn of(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock();
        if let Some(semaphore) = users.get(user).and_then(Weak::upgrade) {
            return semaphore;
        }
        users.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.each));
        users.insert(user.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}
