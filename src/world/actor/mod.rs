//! The actor of one world: the only one that decides, appends and publishes for it.
//!
//! Requests → [`World::decide`] and [`World::apply`], one after the other (`execute.rs`) → one append to the log for
//! all that waited → publish (`commit.rs`). Nothing is told to anybody before it is durable. Turns run in tasks beside
//! it (`running.rs`); their ends come back here. Where nodes share the log, what others append comes in by `follow.rs`,
//! and who may run turns is told by tickets (`tickets.rs`).

mod commit;
mod execute;
mod follow;
mod running;
mod tickets;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use commit::load_whole;
use running::RETRY;

use super::{
    cell::{View, WorldCell},
    command::{Command, Outcome},
    gate::Pass,
    nodes::{Ears, Heard},
    reply::LiveReply,
    state::World,
    turns::Ending,
};
use crate::{
    error::Failure,
    log::{
        Record, Secret,
        cluster::{Question, Ticket},
    },
    protocol::{AgentName, IdempotencyKey, MessageId, ModelName, ProviderName},
};

/// Letters that are opened at once, and whose requests share an append.
const BATCH: usize = 64;
/// Turns that waited for their place, or say whom they asked.
const INTERNAL_QUEUE: usize = 64;

pub enum Mail {
    Execute(Box<Request>),
    View(oneshot::Sender<Result<View, Failure>>),
    IsBusy(oneshot::Sender<bool>),
    Interrupt(oneshot::Sender<Result<(), Failure>>),
    Close(oneshot::Sender<()>),
    /// Somebody appended, up to `head`; with the records, if they are at hand.
    Follow {
        head: u64,
        records: Vec<Record>,
        answer: Option<oneshot::Sender<Result<(), Failure>>>,
    },
    Ticket(Box<Held>),
}

/// A ticket, and the places that it takes: of those this node has, and of those its user has here.
pub struct Held {
    pub ticket: Ticket,
    pub _places: [OwnedSemaphorePermit; 2],
}

/// A command, and who waits for what it does.
pub struct Request {
    pub command: Command,
    pub key: Option<IdempotencyKey>,
    pub answer: oneshot::Sender<Result<Outcome, Failure>>,
}

/// Mail on its way.
pub struct Letter {
    pub mail: Mail,
    /// Dropped when it has arrived, or never will.
    pub _on_the_way: Arc<()>,
}

/// What comes back from the actor's own tasks.
pub enum Note {
    Ready {
        agent: AgentName,
        pass: Option<Pass>,
    },
    Chosen {
        agent: AgentName,
        provider: ProviderName,
        model: ModelName,
    },
    /// Another node says what one of its replies says.
    Heard(Heard),
    /// Another node asks for the text of a reply that may run here.
    Asked(Question),
}

struct Running {
    live: Arc<LiveReply>,
    task: AbortHandle,
    _pass: Pass,
}

impl Running {
    /// Its end is in the log: nothing follows it, also of what the task is about to say at this moment.
    fn stop(&self) {
        self.live.freeze();
        self.task.abort();
    }
}

struct Actor {
    cell: Arc<WorldCell>,
    /// Runs ahead of the log while an append is under way.
    world: World,
    /// An append failed: `world` is not what the log says, and is built anew before it is used.
    stale: bool,
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
    /// The right to run turns, where nodes share the log.
    tickets: Vec<Held>,
    /// Replies that other nodes run, with what was heard of them so far.
    elsewhere: HashMap<MessageId, Arc<LiveReply>>,
    /// Somebody else changed agents: `secrets` may be old.
    secrets_stale: bool,
    /// Listens to other nodes as long as it lives.
    _ears: Option<Ears>,
}

/// Runs until nothing is asked any more and nothing runs.
pub async fn run(cell: Arc<WorldCell>, mut inbox: mpsc::UnboundedReceiver<Letter>) {
    let loaded = match load_whole(&cell).await {
        Ok(loaded) => loaded,
        Err(failure) => {
            failure.log();
            tracing::error!(world = %cell.id, "failed to load the world");
            return refuse_all(&cell, inbox, failure);
        }
    };
    let notes = mpsc::channel(INTERNAL_QUEUE);
    let ears = cell.services.cluster.clone().map(|cluster| Ears::open(cluster, cell.id, notes.0.clone()));
    let mut actor = Actor {
        cell,
        snapshot_at: loaded.snapshot_at,
        world: loaded.world,
        stale: false,
        secrets: loaded.secrets,
        running: HashMap::new(),
        turns: JoinSet::new(),
        task_of: HashMap::new(),
        at_the_gate: BTreeSet::new(),
        notes,
        unrecorded: Vec::new(),
        retry_at: None,
        tickets: Vec::new(),
        elsewhere: HashMap::new(),
        secrets_stale: false,
        _ears: ears,
    };
    actor.recover().await;
    actor.serve(&mut inbox).await;
}

/// Whoever asked while the world could not be loaded is told why.
fn refuse_all(cell: &Arc<WorldCell>, mut inbox: mpsc::UnboundedReceiver<Letter>, failure: Failure) {
    inbox.close();
    while let Ok(letter) = inbox.try_recv() {
        match letter.mail {
            Mail::Execute(request) => drop(request.answer.send(Err(failure.clone()))),
            Mail::Interrupt(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::View(answer) => drop(answer.send(Err(failure.clone()))),
            Mail::Follow { answer: Some(answer), .. } => drop(answer.send(Err(failure.clone()))),
            Mail::Follow { head, answer: None, .. } => {
                // Somebody may be listening, and nobody else would try again.
                let cell = cell.clone();
                tokio::spawn(async move {
                    sleep_until(Instant::now() + RETRY).await;
                    cell.follow(head, Vec::new());
                });
            }
            // A ticket that is dropped goes to another node.
            Mail::IsBusy(_) | Mail::Close(_) | Mail::Ticket(_) => {}
        }
    }
}

impl Actor {
    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<Letter>) {
        let idle_unload = self.cell.services.settings.idle_unload;
        let mut idle_since = Instant::now();
        loop {
            let mut letters = Vec::new();
            self.settle_tickets().await;
            let idle = self.running.is_empty()
                && self.at_the_gate.is_empty()
                && self.retry_at.is_none()
                && self.elsewhere.is_empty()
                && self.tickets.is_empty();
            let retry_at = self.retry_at;
            tokio::select! {
                count = inbox.recv_many(&mut letters, BATCH) => {
                    if count == 0 || !self.open(letters).await {
                        return;
                    }
                    idle_since = Instant::now();
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

    /// Answers in the order of arrival; requests that follow each other share an append. `false`: the world is closed.
    async fn open(&mut self, letters: Vec<Letter>) -> bool {
        let mut requests = Vec::new();
        for Letter { mail, .. } in letters {
            let joins = matches!(&mail, Mail::Execute(request) if !matches!(request.command, Command::Reload));
            if !joins {
                self.execute(std::mem::take(&mut requests)).await;
            }
            match mail {
                Mail::Execute(request) if joins => requests.push(*request),
                Mail::Execute(reload) => {
                    // What the log says is wanted, and not what was made of it here.
                    self.stale = true;
                    self.execute(vec![*reload]).await;
                }
                Mail::View(answer) => {
                    let view = self.fresh().await.map(|()| self.view());
                    let _ = answer.send(view);
                }
                Mail::IsBusy(answer) => {
                    let busy = self.stale || self.world.is_busy() || !self.unrecorded.is_empty();
                    let _ = answer.send(busy);
                }
                Mail::Interrupt(answer) => drop(answer.send(self.interrupt().await)),
                Mail::Follow { head, records, answer } => {
                    let followed = self.follow(head, &records).await;
                    if followed.is_err() {
                        // Somebody may be listening: it is tried again, from the log.
                        self.stale = true;
                        self.retry_at = Some(Instant::now() + RETRY);
                    }
                    // What others ended may have been what a turn waited for.
                    self.schedule();
                    match (answer, followed) {
                        (Some(answer), followed) => drop(answer.send(followed)),
                        (None, Err(failure)) => failure.log(),
                        (None, Ok(())) => {}
                    }
                }
                Mail::Ticket(held) => self.take_up(*held).await,
                Mail::Close(answer) => {
                    self.turns.abort_all();
                    let _ = answer.send(());
                    return false;
                }
            }
        }
        self.execute(requests).await;
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
}

/// A fresh message id.
pub fn mint() -> MessageId {
    MessageId::trusted(Uuid::now_v7().to_string())
}
