use serde::Deserialize;
use serde_json::json;

use super::Core;
use super::batch::State;
use super::fold::Tip;
use super::tickets::CONSUMER;
use crate::log::{Error, WorldId};

impl Core {
    /// Raises the floor by a message of the log, then removes what lies below it.
    pub(super) async fn truncate(&self, world: WorldId, upto: u64) -> Result<u64, Error> {
        let (last, stored) = tokio::join!(self.last(world), self.stored_snapshot(world));
        let (last, _) = last?.ok_or(Error::NoWorld)?;
        let Some(stored) = stored? else { return Ok(last.state.floor) };
        let covered = stored.snapshot.seq.min(last.head());
        let floor = upto.min(covered);
        let raise = |tip: &Tip| State { floor, ..tip.next() };
        // Where others were always first it stays as it is: in an hour somebody asks again.
        let floor = self.amend(world, |tip| (tip.floor < floor).then(|| raise(tip))).await?.floor;
        // Messages are removed whole, and only those that the stored fold has in it.
        let before = self.removable(world, floor, stored.fold.tip.last).await;
        let tidied = match before {
            Ok(Some(before)) => self.nats.purge(&self.names.log, &self.names.world(world), Some(before)).await,
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(error) = tidied {
            tracing::debug!(%world, %error, "records below the floor are left for the next time");
        }
        Ok(floor)
    }

    /// The message before which all can go.
    async fn removable(&self, world: WorldId, floor: u64, folded: u64) -> Result<Option<u64>, super::api::Failure> {
        let Ok(Some((last, last_at))) = self.last(world).await else { return Ok(None) };
        let subject = self.names.world(world);
        let slot = self.slots.get(world);
        // Whole messages below: where reading on from the floor begins.
        let mut before = match last.state.first <= floor.saturating_add(1) {
            true => last_at,
            false => self.locate_exactly(&slot, &subject, floor + 1).await?,
        };
        before = before.min(folded + 1).min(last_at);
        if last.state.busy
            && let Some(oldest) = self.oldest_ticket().await?
        {
            // A ticket that is handed out is the message itself: without it nobody would take over.
            before = before.min(oldest);
        }
        Ok((before > 1).then_some(before))
    }

    /// Every message before this one is no ticket, or one that is done. None when all are done.
    async fn oldest_ticket(&self) -> Result<Option<u64>, super::api::Failure> {
        #[derive(Deserialize)]
        struct Info {
            ack_floor: Floor,
            num_ack_pending: u64,
            num_pending: u64,
        }
        #[derive(Deserialize)]
        struct Floor {
            #[serde(default)]
            stream_seq: u64,
        }
        let info: Info = self.nats.ask(&format!("CONSUMER.INFO.{}.{CONSUMER}", self.names.log), json!({})).await?;
        let open = info.num_ack_pending + info.num_pending > 0;
        Ok(open.then_some(info.ack_floor.stream_seq + 1))
    }
}
