//! Turns from the actor's side: they are let in at the gate, start, end; those that nobody runs any more are closed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::{Id, JoinError},
    time::Instant,
};

use super::{
    Actor, Note, Running,
    commit::{Ahead, Unsettled},
    execute::ATTEMPTS,
    mint,
};
use crate::{
    error::Failure,
    protocol::{AgentName, ErrorCode, FinishReason, MessageId},
    world::{
        decide::Context, event::Event, gate::Pass, load::secrets, reply::LiveReply, state::World, time::now_ms, turn,
        turns::Ending,
    },
};

/// How long to wait before what storage refused is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(500);

impl Actor {
    /// A started turn that nobody runs was cut off by a crash: it ends here, and never runs again by itself.
    pub(super) async fn recover(&mut self) {
        if let Err(failure) = self.catch_up().await {
            failure.log();
            self.stale = true;
        }
        self.record_ends().await;
    }

    pub(super) async fn interrupt(&mut self) -> Result<(), Failure> {
        // A reply that came to its own end, which is not stored yet, keeps that.
        let running: Vec<_> = self.running.keys().filter(|reply| !self.is_unrecorded(reply)).cloned().collect();
        for reply in running {
            let text = self.running.get(&reply).map_or_else(String::new, |running| running.live.freeze());
            self.unrecorded.push((reply, Ending::stopped(text, FinishReason::Interrupted)));
        }
        self.record_ends().await;
        match self.unrecorded.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::StorageError, "the ends of replies could not be stored")),
        }
    }

    /// Sends the next turn of every agent that may start one to the gate. Where there are places, turns start in the order
    /// of the agents.
    pub(super) fn schedule(&mut self) {
        if self.cell.services.draining.load(Ordering::Relaxed) || self.retry_at.is_some() {
            return;
        }
        if self.cell.services.cluster.is_some() && self.claim().is_none() {
            return;
        }
        for agent in self.world.agents() {
            let name = &agent.public.name;
            let next = !agent.waiting.is_empty() && agent.running.is_none();
            if next && self.at_the_gate.insert(name.clone()) {
                let (notes, cell, agent) = (self.notes.0.clone(), self.cell.clone(), name.clone());
                if let Ok(note) = notes.try_reserve()
                    && let Some(pass) = cell.services.gate.try_enter(&cell.user)
                {
                    note.send(Note::Ready { agent, pass: Some(pass) });
                    continue;
                }
                tokio::spawn(async move {
                    let pass = cell.services.gate.enter(&cell.user).await;
                    let _ = notes.send(Note::Ready { agent, pass }).await;
                });
            }
        }
    }

    pub(super) async fn note(&mut self, note: Note) {
        match note {
            Note::Ready { agent, pass } => {
                self.at_the_gate.remove(&agent);
                if let Some(pass) = pass
                    && !self.cell.services.draining.load(Ordering::Relaxed)
                {
                    self.start(&agent, pass).await;
                    self.schedule();
                }
            }
            Note::Chosen { agent, provider, model } => {
                let chosen = Event::ProviderChosen { agent_name: agent, provider, model };
                if let Err(failure) = self.record(|_, _| Some(vec![chosen.clone()])).await {
                    failure.log();
                }
            }
            Note::Heard(heard) => self.heard(heard),
            Note::Asked(question) => self.asked(question),
        }
    }

    /// Decides and appends what no request asked for. Returns the reply that starts with it, if one does.
    async fn record(
        &mut self,
        mut decide: impl FnMut(&World, &mut Context<'_>) -> Option<Vec<Event>>,
    ) -> Result<Option<Arc<LiveReply>>, Failure> {
        let mut recorded = self.try_to_record(&mut decide).await;
        for _ in 1..ATTEMPTS {
            if matches!(recorded, Err(Unsettled::Moved)) {
                recorded = self.try_to_record(&mut decide).await;
            }
        }
        Ok(recorded?)
    }

    async fn try_to_record(
        &mut self,
        decide: &mut impl FnMut(&World, &mut Context<'_>) -> Option<Vec<Event>>,
    ) -> Result<Option<Arc<LiveReply>>, Unsettled> {
        self.fresh().await?;
        let (at_ms, no_text) = (now_ms(), |_: &MessageId| String::new());
        let mut context = Context { at_ms, mint: &mut mint, text_of: &no_text, claim: self.claim() };
        let events = decide(&self.world, &mut context).unwrap_or_default();
        let started = match events.first() {
            Some(Event::ReplyStarted { reply, .. }) => Some(Arc::new(LiveReply::new(reply.clone()))),
            _ => None,
        };
        let mut ahead = Ahead::default();
        ahead.stage(&mut self.world, at_ms, events);
        self.commit(ahead, started.clone()).await?;
        Ok(started)
    }

    async fn start(&mut self, agent: &AgentName, pass: Pass) {
        if let Err(failure) = self.fresh_secrets().await {
            failure.log();
            self.retry_at = Some(Instant::now() + RETRY);
            return;
        }
        // Where nodes share the log, nobody would take up what is started without a ticket.
        let shared = self.cell.services.cluster.is_some();
        let start = |world: &World, context: &mut Context<'_>| match context.claim {
            None if shared => None,
            _ => world.start_turn(agent.as_str(), context),
        };
        let live = match self.record(start).await {
            Ok(live) => live,
            Err(failure) => {
                // The turn still waits; it is tried again.
                failure.log();
                self.retry_at = Some(Instant::now() + RETRY);
                return;
            }
        };
        let Some(live) = live else { return };
        let reply = &live.reply;
        let Some(call) = turn::call(&self.world, &self.cell, agent, &self.secrets) else {
            self.unrecorded.push((reply.message_id.clone(), turn::failed()));
            return self.record_ends().await;
        };
        let notes = self.notes.0.clone();
        let agent = agent.clone();
        let chosen = async move |provider, model| {
            let _ = notes.send(Note::Chosen { agent, provider, model }).await;
        };
        let task = self.turns.spawn(turn::run(self.cell.clone(), live.clone(), call, chosen));
        self.task_of.insert(task.id(), reply.message_id.clone());
        self.running.insert(reply.message_id.clone(), Running { live, task, _pass: pass });
    }

    /// The keys of agents, where somebody else may have changed them.
    async fn fresh_secrets(&mut self) -> Result<(), Failure> {
        if self.secrets_stale {
            self.secrets = secrets(&self.cell).await?;
            self.secrets_stale = false;
        }
        Ok(())
    }

    pub(super) async fn ended(&mut self, ended: Result<(Id, Ending), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(reply) = self.task_of.remove(&task) else { return };
        // What the turn told before it ended comes before its end.
        while let Ok(note) = self.notes.1.try_recv() {
            self.note(note).await;
        }
        // What is not running any more was ended otherwise, and its task aborted.
        if self.running.contains_key(&reply) {
            let ending = ended.map_or_else(|_| turn::failed(), |(_, ending)| ending);
            self.unrecorded.push((reply, ending));
            self.record_ends().await;
        }
    }

    /// Records the ends that wait for it. What storage refuses is tried again later: an end is never lost.
    pub(super) async fn record_ends(&mut self) {
        if let Err(failure) = self.fresh().await {
            return self.not_recorded(&failure);
        }
        while let Some((reply, ending)) = self.unrecorded.last().cloned() {
            let mut known = true;
            let ended = self.record(|world, context| {
                let events = world.end_turn(&reply, ending.clone(), context);
                known = events.is_some();
                events
            });
            if let Err(failure) = ended.await {
                return self.not_recorded(&failure);
            }
            if !known {
                self.running.remove(&reply);
            }
            self.unrecorded.retain(|(known, _)| *known != reply);
        }
        self.bound_log().await;
        self.schedule();
    }

    /// It is tried again, unless the world was deleted: then nothing is left to be recorded, by whoever.
    fn not_recorded(&mut self, failure: &Failure) {
        failure.log();
        if failure.code != ErrorCode::WorldNotFound {
            self.retry_at = Some(Instant::now() + RETRY);
            return;
        }
        self.turns.abort_all();
        self.running.clear();
        self.unrecorded.clear();
        self.tickets.clear();
        self.elsewhere.clear();
        self.retry_at = None;
        self.cell.hub.close();
    }
}
