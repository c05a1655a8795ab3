//! One world, from there to here.

use super::{Failure, Mover, PAGE, count, last_key, no_key, whole};
use crate::log::jetstream::arrival::{Arrival, Received};
use crate::log::{Directory, Error, Secret, Snapshot, WorldEntry};

/// Which side failed.
enum Broken {
    /// What the data directory holds of this world cannot be moved; others can.
    Here(String),
    There(Error),
}

fn here(error: Error) -> Broken {
    Broken::Here(whole(&error))
}

/// What comes last.
type Rest = (Vec<(String, Secret)>, Option<Snapshot>);

impl Mover<'_> {
    pub(super) async fn bring(&self, entry: WorldEntry) -> Result<(), Failure> {
        if entry.created_ms <= self.moved_before && self.to.world(entry.id).await.map_err(Failure::Write)?.is_none() {
            return self.gone(&entry);
        }
        let received = self.to.receive(entry.clone(), self.from.installation_key()).await;
        let mut arrival = match received.map_err(Failure::Write)? {
            Received::Begun(arrival) => arrival,
            Received::Gone => return self.gone(&entry),
            Received::Clash(why) => {
                self.leave_out(&entry, why);
                return Ok(());
            }
            Received::Known(known) => return self.known(&entry, &known).await,
        };
        match self.fill(&entry, &mut arrival).await {
            Ok((secrets, snapshot)) => arrival.settle(secrets, snapshot).await.map_err(Failure::Write)?,
            Err(Broken::Here(why)) => {
                arrival.give_up().await;
                self.leave_out(&entry, &why);
                return Ok(());
            }
            Err(Broken::There(error)) => return Err(Failure::Write(error)),
        }
        count(&self.done.worlds, 1);
        Ok(())
    }

    fn gone(&self, entry: &WorldEntry) -> Result<(), Failure> {
        self.left_out.lock().insert(entry.id);
        count(&self.done.gone, 1);
        Ok(())
    }

    /// One that is there must be this one, and may have gone on there.
    async fn known(&self, entry: &WorldEntry, known: &WorldEntry) -> Result<(), Failure> {
        if known.head.epoch != entry.head.epoch {
            self.leave_out(entry, "it is there with another history (epoch)");
        } else if known.head.head < entry.head.head {
            self.leave_out(entry, "it is there, and has gone on in the data directory since it was moved");
        } else {
            if entry.busy {
                self.to.call_for_turns(entry.id).await.map_err(Failure::Write)?;
            }
            count(&self.done.skipped, 1);
        }
        Ok(())
    }

    /// Records and keys, page by page.
    async fn fill(&self, entry: &WorldEntry, arrival: &mut Arrival) -> Result<Rest, Broken> {
        let (id, head) = (entry.id, &entry.head);
        let snapshot = self.from.latest_snapshot(id).await.map_err(here)?;
        if snapshot.as_ref().map_or(0, |snapshot| snapshot.seq) < head.floor {
            return Err(Broken::Here(format!("its records up to {} are gone and no snapshot covers them", head.floor)));
        }
        let mut after = head.floor;
        while after < head.head {
            let records = self.from.read(id, after, PAGE).await.map_err(here)?.records;
            let Some(last) = records.last() else {
                return Err(Broken::Here(format!("record {} is missing", after + 1)));
            };
            after = last.seq;
            let came = records.len() as u64;
            arrival.records(records).await.map_err(Broken::There)?;
            count(&self.done.records, came);
            count(&self.done.seen.1, came);
            self.tell(false);
        }
        let mut after = no_key();
        loop {
            let keys = self.from.keys(id, after).await.map_err(here)?;
            let Some(last) = last_key(&keys) else { break };
            after = last;
            arrival.keys(&keys).await.map_err(Broken::There)?;
            count(&self.done.keys, keys.len() as u64);
        }
        Ok((self.from.secrets(id).await.map_err(here)?, snapshot))
    }
}
