use std::time::Duration;

use async_nats::HeaderMap;
use tokio::time::Instant;

use super::seal::derive;
use super::{Core, JetStream, failed};
use crate::log::{Answer, Append, Appended, Error, Head, KeyRecord, Limit, Page, Secret, Snapshot, WorldId, WorldLog};

/// A successful probe speaks for this long.
const PROBE_EVERY: Duration = Duration::from_secs(1);

impl WorldLog for JetStream {
    fn append(&self, append: Append) -> Answer<'_, Appended> {
        self.call(self.core.append(append))
    }

    fn read(&self, world: WorldId, after: u64, limit: Limit) -> Answer<'_, Page> {
        self.call(self.core.read(world, after, limit))
    }

    fn read_before(&self, world: WorldId, before: u64, limit: Limit) -> Answer<'_, Page> {
        self.call(self.core.read_before(world, before, limit))
    }

    fn head(&self, world: WorldId) -> Answer<'_, Option<Head>> {
        self.call(self.core.head(world))
    }

    fn find_keys(&self, world: WorldId, user: &str, keys: &[&str]) -> Answer<'_, Vec<Option<KeyRecord>>> {
        let keys = keys.iter().map(ToString::to_string).collect();
        self.call(self.core.find_keys(world, user.to_owned(), keys))
    }

    fn secrets(&self, world: WorldId) -> Answer<'_, Vec<(String, Secret)>> {
        self.call(self.core.secrets(world))
    }

    fn save_snapshot(&self, world: WorldId, snapshot: Snapshot) -> Answer<'_, ()> {
        self.call(self.core.save_snapshot(world, snapshot))
    }

    fn latest_snapshot(&self, world: WorldId) -> Answer<'_, Option<Snapshot>> {
        self.call(self.core.latest_snapshot(world))
    }

    fn truncate(&self, world: WorldId, upto: u64) -> Answer<'_, u64> {
        self.call(self.core.truncate(world, upto))
    }

    fn busy_worlds(&self) -> Answer<'_, Vec<WorldId>> {
        self.call(self.core.busy_worlds())
    }

    fn installation_key(&self) -> Answer<'_, [u8; 32]> {
        self.call(std::future::ready(Ok(derive(&self.core.options.cluster_key, "fingerprints"))))
    }

    fn former_key(&self, world: WorldId) -> Answer<'_, Option<[u8; 32]>> {
        self.call(self.core.former_key(world))
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.call(self.core.probe())
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            *self.closed.write().await = true;
            self.end();
            // What was said to other nodes is on its way.
            let flushed = tokio::time::timeout(self.core.options.patience, self.core.nats.client.flush()).await;
            tracing::debug!(?flushed, "the connection to NATS is let go");
            Ok(())
        })
    }
}

impl Core {
    async fn head(&self, world: WorldId) -> Result<Option<Head>, Error> {
        if let Some(slot) = self.slots.known(world) {
            self.settled(world, &slot).await?;
        }
        let last = self.last(world).await?;
        Ok(last.map(|(batch, _)| Head { head: batch.head(), floor: batch.state.floor, epoch: batch.state.epoch }))
    }

    async fn secrets(&self, world: WorldId) -> Result<Vec<(String, Secret)>, Error> {
        let sealed: Vec<_> = self.with_fold(world, |fold| fold.secrets().cloned().collect()).await?;
        let open = |(agent, sealed): (String, Vec<u8>)| {
            let secret = self.sealer.open(world, &agent, &sealed).map_err(failed)?;
            Ok((agent, secret))
        };
        sealed.into_iter().map(open).collect()
    }

    async fn probe(&self) -> Result<(), Error> {
        if self.probed.lock().is_some_and(|at| at.elapsed() < PROBE_EVERY) {
            return Ok(());
        }
        let written = self.nats.publish(&self.names.key("probe"), HeaderMap::new(), "{}".into()).await;
        written.map_err(failed)?;
        *self.probed.lock() = Some(Instant::now());
        Ok(())
    }
}
