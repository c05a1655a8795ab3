//! The actor of one world: the only one that decides, appends and publishes for it, one request at a time.
//!
//! Request → [`World::decide`] → append to the log → [`World::apply`] → publish. Nothing is told to anybody before
//! it is durable. Turns run in tasks beside it; their ends come back here.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    cell::{Key, View, WorldCell},
    command::{Command, Outcome},
    decide::{Context, Decision, SecretChange},
    event::Event,
    fingerprint::fingerprint,
    gate::Pass,
    load::load,
    publish::publish,
    reply::LiveReply,
    state::World,
    subscription::storage,
    time::now_ms,
    turn,
    turns::Ending,
};
use crate::{
    error::Failure,
    log::{Append, Appended, Draft, Error, KeyWrite, Secret, SecretWrite, Snapshot},
    protocol::{AgentName, ErrorCode, FinishReason, MessageId, ModelName, ProviderName},
};

/// Turns that waited for their place, or say whom they asked.
const INTERNAL_QUEUE: usize = 64;
/// How long to wait before an end that could not be recorded is tried again.
const RETRY: Duration = Duration::from_millis(500);

pub enum Mail {
    Execute { command: Box<Command>, key: Option<Key>, answer: oneshot::Sender<Result<Outcome, Failure>> },
    View(oneshot::Sender<Result<View, Failure>>),
    IsBusy(oneshot::Sender<bool>),
    Interrupt(oneshot::Sender<Result<(), Failure>>),
    Close(oneshot::Sender<()>),
}

/// What comes back from the actor's own tasks.
enum Note {
    Ready { agent: AgentName, pass: Option<Pass> },
    Chosen { agent: AgentName, provider: ProviderName, model: ModelName },
}

struct Running {
    live: Arc<LiveReply>,
    task: AbortHandle,
    _pass: Pass,
}

struct Actor {
    cell: Arc<WorldCell>,
    world: World,
    secrets: HashMap<AgentName, Secret>,
    running: HashMap<MessageId, Running>,
    turns: JoinSet<Ending>,
    /// Which turn a task runs.
    task_of: HashMap<Id, MessageId>,
    /// Agents whose next turn waits for its place.
    at_the_gate: BTreeSet<AgentName>,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    /// Replies that are over, and could not be recorded so far.
    unrecorded: Vec<(MessageId, Ending)>,
    snapshot_at: u64,
}

/// Runs until nothing is asked any more and nothing runs.
pub async fn run(cell: Arc<WorldCell>, mut inbox: mpsc::Receiver<Mail>) {
    let loaded = match load(&cell).await {
        Ok(loaded) => loaded,
        Err(failure) => {
            failure.log();
            tracing::error!(world = %cell.id, "failed to load the world");
            cell.actor_failed();
            return refuse_all(inbox, failure);
        }
    };
    let mut actor = Actor {
        cell,
        snapshot_at: loaded.snapshot_at,
        world: loaded.world,
        secrets: loaded.secrets,
        running: HashMap::new(),
        turns: JoinSet::new(),
        task_of: HashMap::new(),
        at_the_gate: BTreeSet::new(),
        notes: mpsc::channel(INTERNAL_QUEUE),
        unrecorded: Vec::new(),
    };
    actor.recover().await;
    actor.serve(&mut inbox).await;
}

/// Whoever asked while the world could not be loaded is told why.
fn refuse_all(mut inbox: mpsc::Receiver<Mail>, failure: Failure) {
    inbox.close();
    while let Ok(mail) = inbox.try_recv() {
        match mail {
            Mail::Execute { answer, .. } => drop(answer.send(Err(failure.clone()))),
            Mail::Interrupt(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::View(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::IsBusy(_) | Mail::Close(_) => {}
        }
    }
}

impl Actor {
    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Mail>) {
        let idle_unload = self.cell.services.settings.idle_unload;
        let mut idle_since = Instant::now();
        loop {
            let idle = self.running.is_empty() && self.at_the_gate.is_empty() && self.unrecorded.is_empty();
            let retry = !self.unrecorded.is_empty();
            tokio::select! {
                mail = inbox.recv() => {
                    let Some(mail) = mail else { return };
                    self.cell.arrived();
                    idle_since = Instant::now();
                    if !self.answer(mail).await {
                        return;
                    }
                }
                Some(note) = self.notes.1.recv() => self.note(note).await,
                Some(ended) = self.turns.join_next_with_id(), if !self.turns.is_empty() => {
                    self.ended(ended).await;
                    idle_since = Instant::now();
                }
                () = tokio::time::sleep(RETRY), if retry => self.record_ends().await,
                () = sleep_until(idle_since + idle_unload), if idle => {
                    if self.cell.may_leave() {
                        return;
                    }
                    idle_since = Instant::now();
                }
            }
        }
    }

    /// `false`: the world is closed.
    async fn answer(&mut self, mail: Mail) -> bool {
        match mail {
            Mail::Execute { command, key, answer } => {
                let outcome = self.execute(&command, key).await;
                let _ = answer.send(outcome);
            }
            Mail::View(answer) => drop(answer.send(Ok(self.view()))),
            Mail::IsBusy(answer) => drop(answer.send(self.world.is_busy() || !self.unrecorded.is_empty())),
            Mail::Interrupt(answer) => drop(answer.send(self.interrupt().await)),
            Mail::Close(answer) => {
                self.turns.abort_all();
                let _ = answer.send(());
                return false;
            }
        }
        true
    }

    fn view(&self) -> View {
        View {
            head: self.world.head,
            title: self.world.title.clone(),
            template_name: self.world.template_name.clone(),
            turn_limit: self.world.turn_limit,
            agents: self.world.public_agents(),
        }
    }

    async fn execute(&mut self, command: &Command, key: Option<Key>) -> Result<Outcome, Failure> {
        let services = self.cell.services.clone();
        let fingerprint = fingerprint(&services.installation_key, self.cell.id, command)?;
        if let Some(Key { user, key }) = &key {
            let known = services.log.find_key(self.cell.id, user, key.as_str()).await.map_err(storage)?;
            if let Some(known) = known {
                if known.fingerprint != fingerprint {
                    let text = "this idempotency key was used for a different request";
                    return Err(Failure::new(ErrorCode::Conflict, text));
                }
                let answer = serde_json::from_slice(&known.answer).map_err(Failure::internal)?;
                return Ok(Outcome { answer, duplicate: true });
            }
        }
        let new_work = matches!(command, Command::Chat { .. } | Command::Retry { .. });
        if new_work && services.draining.load(Ordering::Relaxed) {
            let text = "the server is about to stop; send this again in a moment";
            return Err(Failure::new(ErrorCode::Overloaded, text).retry_after_ms(2_000));
        }
        if matches!(command, Command::Reload) {
            self.reload().await?;
        }
        let decision = self.decide(command)?;
        let answer = decision.answer.clone();
        let key = match key {
            Some(Key { user, key }) => Some(KeyWrite {
                user,
                key: key.to_string(),
                fingerprint,
                answer: Bytes::from(serde_json::to_vec(&answer).map_err(Failure::internal)?),
                at_ms: now_ms(),
            }),
            None => None,
        };
        self.commit(decision, key).await?;
        self.bound_log().await;
        self.schedule();
        Ok(Outcome { answer, duplicate: false })
    }

    fn decide(&self, command: &Command) -> Result<Decision, Failure> {
        let text_of = |reply: &MessageId| self.running.get(reply).map_or_else(String::new, |r| r.live.freeze());
        let mut context = Context { at_ms: now_ms(), mint: &mut mint, text_of: &text_of };
        self.world.decide(command, &mut context)
    }

    /// Appends, and only then applies and publishes.
    async fn commit(&mut self, decision: Decision, key: Option<KeyWrite>) -> Result<(), Failure> {
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

    async fn append(&mut self, decision: &Decision, key: Option<KeyWrite>, at_ms: i64) -> Result<Vec<Uuid>, Failure> {
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
                Err(Failure::new(ErrorCode::Overloaded, "the world has just changed").retry_after_ms(50).cause(cause))
            }
            Ok(Appended::Duplicate(_)) => Err(Failure::internal("idempotency key was written meanwhile")),
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
    async fn is_logged(&self, seq: u64, id: Uuid) -> Result<bool, Failure> {
        let limit = crate::log::Limit { records: 1, bytes: usize::MAX };
        let page = self.cell.services.log.read(self.cell.id, seq - 1, limit).await.map_err(storage)?;
        Ok(page.records.first().is_some_and(|record| record.id == id))
    }

    fn busy_after(&self, events: &[Event]) -> bool {
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
    fn take_in(&mut self, events: &[Event], ids: &[Uuid], at_ms: i64, started: Option<Arc<LiveReply>>) {
        let mut pushes = Vec::with_capacity(events.len());
        let mut seq = self.cell.hub.head();
        for (event, id) in events.iter().zip(ids) {
            seq += 1;
            if seq > self.world.head {
                self.world.apply(seq, at_ms, event);
            }
            pushes.extend(publish(&self.cell.name, seq, *id, at_ms, event).map(|push| (seq, push)));
            self.cell.services.counters.event(event);
            if let Event::ReplyEnded { reply, .. } = event
                && let Some(running) = self.running.remove(&reply.message_id)
            {
                running.task.abort();
            }
        }
        self.cell.hub.publish(seq, pushes, started);
    }

    /// Builds the state anew from the log; running replies go on.
    async fn reload(&mut self) -> Result<(), Failure> {
        let loaded = load(&self.cell).await?;
        self.world = loaded.world;
        self.secrets = loaded.secrets;
        Ok(())
    }

    /// A started turn that nobody runs was cut off by a crash: it ends here, and never runs again by itself.
    async fn recover(&mut self) {
        let cut_off: Vec<_> = self
            .world
            .agents()
            .filter_map(|agent| agent.running.as_ref())
            .map(|turn| turn.reply.message_id.clone())
            .collect();
        for reply in cut_off {
            self.unrecorded.push((reply, Ending::stopped(String::new(), FinishReason::Interrupted)));
        }
        self.record_ends().await;
        self.schedule();
    }

    async fn interrupt(&mut self) -> Result<(), Failure> {
        let running: Vec<_> = self.running.keys().cloned().collect();
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

    /// Sends the next turn of every agent that may start one to the gate.
    fn schedule(&mut self) {
        if self.cell.services.draining.load(Ordering::Relaxed) {
            return;
        }
        for agent in self.world.agents() {
            let name = &agent.public.name;
            let next = !agent.waiting.is_empty() && agent.running.is_none();
            if next && self.at_the_gate.insert(name.clone()) {
                let (notes, cell, agent) = (self.notes.0.clone(), self.cell.clone(), name.clone());
                tokio::spawn(async move {
                    let pass = cell.services.gate.enter(&cell.user).await;
                    let _ = notes.send(Note::Ready { agent, pass }).await;
                });
            }
        }
    }

    async fn note(&mut self, note: Note) {
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
                let event = Event::ProviderChosen { agent_name: agent, provider, model };
                if let Err(failure) = self.commit(Decision::done(vec![event]), None).await {
                    failure.log();
                }
            }
        }
    }

    async fn start(&mut self, agent: &AgentName, pass: Pass) {
        let no_text = |_: &MessageId| String::new();
        let at_ms = now_ms();
        let mut context = Context { at_ms, mint: &mut mint, text_of: &no_text };
        let Some(events) = self.world.start_turn(agent.as_str(), &mut context) else { return };
        let decision = Decision::done(events);
        let ids = match self.append(&decision, None, at_ms).await {
            Ok(ids) => ids,
            Err(failure) => {
                // The turn still waits; it is tried again.
                failure.log();
                return tokio::time::sleep(RETRY).await;
            }
        };
        let Some(Event::ReplyStarted { reply }) = decision.events.first() else {
            return self.take_in(&decision.events, &ids, at_ms, None);
        };
        let live = Arc::new(LiveReply::new(reply.clone()));
        self.take_in(&decision.events, &ids, at_ms, Some(live.clone()));
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

    async fn ended(&mut self, ended: Result<(Id, Ending), JoinError>) {
        let (task, ending) = match ended {
            Ok((task, ending)) => (task, ending),
            // Aborted because its end is recorded already, or a bug of ours.
            Err(error) => (error.id(), turn::failed()),
        };
        let Some(reply) = self.task_of.remove(&task) else { return };
        if self.running.contains_key(&reply) {
            self.unrecorded.push((reply, ending));
            self.record_ends().await;
        }
    }

    /// Records the ends that wait for it. What storage refuses is tried again later: an end is never lost.
    async fn record_ends(&mut self) {
        while let Some((reply, ending)) = self.unrecorded.pop() {
            let no_text = |_: &MessageId| String::new();
            let mut context = Context { at_ms: now_ms(), mint: &mut mint, text_of: &no_text };
            let Some(events) = self.world.end_turn(&reply, ending.clone(), &mut context) else {
                self.running.remove(&reply);
                continue;
            };
            if let Err(failure) = self.commit(Decision::done(events), None).await {
                failure.log();
                self.unrecorded.push((reply, ending));
                return;
            }
        }
        self.bound_log().await;
        self.schedule();
    }

    /// Writes a snapshot now and then, which bounds what opening the world reads, and lets records go that a setting
    /// says are too old. Neither is needed for anything to be right, so a failure is only logged.
    async fn bound_log(&mut self) {
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

/// A fresh message id.
pub fn mint() -> MessageId {
    MessageId::trusted(Uuid::now_v7().to_string())
}
