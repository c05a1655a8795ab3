//! What has come is read back and held to where it came from.

use super::{Failure, Mover, PAGE, count, whole};
use crate::log::{Directory, Error, WorldEntry, WorldLog};

impl Mover<'_> {
    pub(super) async fn verify(&self, entry: WorldEntry) -> Result<(), Failure> {
        if self.left_out.lock().contains(&entry.id) {
            return Ok(());
        }
        if let Some(difference) = self.difference(&entry).await? {
            self.leave_out(&entry, &difference);
        }
        Ok(())
    }

    /// What is not as it was; nodes that run there already may have gone on.
    async fn difference(&self, entry: &WorldEntry) -> Result<Option<String>, Failure> {
        let Some(there) = self.to.world(entry.id).await.map_err(Failure::Write)? else {
            return Ok(Some("it is not there any more".to_owned()));
        };
        let (ours, theirs) = (&entry.head, &there.head);
        let went_on = theirs.head > ours.head;
        if theirs.epoch != ours.epoch || theirs.head < ours.head || (theirs.floor != ours.floor && !went_on) {
            return Ok(Some(format!("read back, it stands at {theirs:?} instead of {ours:?}")));
        }
        let mut after = theirs.floor.max(ours.floor);
        while after < ours.head {
            let ours = match self.from.read(entry.id, after, PAGE).await {
                Ok(page) => page.records,
                Err(error) => return Ok(Some(whole(&error))),
            };
            let theirs = self.to.read(entry.id, after, PAGE).await.map_err(Failure::Write)?;
            if theirs.floor > after {
                // Nodes have just let them go.
                after = theirs.floor;
                continue;
            }
            let same = ours.iter().zip(&theirs.records).take_while(|(ours, theirs)| ours == theirs).count() as u64;
            if same == 0 {
                return Ok(Some(format!("read back, record {} is another", after + 1)));
            }
            after += same;
            count(&self.done.seen.1, same);
            self.tell(true);
        }
        self.snapshot_difference(entry).await.map_err(Failure::Write)
    }

    async fn snapshot_difference(&self, entry: &WorldEntry) -> Result<Option<String>, Error> {
        let Ok(Some(ours)) = self.from.latest_snapshot(entry.id).await else { return Ok(None) };
        let same = match self.to.latest_snapshot(entry.id).await? {
            Some(theirs) => theirs == ours || theirs.seq > ours.seq,
            None => false,
        };
        Ok((!same).then(|| "read back, its snapshot is another".to_owned()))
    }
}
