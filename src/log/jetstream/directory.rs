use std::time::Duration;

use tokio::time::Instant;

use super::{Core, JetStream};
use crate::log::{
    Answer, Counts, CreatedWorld, Directory, Error, ExpiredUser, NewWorld, TokenHash, WorldEntry, WorldId,
};

/// Counts are this fresh: they cost a read of every replica's index.
const COUNTED_FOR: Duration = Duration::from_secs(3);

impl Directory for JetStream {
    fn create_session<'a>(&'a self, user: &'a str, token: TokenHash, now_ms: i64) -> Answer<'a, ()> {
        self.call(self.core.create_session(user, token, now_ms))
    }

    fn find_session(&self, token: TokenHash, now_ms: i64) -> Answer<'_, Option<String>> {
        self.call(self.core.find_session(token, now_ms))
    }

    fn revoke_session(&self, token: TokenHash) -> Answer<'_, bool> {
        self.call(self.core.revoke_session(token))
    }

    fn touch_user<'a>(&'a self, user: &'a str, now_ms: i64) -> Answer<'a, bool> {
        self.call(self.core.touch_user(user, now_ms))
    }

    fn create_world(&self, new: NewWorld) -> Answer<'_, CreatedWorld> {
        self.call(self.core.create_world(new))
    }

    fn find_world<'a>(&'a self, user: &'a str, name: &'a str) -> Answer<'a, Option<WorldEntry>> {
        self.call(self.core.find_world(user, name))
    }

    fn world(&self, world: WorldId) -> Answer<'_, Option<WorldEntry>> {
        self.call(self.core.world(world))
    }

    fn worlds_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<WorldEntry>> {
        self.call(self.core.worlds_of(user))
    }

    fn set_persistent(&self, world: WorldId, persistent: bool) -> Answer<'_, ()> {
        self.call(self.core.set_persistent(world, persistent))
    }

    fn delete_world(&self, world: WorldId) -> Answer<'_, bool> {
        self.call(self.core.delete_world(world))
    }

    fn ephemeral_worlds(&self) -> Answer<'_, Vec<WorldId>> {
        self.call(self.core.ephemeral_worlds())
    }

    fn expire_users(&self, before_ms: i64, limit: usize) -> Answer<'_, Vec<ExpiredUser>> {
        self.call(self.core.expire_users(before_ms, limit))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.call(self.core.counts())
    }
}

impl Core {
    async fn counts(&self) -> Result<Counts, Error> {
        if let Some((at, counts)) = *self.counted.lock()
            && at.elapsed() < COUNTED_FOR
        {
            return Ok(counts);
        }
        let (users, sessions, worlds) =
            tokio::try_join!(self.count("user.*"), self.count("session.*"), self.count("name.*.*"))?;
        let counts = Counts { users, sessions, worlds };
        *self.counted.lock() = Some((Instant::now(), counts));
        Ok(counts)
    }
}
