//! What nodes that share one log need of each other, beside the log. Only a storage that can be
//! shared has it: [`jetstream`](super::jetstream).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::{Answer, Error, Record, WorldId};

/// Something that happened in the log, whoever did it, this node too.
#[derive(Clone, Debug)]
pub enum Change {
    /// `records` may be empty: then only what stands beside them has changed. Of one world they come
    /// in the order of the log; who finds that one does not follow the last reads the log.
    Appended {
        world: WorldId,
        records: Vec<Record>,
        head: u64,
        /// [`Append::ticket`](super::Append::ticket): turns newly wait.
        ticket: bool,
    },
    Deleted {
        world: WorldId,
    },
    /// Changes may have been missed: read the heads of the worlds that are held.
    Gap,
}

/// Whether the log can be reached from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Connected,
    Away { since: SystemTime, why: String },
}

/// Turns wait in a world, and this node is the one that was asked to take them up. The ticket stays
/// with it for as long as this value lives; dropped without [`Ticket::done`], it goes to another
/// node at once. It is no lock: a node that is cut off loses it after the lease without knowing, so
/// what is done under it must be fenced by appends.
#[derive(Debug)]
pub struct Ticket {
    pub world: WorldId,
    /// Identity: where the append that made it stands in the log of all worlds.
    pub seq: u64,
    /// The world's head after that append.
    pub head: u64,
    /// How often it was handed out, this time included.
    pub delivered: u64,
    /// Until when the lease is known to last.
    pub(super) held_until: Arc<Mutex<Instant>>,
    pub(super) hold: oneshot::Sender<oneshot::Sender<Result<(), Error>>>,
}

impl Ticket {
    /// Whether the lease goes on, as far as is known here. Once it is `false` somebody else may hold the ticket.
    pub fn is_held(&self) -> bool {
        Instant::now() < *self.held_until.lock()
    }

    /// Nothing is left to do. After an error it may be handed out again, which does no harm.
    pub async fn done(self) -> Result<(), Error> {
        let (settled, outcome) = oneshot::channel();
        self.hold.send(settled).map_err(|_| Error::Closed)?;
        outcome.await.unwrap_or(Err(Error::Closed))
    }
}

type Reply = Box<dyn FnOnce(Bytes) -> BoxFuture<'static, ()> + Send>;

/// What another node asked.
pub struct Question {
    pub body: Bytes,
    pub(super) reply: Reply,
}

impl Question {
    /// Once; whether it arrives is not known.
    pub async fn reply(self, body: Bytes) {
        (self.reply)(body).await;
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("body", &self.body).finish_non_exhaustive()
    }
}

/// The nodes of one log. What is said, asked and announced is not stored: who does not listen at
/// that moment never hears it, and who is slow may miss some.
pub trait Cluster: Send + Sync + 'static {
    /// What is appended from now on. Ends only when the storage is closed; reconnects by itself.
    fn changes(&self) -> BoxStream<'static, Change>;

    /// Waits until turns wait somewhere. Of several nodes that wait one gets each. A call that is
    /// dropped loses none.
    fn next_ticket(&self) -> Answer<'_, Ticket>;

    /// To every node that listens to the world.
    fn say(&self, world: WorldId, body: Bytes) -> Answer<'_, ()>;

    fn listen(&self, world: WorldId) -> Answer<'_, BoxStream<'static, Bytes>>;

    /// The first answer of any node that answers for the world. `None` at once when there is none
    /// that does, or after `timeout`.
    fn ask(&self, world: WorldId, body: Bytes, timeout: Duration) -> Answer<'_, Option<Bytes>>;

    fn answer(&self, world: WorldId) -> Answer<'_, BoxStream<'static, Question>>;

    /// To every node, this one too.
    fn announce(&self, body: Bytes) -> Answer<'_, ()>;

    fn announcements(&self) -> Answer<'_, BoxStream<'static, Bytes>>;

    fn state(&self) -> watch::Receiver<Link>;
}
