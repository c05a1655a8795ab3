use super::{Sqlite, users, worlds};
use crate::log::{
    Answer, Counts, CreatedWorld, Directory, ExpiredUser, NewWorld, TokenHash, USE_GRAIN_MS, WorldEntry, WorldId,
};

impl Directory for Sqlite {
    fn create_session<'a>(&'a self, user: &'a str, token: TokenHash, now_ms: i64) -> Answer<'a, ()> {
        let user = user.to_owned();
        Box::pin(self.writing(move |conn| users::create_session(conn, &user, token, now_ms)))
    }

    fn find_session(&self, token: TokenHash, now_ms: i64) -> Answer<'_, Option<String>> {
        Box::pin(async move {
            let Some((user, used_ms)) = self.reading(move |conn| users::find_session(conn, token)).await? else {
                return Ok(None);
            };
            let fresh = now_ms.saturating_sub(used_ms) < USE_GRAIN_MS;
            // A user that expired since the look-up is not found; a use that cannot be written,
            // on a full disk, is no reason to refuse a good token.
            let exists = fresh || self.touch_user(&user, now_ms).await.unwrap_or(true);
            Ok(exists.then_some(user))
        })
    }

    fn revoke_session(&self, token: TokenHash) -> Answer<'_, bool> {
        Box::pin(self.writing(move |conn| users::revoke_session(conn, token)))
    }

    fn touch_user<'a>(&'a self, user: &'a str, now_ms: i64) -> Answer<'a, bool> {
        let user = user.to_owned();
        Box::pin(self.writing(move |conn| users::touch(conn, &user, now_ms)))
    }

    fn create_world(&self, new: NewWorld) -> Answer<'_, CreatedWorld> {
        Box::pin(self.writing(move |conn| worlds::create(conn, &new)))
    }

    fn find_world<'a>(&'a self, user: &'a str, name: &'a str) -> Answer<'a, Option<WorldEntry>> {
        let (user, name) = (user.to_owned(), name.to_owned());
        Box::pin(self.reading(move |conn| worlds::find(conn, &user, &name)))
    }

    fn world(&self, world: WorldId) -> Answer<'_, Option<WorldEntry>> {
        Box::pin(self.reading(move |conn| worlds::by_id(conn, world)))
    }

    fn worlds_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<WorldEntry>> {
        let user = user.to_owned();
        Box::pin(self.reading(move |conn| worlds::of_user(conn, &user)))
    }

    fn set_persistent(&self, world: WorldId, persistent: bool) -> Answer<'_, ()> {
        Box::pin(self.writing(move |conn| worlds::set_persistent(conn, world, persistent)))
    }

    fn delete_world(&self, world: WorldId) -> Answer<'_, bool> {
        Box::pin(self.writing(move |conn| worlds::delete(conn, world)))
    }

    fn ephemeral_worlds(&self) -> Answer<'_, Vec<WorldId>> {
        Box::pin(self.reading(|conn| worlds::ids_where(conn, "NOT persistent")))
    }

    fn expire_users(&self, before_ms: i64, limit: usize) -> Answer<'_, Vec<ExpiredUser>> {
        Box::pin(self.writing(move |conn| users::expire(conn, before_ms, limit)))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        Box::pin(self.reading(users::counts))
    }
}
