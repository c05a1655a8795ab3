//! From what was decided to what everybody knows: append, then publish.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Actor, Running, running::RETRY, tickets::calls_for_a_ticket};
use crate::{
    error::Failure,
    log::{Append, Appended, Draft, Error, KeyWrite, Limit, Secret, SecretWrite, Snapshot},
    protocol::{ErrorCode, FinishReason, MessageId},
    world::{
        cell::WorldCell,
        decide::SecretChange,
        event::Event,
        load::{Loaded, load},
        publish::publish,
        refusal::storage,
        reply::LiveReply,
        snapshot,
        state::World,
        turns::Ending,
    },
};

/// Records read at once while catching up.
pub(super) const PAGE: Limit = Limit { records: 256, bytes: 1024 * 1024 };

/// What is decided and applied, and not in the log yet.
#[derive(Default)]
pub(super) struct Ahead {
    events: Vec<Staged>,
    pub(super) keys: Vec<KeyWrite>,
    pub(super) secrets: Vec<SecretChange>,
}

struct Staged {
    id: Uuid,
    at_ms: i64,
    event: Event,
}

/// Why nothing was appended.
pub(super) enum Unsettled {
    /// Somebody else appended first: what was decided here is to be decided anew, on what the log says now.
    Moved,
    /// It does not fit into one append.
    TooLarge(Failure),
    Failed(Failure),
}

impl From<Failure> for Unsettled {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unsettled> for Failure {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::Moved => Self::new(ErrorCode::Overloaded, "the world changes too fast").retry_after_ms(50),
            Unsettled::TooLarge(failure) | Unsettled::Failed(failure) => failure,
        }
    }
}

impl Ahead {
    /// Lets the state run ahead by these events.
    pub(super) fn stage(&mut self, world: &mut World, at_ms: i64, events: Vec<Event>) {
        for event in events {
            world.apply(world.head + 1, at_ms, &event);
            self.events.push(Staged { id: Uuid::now_v7(), at_ms, event });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.secrets.is_empty() && self.keys.is_empty()
    }
}

impl Actor {
    /// Appends, and only then publishes; with a reply that `started`, if one did. When it fails the state is again
    /// what the log says.
    pub(super) async fn commit(&mut self, ahead: Ahead, started: Option<Arc<LiveReply>>) -> Result<(), Unsettled> {
        if ahead.is_empty() {
            return Ok(());
        }
        if let Err(unsettled) = self.append(&ahead).await {
            // Deltas go on; but what a reply ended with, and could not be recorded, stays.
            let goes_on = |(reply, _): &(&MessageId, &Running)| !self.is_unrecorded(reply);
            self.running.iter().filter(goes_on).for_each(|(_, running)| running.live.thaw());
            self.elsewhere.values().for_each(|live| live.thaw());
            self.stale = true;
            if let Err(failure) = self.fresh().await {
                failure.log();
            }
            return Err(unsettled);
        }
        for SecretChange { agent_name, api_key } in ahead.secrets {
            match api_key {
                Some(key) => self.secrets.insert(agent_name, Secret::new(key)),
                None => self.secrets.remove(&agent_name),
            };
        }
        self.publish(&ahead.events, started);
        Ok(())
    }

    async fn append(&self, ahead: &Ahead) -> Result<(), Unsettled> {
        let mut drafts = Vec::with_capacity(ahead.events.len());
        for Staged { id, at_ms, event } in &ahead.events {
            let body = event.to_record().map_err(Failure::internal)?;
            drafts.push(Draft { id: *id, at_ms: *at_ms, body: Bytes::from(body) });
        }
        // What the log held when this was decided.
        let expected_head = self.world.head - ahead.events.len() as u64;
        let append = Append {
            world: self.cell.id,
            expected_head,
            drafts,
            keys: ahead.keys.clone(),
            secrets: ahead.secrets.iter().map(secret_write).collect(),
            busy: self.world.is_busy(),
            ticket: calls_for_a_ticket(ahead.events.iter().map(|staged| &staged.event)),
            title: ahead.events.iter().rev().find_map(|staged| match &staged.event {
                Event::WorldUpdated { title, .. } => Some(title.as_ref().map(ToString::to_string)),
                _ => None,
            }),
        };
        match self.cell.services.log.append(append).await {
            Ok(Appended::Done { .. }) => Ok(()),
            Ok(Appended::Conflict { head }) => {
                tracing::debug!(world = %self.cell.id, head, expected_head, "somebody else appended first");
                Err(Unsettled::Moved)
            }
            // Done by somebody else meanwhile: the answer is there now.
            Ok(Appended::Duplicate(_)) => Err(Unsettled::Moved),
            Err(Error::Unknown(cause)) => match ahead.events.first() {
                Some(first) if self.is_logged(expected_head + 1, first.id).await? => Ok(()),
                _ => Err(storage(Error::Unknown(cause)).into()),
            },
            Err(error @ Error::TooLarge(_)) => Err(Unsettled::TooLarge(storage(error))),
            Err(error) => Err(storage(error).into()),
        }
    }

    /// Whether the record at `seq` is the one with that id.
    async fn is_logged(&self, seq: u64, id: Uuid) -> Result<bool, Failure> {
        let limit = Limit { records: 1, bytes: usize::MAX };
        let page = self.cell.services.log.read(self.cell.id, seq - 1, limit).await.map_err(storage)?;
        Ok(page.records.first().is_some_and(|record| record.id == id))
    }

    /// Publishes what the log has taken.
    fn publish(&mut self, events: &[Staged], started: Option<Arc<LiveReply>>) {
        let mut pushes = Vec::with_capacity(events.len());
        let mut seq = self.cell.hub.head();
        for Staged { id, at_ms, event } in events {
            seq += 1;
            pushes.extend(publish(&self.cell.name, seq, *id, *at_ms, event).map(|push| (seq, push)));
            self.cell.services.counters.event(event);
            self.stop_if_ended(event);
        }
        self.cell.hub.publish(seq, pushes, started);
        let world = &self.world;
        self.elsewhere.retain(|reply, _| world.running(reply).is_some());
    }

    /// Publishes what is in the log and was appended by somebody else. Where the log is this server's alone, it closes
    /// the turns that were left open; where it is shared, they run elsewhere.
    pub(super) async fn catch_up(&mut self) -> Result<(), Failure> {
        while self.cell.hub.head() < self.world.head {
            let page = self.cell.services.log.read(self.cell.id, self.cell.hub.head(), PAGE).await.map_err(storage)?;
            if page.floor > self.cell.hub.head() {
                // What was to be told is gone. Whoever listens reads the log, and is told so.
                self.cell.hub.jump_to(self.world.head);
                let world = &self.world;
                self.running.retain(|reply, running| {
                    let runs = world.running(reply).is_some();
                    if !runs {
                        running.stop();
                    }
                    runs
                });
            }
            if page.records.is_empty() {
                break;
            }
            self.absorb(&page.records)?;
        }
        if self.cell.services.cluster.is_some() {
            self.listen_to_others();
            return Ok(());
        }
        let open = self.world.agents().filter_map(|agent| agent.running.as_ref());
        let cut_off: Vec<_> = open
            .map(|turn| turn.reply.message_id.clone())
            .filter(|id| !self.running.contains_key(id) && !self.is_unrecorded(id))
            .collect();
        let interrupted = |id| (id, Ending::stopped(String::new(), FinishReason::Interrupted));
        self.unrecorded.extend(cut_off.into_iter().map(interrupted));
        Ok(())
    }

    pub(super) fn stop_if_ended(&mut self, event: &Event) {
        if let Event::ReplyEnded { reply, .. } = event
            && let Some(running) = self.running.remove(&reply.message_id)
        {
            running.stop();
        }
    }

    pub(super) fn is_unrecorded(&self, reply: &MessageId) -> bool {
        self.unrecorded.iter().any(|(known, _)| known == reply)
    }

    /// Builds the state anew from the log, if it is not what the log says; running replies go on. Whether or not it
    /// works, what is to be recorded or started is looked at again afterwards.
    pub(super) async fn fresh(&mut self) -> Result<(), Failure> {
        if !self.stale {
            return Ok(());
        }
        let read = self.read_anew().await;
        self.retry_at = Some(if read.is_ok() { Instant::now() } else { Instant::now() + RETRY });
        read
    }

    async fn read_anew(&mut self) -> Result<(), Failure> {
        let loaded = load_whole(&self.cell).await?;
        self.world = loaded.world;
        self.secrets = loaded.secrets;
        self.secrets_stale = false;
        self.catch_up().await?;
        self.stale = false;
        Ok(())
    }

    /// Writes a snapshot now and then, which bounds what opening the world reads, and lets records go that a setting
    /// says are too old. Neither is needed for anything to be right, so a failure is only logged.
    pub(super) async fn bound_log(&mut self) {
        let settings = &self.cell.services.settings;
        if self.stale || self.world.head < self.snapshot_at + settings.snapshot_every {
            return;
        }
        let log = &self.cell.services.log;
        let Ok(body) = snapshot::write(&self.world) else { return };
        let head = self.world.head;
        let mut saved = log.save_snapshot(self.cell.id, Snapshot { seq: head, body: Bytes::from(body) }).await;
        self.snapshot_at = head;
        if let Some(upto) = settings.keep_records.and_then(|keep| head.checked_sub(keep)).filter(|upto| *upto > 0)
            && saved.is_ok()
        {
            saved = log.truncate(self.cell.id, upto).await.map(drop);
        }
        if let Err(error) = saved {
            tracing::warn!(world = %self.cell.id, %error, "failed to bound the log");
        }
    }
}

/// The world as its log says; refused while storage is behind what was published here already, as a server of NATS may be
/// that was the leader until a moment ago. What is decided on such a state would be wrong for ever.
pub(super) async fn load_whole(cell: &WorldCell) -> Result<Loaded, Failure> {
    let loaded = load(cell).await?;
    let (read, published) = (loaded.world.head, cell.hub.head());
    if read < published {
        return Err(storage(Error::Away(Arc::new(Behind { read, published }))));
    }
    Ok(loaded)
}

#[derive(Debug, thiserror::Error)]
#[error("the log was read up to {read}, and {published} was published already")]
struct Behind {
    read: u64,
    published: u64,
}

fn secret_write(change: &SecretChange) -> SecretWrite {
    SecretWrite { agent: change.agent_name.to_string(), secret: change.api_key.as_deref().map(Secret::new) }
}
