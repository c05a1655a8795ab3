//! The actor of one world: the only one that decides, appends and publishes for it, one request at a time.
//!
//! Request → [`World::decide`] → append to the log → [`World::apply`] → publish (`append.rs`). Nothing is told to
//! anybody before it is durable. Turns run in tasks beside it (`running.rs`); their ends come back here.

mod append;
mod running;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    cell::{Key, View, WorldCell},
    command::{Command, Outcome},
    decide::{Context, Decision},
    fingerprint::fingerprint,
    gate::Pass,
    load::load,
    refusal::storage,
    reply::LiveReply,
    state::World,
    time::now_ms,
    turns::Ending,
};
use crate::{
    error::Failure,
    log::{KeyWrite, Secret},
    protocol::{AgentName, ErrorCode, MessageId, ModelName, ProviderName},
};

/// Turns that waited for their place, or say whom they asked.
const INTERNAL_QUEUE: usize = 64;

pub enum Mail {
    Execute { command: Box<Command>, key: Option<Key>, answer: oneshot::Sender<Result<Outcome, Failure>> },
    View(oneshot::Sender<Result<View, Failure>>),
    IsBusy(oneshot::Sender<bool>),
    Interrupt(oneshot::Sender<Result<(), Failure>>),
    Close(oneshot::Sender<()>),
}

/// Mail on its way.
pub struct Letter {
    pub mail: Mail,
    /// Dropped when it has arrived, or never will.
    pub _on_the_way: Arc<()>,
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
    /// When to try again what storage refused.
    retry_at: Option<Instant>,
    snapshot_at: u64,
}

/// Runs until nothing is asked any more and nothing runs.
pub async fn run(cell: Arc<WorldCell>, mut inbox: mpsc::Receiver<Letter>) {
    let loaded = match load(&cell).await {
        Ok(loaded) => loaded,
        Err(failure) => {
            failure.log();
            tracing::error!(world = %cell.id, "failed to load the world");
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
        retry_at: None,
    };
    actor.recover().await;
    actor.serve(&mut inbox).await;
}

/// Whoever asked while the world could not be loaded is told why.
fn refuse_all(mut inbox: mpsc::Receiver<Letter>, failure: Failure) {
    inbox.close();
    while let Ok(letter) = inbox.try_recv() {
        match letter.mail {
            Mail::Execute { answer, .. } => drop(answer.send(Err(failure.clone()))),
            Mail::Interrupt(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::View(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::IsBusy(_) | Mail::Close(_) => {}
        }
    }
}

impl Actor {
    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Letter>) {
        let idle_unload = self.cell.services.settings.idle_unload;
        let mut idle_since = Instant::now();
        loop {
            let idle = self.running.is_empty() && self.at_the_gate.is_empty() && self.retry_at.is_none();
            let retry_at = self.retry_at;
            tokio::select! {
                letter = inbox.recv() => {
                    let Some(Letter { mail, _on_the_way }) = letter else { return };
                    drop(_on_the_way);
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
                () = sleep_until(retry_at.unwrap_or(idle_since)), if retry_at.is_some() => {
                    self.retry_at = None;
                    self.record_ends().await;
                }
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
        let print = match &key {
            Some(_) => fingerprint(&services.installation_key, self.cell.id, command)?,
            None => [0; 32],
        };
        if let Some(Key { user, key }) = &key {
            let known = services.log.find_key(self.cell.id, user, key.as_str()).await.map_err(storage)?;
            if let Some(known) = known {
                if known.fingerprint != print {
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
                fingerprint: print,
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
}

/// A fresh message id.
pub fn mint() -> MessageId {
    MessageId::trusted(Uuid::now_v7().to_string())
}
