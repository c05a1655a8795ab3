//! [`WorldCell`]: a world as the rest of the server holds it: its hub, and the way to its actor. The actor, and the
//! state in it, come when somebody asks for something and go when nothing runs; an idle world costs nothing but this.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    actor::{self, Held},
    command::{Command, Outcome},
    gate::Gate,
    hub::Hub,
    refusal::{gone, storage, unresumable},
};
use crate::{
    error::Failure,
    log::{
        Head, Record, Store, WorldEntry, WorldId,
        cluster::{Cluster, Link, Ticket},
    },
    protocol::{Agent, Cursor, IdempotencyKey, TemplateName, Title, TurnLimit, UnresumableReason, WorldName},
    provider::Provider,
};

/// What every world needs of the server.
pub struct Services {
    pub log: Arc<dyn Store>,
    /// The other nodes that share the log; none where it is this server's alone.
    pub cluster: Option<Arc<dyn Cluster>>,
    pub provider: Arc<dyn Provider>,
    pub gate: Gate,
    pub settings: Settings,
    /// Set when the server goes down: no turn starts any more.
    pub draining: AtomicBool,
    pub counters: super::Counters,
    /// The key of command fingerprints.
    pub installation_key: [u8; 32],
}

impl Services {
    /// Whether the log that nodes share cannot be reached from here.
    pub fn is_cut_off(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| *cluster.state().borrow() != Link::Connected)
    }
}

/// Settings of worlds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that may wait for one subscriber before it goes back to reading the log.
    pub outbox_bytes: usize,
    /// How long an actor stays when nothing is asked of it.
    pub idle_unload: std::time::Duration,
    /// How long an ephemeral world stays when nobody uses it.
    pub grace: std::time::Duration,
    /// Records after which a new snapshot is worth writing.
    pub snapshot_every: u64,
    /// Records that a world's log keeps; older ones go. None: all of them.
    pub keep_records: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            outbox_bytes: 1024 * 1024,
            idle_unload: std::time::Duration::from_secs(30),
            grace: std::time::Duration::from_secs(5 * 60),
            snapshot_every: 1_000,
            keep_records: None,
        }
    }
}

pub struct WorldCell {
    pub id: WorldId,
    pub user: String,
    pub name: WorldName,
    pub epoch: String,
    pub hub: Hub,
    pub services: Arc<Services>,
    persistent: AtomicBool,
    gone: AtomicBool,
    /// Told when it is.
    left: Notify,
    desk: Mutex<Option<Desk>>,
    /// For handing itself to its actor.
    this: Weak<WorldCell>,
}

/// Where mail for the actor goes.
#[derive(Clone)]
struct Desk {
    /// Without a bound: whoever sends holds what it asks for anyway, and letters arrive in the order in which they were
    /// sent.
    inbox: mpsc::UnboundedSender<actor::Letter>,
    /// Held by every letter until it has arrived: while there is one, the actor stays.
    on_the_way: Arc<()>,
}

/// The world as its user sees it.
#[derive(Clone, Debug)]
pub struct View {
    pub head: u64,
    pub title: Option<Title>,
    pub template_name: TemplateName,
    pub turn_limit: TurnLimit,
    pub agents: Vec<Agent>,
}

impl WorldCell {
    pub fn new(entry: WorldEntry, name: WorldName, services: Arc<Services>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            id: entry.id,
            user: entry.user,
            name,
            hub: Hub::new(entry.head.head),
            epoch: entry.head.epoch,
            services,
            persistent: AtomicBool::new(entry.persistent),
            gone: AtomicBool::new(false),
            left: Notify::new(),
            desk: Mutex::default(),
            this: this.clone(),
        })
    }

    pub fn is_persistent(&self) -> bool {
        self.persistent.load(Ordering::Relaxed)
    }

    pub fn set_persistent(&self) {
        self.persistent.store(true, Ordering::Relaxed);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Returns when the world was deleted.
    pub async fn until_gone(&self) {
        let left = self.left.notified();
        if !self.is_gone() {
            left.await;
        }
    }

    /// Whether an actor holds the world's state right now.
    pub fn is_loaded(&self) -> bool {
        self.desk.lock().as_ref().is_some_and(|desk| !desk.inbox.is_closed())
    }

    pub fn cursor(&self, seq: u64) -> Cursor {
        Cursor::trusted(format!("{}:{seq}", self.epoch))
    }

    pub fn head_cursor(&self) -> Cursor {
        self.cursor(self.hub.head())
    }

    /// The `seq` to read on from. That the log still reaches back is found out when reading.
    pub fn resume_at(&self, cursor: &Cursor) -> Result<u64, Failure> {
        self.place(cursor, self.hub.head())
    }

    /// The `seq` before which a page ends: the next event's, for the last page.
    pub fn page_before(&self, cursor: &Cursor) -> Result<u64, Failure> {
        self.place(cursor, self.hub.head() + 1)
    }

    fn place(&self, cursor: &Cursor, last: u64) -> Result<u64, Failure> {
        let (epoch, seq) = cursor.as_str().split_once(':').unwrap_or_default();
        if epoch != self.epoch {
            return Err(unresumable(UnresumableReason::Epoch, self.head_cursor()));
        }
        match seq.parse() {
            Ok(seq) if seq <= last => Ok(seq),
            _ => Err(unresumable(UnresumableReason::Future, self.head_cursor())),
        }
    }

    /// As [`WorldCell::resume_at`], and sure that the log reaches back to it.
    pub async fn check_resumable(&self, cursor: &Cursor) -> Result<u64, Failure> {
        let Head { head, floor, .. } = self.services.log.head(self.id).await.map_err(storage)?.ok_or_else(gone)?;
        if self.services.cluster.is_some() && self.resume_at(cursor).is_err() {
            // Another node may have given it out, and the news may be on its way.
            self.reach(head).await?;
        }
        match self.resume_at(cursor)? {
            seq if seq < floor => Err(unresumable(UnresumableReason::Expired, self.head_cursor())),
            seq => Ok(seq),
        }
    }

    /// Does `command`, durably, once for each key of the world's user. Commands are done in the order in which their
    /// futures were first polled.
    pub async fn execute(&self, command: Command, key: Option<IdempotencyKey>) -> Result<Outcome, Failure> {
        self.ask(|answer| actor::Mail::Execute(Box::new(actor::Request { command, key, answer }))).await?
    }

    pub async fn view(&self) -> Result<View, Failure> {
        self.ask(actor::Mail::View).await?
    }

    /// Makes sure that what waits in the log runs: for a starting server.
    pub async fn wake(&self) -> Result<(), Failure> {
        self.view().await.map(drop)
    }

    /// Something was appended up to `head`, by whomever: `records`, or whatever the log says.
    pub fn follow(&self, head: u64, records: Vec<Record>) {
        if self.is_behind(head) {
            self.post(actor::Mail::Follow { head, records, answer: None });
        }
    }

    /// As [`WorldCell::follow`], and returns when subscribers and cursors know of it.
    pub async fn reach(&self, head: u64) -> Result<(), Failure> {
        let follow = |answer| actor::Mail::Follow { head, records: Vec::new(), answer: Some(answer) };
        if self.is_behind(head) { self.ask(follow).await? } else { Ok(()) }
    }

    /// Whether that has to be told to the actor: to the one that is there, or because somebody listens.
    fn is_behind(&self, head: u64) -> bool {
        // No actor starts in between: it would read the log from where the head was.
        let desk = self.desk.lock();
        let loaded = desk.as_ref().is_some_and(|desk| !desk.inbox.is_closed());
        self.hub.head() < head && (loaded || !self.hub.skip_to(head))
    }

    /// Turns wait here, and this node was asked to take them up.
    pub fn take_up(&self, ticket: Ticket, places: [OwnedSemaphorePermit; 2]) {
        self.post(actor::Mail::Ticket(Box::new(Held { ticket, _places: places })));
    }

    /// Ends running replies as interrupted: the drain deadline is over.
    pub async fn interrupt(&self) -> Result<(), Failure> {
        if self.is_loaded() { self.ask(actor::Mail::Interrupt).await? } else { Ok(()) }
    }

    /// Whether turns wait or run.
    pub async fn is_busy(&self) -> bool {
        self.is_loaded() && self.ask(actor::Mail::IsBusy).await.unwrap_or(false)
    }

    /// Stops the actor for good, tells the subscribers, and lets nothing in any more.
    pub async fn close(&self) {
        self.gone.store(true, Ordering::Relaxed);
        if self.is_loaded() {
            let _ = self.ask(actor::Mail::Close).await;
        }
        self.hub.close();
        self.left.notify_waiters();
    }

    async fn ask<T>(&self, mail: impl FnOnce(oneshot::Sender<T>) -> actor::Mail) -> Result<T, Failure> {
        let (sender, answer) = oneshot::channel();
        let mail = mail(sender);
        if self.is_gone() && !matches!(mail, actor::Mail::Close(_)) {
            return Err(gone());
        }
        let sent = self.send(mail);
        let unanswered = || if self.is_gone() { gone() } else { Failure::internal("the world's actor is gone") };
        sent.ok_or_else(unanswered)?;
        answer.await.map_err(|_| unanswered())
    }

    /// Nobody waits for an answer.
    fn post(&self, mail: actor::Mail) {
        if !self.is_gone() {
            let _ = self.send(mail);
        }
    }

    fn send(&self, mail: actor::Mail) -> Option<()> {
        let Desk { inbox, on_the_way } = self.desk();
        inbox.send(actor::Letter { mail, _on_the_way: on_the_way }).ok()
    }

    /// The way to the actor, which is started when there is none.
    fn desk(&self) -> Desk {
        let mut desk = self.desk.lock();
        match &*desk {
            Some(desk) if !desk.inbox.is_closed() => desk.clone(),
            _ => {
                let (inbox, letters) = mpsc::unbounded_channel();
                let new = Desk { inbox, on_the_way: Arc::default() };
                *desk = Some(new.clone());
                if let Some(this) = self.this.upgrade() {
                    tokio::spawn(async move {
                        let _after = Clearing(this.clone());
                        actor::run(this, letters).await;
                    });
                }
                new
            }
        }
    }

    /// The actor asks to leave. Granted if no mail is on its way; the next one gets a new actor.
    pub(super) fn may_leave(&self) -> bool {
        let mut desk = self.desk.lock();
        // This one is held by the desk; every other one by a letter that has not arrived.
        let leave = desk.as_ref().is_none_or(|desk| Arc::strong_count(&desk.on_the_way) == 1);
        if leave {
            *desk = None;
        }
        leave
    }
}

/// Clears the desk when the actor is gone, however it went. What is sent at the moment in which an inbox is dropped can
/// stay in the channel, and goes with its last sender: who waits for an answer would wait for as long as the desk has one.
struct Clearing(Arc<WorldCell>);

impl Drop for Clearing {
    fn drop(&mut self) {
        // Another actor may be there already. What it takes away is dropped when the desk is free again.
        let _left = self.0.desk.lock().take_if(|desk| desk.inbox.is_closed());
    }
}
