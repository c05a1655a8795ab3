//! Messages of the log without a record: they change what a world says of itself.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;

use super::batch::{Batch, State};
use super::fold::Tip;
use super::put::Outcome;
use super::{Core, JetStream, failed};
use crate::log::{Error, WorldId};

/// Worlds at a time.
const ABREAST: usize = 32;

#[derive(Debug, thiserror::Error)]
#[error("world {0} is written to all the time: stop the nodes first")]
struct Busy(WorldId);

impl JetStream {
    /// Gives every world a new epoch, with which its keys are forgotten: to be called after the streams were restored
    /// from a backup, so that no cursor of the lost history resumes in this one (docs/PROTOCOL.md §4). `progress` hears
    /// how many of how many are done. Returns how many there are; after an error it may be called again.
    pub async fn renew_epochs(&self, progress: impl Fn(usize, usize) + Send + Sync) -> Result<usize, Error> {
        self.call(self.core.renew_epochs(&progress)).await
    }
}

impl Core {
    async fn renew_epochs(&self, progress: &(impl Fn(usize, usize) + Send + Sync)) -> Result<usize, Error> {
        let keys = self.keys("world.*").await?;
        let worlds: Vec<WorldId> =
            keys.iter().filter_map(|key| Uuid::try_parse(key.strip_prefix("world.")?).ok()).collect();
        let (all, mut renewed) = (worlds.len(), 0);
        let mut renewing = stream::iter(worlds).map(|world| self.renew_epoch(world)).buffer_unordered(ABREAST);
        while let Some(there) = renewing.try_next().await? {
            renewed += usize::from(there);
            progress(renewed, all);
        }
        Ok(renewed)
    }

    /// `false`: there is no such world (any more), only what was left of it.
    async fn renew_epoch(&self, world: WorldId) -> Result<bool, Error> {
        let epoch = new_epoch()?;
        let renew = |tip: &Tip| State { epoch: epoch.clone(), ..tip.next() };
        match self.amend(world, |tip| (tip.epoch != epoch).then(|| renew(tip))).await {
            Ok(tip) if tip.epoch == epoch => Ok(true),
            Ok(_) => Err(failed(Busy(world))),
            Err(Error::NoWorld) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends what `change` makes of the world's state, if it wants something changed; anew when others append
    /// meanwhile, but not for ever. Where the world stands after it.
    pub(super) async fn amend(
        &self,
        world: WorldId,
        change: impl Fn(&Tip) -> Option<State> + Send + Sync,
    ) -> Result<Tip, Error> {
        let slot = self.slots.get(world);
        let _turn = slot.turn.lock().await;
        let until = Instant::now() + self.options.settle;
        loop {
            self.refresh(world, &slot).await?;
            let tip = slot.fold.lock().as_ref().map(|fold| fold.tip.clone()).ok_or(Error::NoWorld)?;
            let Some(state) = change(&tip) else { return Ok(tip) };
            let batch = Batch::empty(state);
            match self.publish(world, &batch, false).await? {
                Outcome::Done(seq) => {
                    self.took(&slot, &batch, seq);
                    return Ok(Tip::new(&batch, seq));
                }
                Outcome::Moved if Instant::now() >= until => return Ok(tip),
                Outcome::Moved => {}
            }
        }
    }
}

/// 64 random bits, in hexadecimal.
pub(super) fn new_epoch() -> Result<String, Error> {
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).map_err(|e| failed(std::io::Error::other(e.to_string())))?;
    Ok(format!("{:016x}", u64::from_be_bytes(epoch)))
}
