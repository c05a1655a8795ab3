use std::time::Duration;

use tokio::time::Instant;

use super::{Sqlite, keys, records, worlds};
use crate::log::{Answer, Append, Appended, Head, KeyRecord, Limit, Page, Secret, Snapshot, WorldId, WorldLog};

/// A successful probe speaks for this long.
const PROBE_EVERY: Duration = Duration::from_secs(1);

impl WorldLog for Sqlite {
    fn append(&self, append: Append) -> Answer<'_, Appended> {
        let since = self.keys_since_ms();
        Box::pin(self.writing(move |conn| records::append(conn, &append, since)))
    }

    fn read(&self, world: WorldId, after: u64, limit: Limit) -> Answer<'_, Page> {
        Box::pin(self.reading(move |conn| records::read(conn, world, after, limit)))
    }

    fn read_before(&self, world: WorldId, before: u64, limit: Limit) -> Answer<'_, Page> {
        Box::pin(self.reading(move |conn| records::read_before(conn, world, before, limit)))
    }

    fn head(&self, world: WorldId) -> Answer<'_, Option<Head>> {
        Box::pin(self.reading(move |conn| Ok(worlds::by_id(conn, world)?.map(|entry| entry.head))))
    }

    fn find_keys(&self, world: WorldId, user: &str, keys: &[&str]) -> Answer<'_, Vec<Option<KeyRecord>>> {
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        let (user, since) = (user.to_owned(), self.keys_since_ms());
        Box::pin(self.reading(move |conn| {
            let num = records::world(conn, world)?.num;
            keys.iter().map(|key| keys::find(conn, num, &user, key, since)).collect()
        }))
    }

    fn secrets(&self, world: WorldId) -> Answer<'_, Vec<(String, Secret)>> {
        Box::pin(self.reading(move |conn| worlds::secrets(conn, world)))
    }

    fn save_snapshot(&self, world: WorldId, snapshot: Snapshot) -> Answer<'_, ()> {
        Box::pin(self.writing(move |conn| records::save_snapshot(conn, world, &snapshot)))
    }

    fn latest_snapshot(&self, world: WorldId) -> Answer<'_, Option<Snapshot>> {
        Box::pin(self.reading(move |conn| records::latest_snapshot(conn, world)))
    }

    fn truncate(&self, world: WorldId, upto: u64) -> Answer<'_, u64> {
        Box::pin(self.writing(move |conn| records::truncate(conn, world, upto)))
    }

    fn busy_worlds(&self) -> Answer<'_, Vec<WorldId>> {
        Box::pin(self.reading(|conn| worlds::ids_where(conn, "busy")))
    }

    fn installation_key(&self) -> Answer<'_, [u8; 32]> {
        Box::pin(std::future::ready(Ok(self.installation_key)))
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async {
            if self.probed.lock().is_some_and(|at| at.elapsed() < PROBE_EVERY) {
                return Ok(());
            }
            self.writing(|conn| {
                let write = "UPDATE installation SET probed_ms = ?1";
                conn.prepare_cached(write)?.execute([super::now_ms()])?;
                Ok(())
            })
            .await?;
            *self.probed.lock() = Some(Instant::now());
            Ok(())
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.readers.close().await;
            self.writer.close().await
        })
    }
}
