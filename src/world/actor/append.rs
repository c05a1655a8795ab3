//! From a decision to what everybody knows: append, then apply and publish.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::Actor;
use crate::{
    error::Failure,
    log::{Append, Appended, Draft, Error, KeyWrite, Limit, Secret, SecretWrite, Snapshot},
    protocol::{ErrorCode, FinishReason, MessageId},
    world::{
        decide::{Decision, SecretChange},
        event::Event,
        load::load,
        publish::publish,
        refusal::storage,
        reply::LiveReply,
        time::now_ms,
        turns::Ending,
    },
};

/// Records read at once while catching up.
const PAGE: Limit = Limit { records: 256, bytes: 1024 * 1024 };

impl Actor {
    /// Appends, and only then applies and publishes.
    pub(super) async fn commit(&mut self, decision: Decision, key: Option<KeyWrite>) -> Result<(), Failure> {
        if decision.events.is_empty() && decision.secrets.is_empty() && key.is_none() {
            return Ok(());
        }
        let at_ms = now_ms();
        let result = self.append(&decision, key, at_ms).await;
        if result.is_err() {
            self.running.values().for_each(|running| running.live.thaw());
        }
        let drafts = result?;
        for SecretChange { agent_name, api_key } in decision.secrets {
            match api_key {
                Some(key) => self.secrets.insert(agent_name, Secret::new(key)),
                None => self.secrets.remove(&agent_name),
            };
        }
        self.take_in(&decision.events, &drafts, at_ms, None);
        Ok(())
    }

    pub(super) async fn append(
        &mut self,
        decision: &Decision,
        key: Option<KeyWrite>,
        at_ms: i64,
    ) -> Result<Vec<Uuid>, Failure> {
        let mut drafts = Vec::with_capacity(decision.events.len());
        for event in &decision.events {
            let body = event.to_record().map_err(Failure::internal)?;
            drafts.push(Draft { id: Uuid::now_v7(), at_ms, body: Bytes::from(body) });
        }
        let ids: Vec<_> = drafts.iter().map(|draft| draft.id).collect();
        let append = Append {
            world: self.cell.id,
            expected_head: self.world.head,
            drafts,
            key,
            secrets: decision.secrets.iter().map(secret_write).collect(),
            busy: self.busy_after(&decision.events),
            title: decision.events.iter().find_map(|event| match event {
                Event::WorldUpdated { title, .. } => Some(title.as_ref().map(ToString::to_string)),
                _ => None,
            }),
        };
        match self.cell.services.log.append(append).await {
            Ok(Appended::Done { .. }) => Ok(ids),
            Ok(Appended::Conflict { head }) => {
                // Somebody else wrote: what is held here is not the world any more.
                let cause = format!("log is at {head}, this actor at {}", self.world.head);
                self.reload().await?;
                self.catch_up().await?;
                Err(Failure::new(ErrorCode::Overloaded, "the world has just changed").retry_after_ms(50).cause(cause))
            }
            Ok(Appended::Duplicate(_)) => {
                let text = "a request with this idempotency key has just been done; its answer is there now";
                Err(Failure::new(ErrorCode::Overloaded, text).retry_after_ms(50))
            }
            Err(Error::Unknown(cause)) => {
                let first = ids.first().copied();
                let before = self.world.head;
                self.reload().await?;
                match first {
                    Some(first) if self.is_logged(before + 1, first).await? => Ok(ids),
                    _ => Err(storage(Error::Unknown(cause))),
                }
            }
            Err(error) => Err(storage(error)),
        }
    }

    /// Whether the record at `seq` is the one with that id.
    pub(super) async fn is_logged(&self, seq: u64, id: Uuid) -> Result<bool, Failure> {
        let limit = Limit { records: 1, bytes: usize::MAX };
        let page = self.cell.services.log.read(self.cell.id, seq - 1, limit).await.map_err(storage)?;
        Ok(page.records.first().is_some_and(|record| record.id == id))
    }

    pub(super) fn busy_after(&self, events: &[Event]) -> bool {
        let mut roots: BTreeSet<_> = self.world.busy_roots().collect();
        for event in events {
            match event {
                Event::Routed { root_id, .. } => drop(roots.insert(root_id)),
                Event::Settled { root_id } => drop(roots.remove(root_id)),
                _ => {}
            }
        }
        !roots.is_empty()
    }

    /// Applies and publishes what the log has taken.
    pub(super) fn take_in(&mut self, events: &[Event], ids: &[Uuid], at_ms: i64, started: Option<Arc<LiveReply>>) {
        let mut pushes = Vec::with_capacity(events.len());
        let mut seq = self.cell.hub.head();
        for (event, id) in events.iter().zip(ids) {
            seq += 1;
            if seq > self.world.head {
                self.world.apply(seq, at_ms, event);
            }
            pushes.extend(publish(&self.cell.name, seq, *id, at_ms, event).map(|push| (seq, push)));
            self.cell.services.counters.event(event);
            self.stop_if_ended(event);
        }
        self.cell.hub.publish(seq, pushes, started);
    }

    /// Publishes what is in the log and was appended by somebody else, and closes the turns that they left open.
    pub(super) async fn catch_up(&mut self) -> Result<(), Failure> {
        while self.cell.hub.head() < self.world.head {
            let page = self.cell.services.log.read(self.cell.id, self.cell.hub.head(), PAGE).await.map_err(storage)?;
            let Some(last) = page.records.last().map(|record| record.seq) else { break };
            let mut pushes = Vec::new();
            for record in &page.records {
                let event = Event::from_record(&record.body).map_err(Failure::internal)?;
                let push = publish(&self.cell.name, record.seq, record.id, record.at_ms, &event);
                pushes.extend(push.map(|push| (record.seq, push)));
                self.stop_if_ended(&event);
            }
            self.cell.hub.publish(last, pushes, None);
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

    fn stop_if_ended(&mut self, event: &Event) {
        if let Event::ReplyEnded { reply, .. } = event
            && let Some(running) = self.running.remove(&reply.message_id)
        {
            running.task.abort();
        }
    }

    pub(super) fn is_unrecorded(&self, reply: &MessageId) -> bool {
        self.unrecorded.iter().any(|(known, _)| known == reply)
    }

    /// Builds the state anew from the log; running replies go on.
    pub(super) async fn reload(&mut self) -> Result<(), Failure> {
        let loaded = load(&self.cell).await?;
        self.world = loaded.world;
        self.secrets = loaded.secrets;
        Ok(())
    }

    /// Writes a snapshot now and then, which bounds what opening the world reads, and lets records go that a setting
    /// says are too old. Neither is needed for anything to be right, so a failure is only logged.
    pub(super) async fn bound_log(&mut self) {
        let settings = &self.cell.services.settings;
        if self.world.head < self.snapshot_at + settings.snapshot_every {
            return;
        }
        let log = &self.cell.services.log;
        let Ok(body) = serde_json::to_vec(&self.world) else { return };
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

fn secret_write(change: &SecretChange) -> SecretWrite {
    SecretWrite { agent: change.agent_name.to_string(), secret: change.api_key.as_deref().map(Secret::new) }
}
