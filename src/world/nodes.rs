//! What nodes that share a log tell each other beside it, and the tasks of a node that listen for it: what is appended
//! by others, tickets for turns that wait, and what replies say while they run elsewhere (docs/SCALING.md).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

use super::{
    actor::Note,
    cell::WorldCell,
    gate::Shares,
    refusal::storage,
    reply::Stretch,
    worlds::{Entered, Worlds},
};
use crate::{
    error::Failure,
    log::{
        Answer, Error, TokenHash, WorldId,
        cluster::{Change, Cluster, Ticket},
    },
    protocol::MessageId,
};

/// How long to wait before what storage refused is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Time that other nodes have to say that somebody uses a world.
const TO_SAY_SO: Duration = Duration::from_secs(1);
/// Stretches of a reply that may wait to be told to other nodes. Who misses one asks for it.
const TOLD: usize = 256;

/// A stretch of a reply's text, from the node that runs it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Heard {
    pub reply: MessageId,
    #[serde(flatten)]
    pub stretch: Stretch,
}

impl Heard {
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(self)
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

/// What is asked of the node that runs a reply. The answer is a [`Heard`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Ask {
    /// Its text, from this code point on.
    Text { reply: MessageId, from: u64 },
    /// Its whole text, and silence for a while: somebody is about to record its end.
    Freeze { reply: MessageId },
}

impl Ask {
    pub fn reply(&self) -> &MessageId {
        match self {
            Self::Text { reply, .. } | Self::Freeze { reply } => reply,
        }
    }

    pub fn to_bytes(&self) -> Bytes {
        to_bytes(self)
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

/// Said to all nodes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "announce", rename_all = "camelCase")]
pub enum Announcement {
    /// A token is void, by its hash.
    Revoked {
        token: TokenHash,
    },
    /// Whoever has somebody in this world says so, or it goes: its grace period is over.
    WhoUses {
        world: WorldId,
    },
    Used {
        world: WorldId,
    },
}

impl Announcement {
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(self)
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

fn to_bytes(message: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(message).unwrap_or_default())
}

/// Something else on the subject, from a newer version perhaps, is passed over.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).inspect_err(|error| tracing::debug!(%error, "another node said something odd")).ok()
}

/// Asks the shared log for something until it answers. `None`: it is closed.
pub async fn patiently<'a, T>(ask: impl Fn() -> Answer<'a, T>) -> Option<T> {
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(Error::Closed) => return None,
            Err(error) => {
                tracing::warn!(%error, "failed to reach the other nodes");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Listens to what other nodes say of one world, as long as it lives.
pub struct Ears(AbortHandle);

impl Ears {
    pub(super) fn open(cluster: Arc<dyn Cluster>, world: WorldId, notes: mpsc::Sender<Note>) -> Self {
        let listening = tokio::spawn(async move {
            let Some(said) = patiently(|| cluster.listen(world)).await else { return };
            let Some(asked) = patiently(|| cluster.answer(world)).await else { return };
            let said = said.filter_map(async |said| Heard::read(&said).map(Note::Heard));
            let mut heard = std::pin::pin!(futures_util::stream::select(said, asked.map(Note::Asked)));
            while let Some(note) = heard.next().await {
                if notes.send(note).await.is_err() {
                    return;
                }
            }
        });
        Self(listening.abort_handle())
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells other nodes what a reply says, in order.
pub struct Voice(mpsc::Sender<Bytes>);

impl Voice {
    pub(super) fn of(cluster: Arc<dyn Cluster>, world: WorldId) -> Self {
        let (told, mut telling) = mpsc::channel(TOLD);
        tokio::spawn(async move {
            while let Some(body) = telling.recv().await {
                let _ = cluster.say(world, body).await;
            }
        });
        Self(told)
    }

    pub fn say(&self, reply: &MessageId, stretch: &Stretch) {
        let _ = self.0.try_send(Heard { reply: reply.clone(), stretch: stretch.clone() }.to_bytes());
    }
}

impl Worlds {
    /// Passes on what is appended, by whomever, to the worlds that are known here. Returns when storage is closed.
    pub async fn follow_log(&self, cluster: &dyn Cluster) {
        let mut changes = cluster.changes();
        // Clients may have come before anybody listened.
        self.look_again().await;
        while let Some(change) = changes.next().await {
            match change {
                Change::Appended { world, records, head, .. } => {
                    if let Some(cell) = self.known(world) {
                        cell.follow(head, records);
                    }
                }
                Change::Deleted { world } => self.forget(&[world]),
                Change::Gap => self.look_again().await,
            }
        }
    }

    /// Something may have been missed.
    async fn look_again(&self) {
        let mut cells = self.all_known();
        while let Some(cell) = cells.pop() {
            match self.services.log.head(cell.id).await {
                Ok(Some(head)) => cell.follow(head.head, Vec::new()),
                Ok(None) => self.forget(&[cell.id]),
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(world = %cell.id, %error, "failed to look at the log");
                    cells.push(cell);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Asks the other nodes whether somebody uses these worlds, and gives them time to say so.
    pub(super) async fn ask_others(&self, unused: &[Arc<WorldCell>]) {
        let Some(cluster) = &self.services.cluster else { return };
        for cell in unused {
            let question = Announcement::WhoUses { world: cell.id };
            if let Err(error) = cluster.announce(question.to_bytes()).await {
                // Without an answer nothing may go.
                tracing::debug!(%error, "failed to ask other nodes");
                self.used_elsewhere(cell.id);
            }
        }
        if !unused.is_empty() {
            tokio::time::sleep(TO_SAY_SO).await;
        }
    }

    /// Whether storage knows a reason why the world must stay: it was made persistent, here without an answer or on another
    /// node; turns wait in it; or something was appended that nobody here has heard of yet.
    pub(super) async fn is_kept(&self, cell: &WorldCell) -> bool {
        match self.services.log.world(cell.id).await {
            Ok(Some(entry)) if entry.persistent => {
                cell.set_persistent();
                true
            }
            Ok(Some(entry)) => {
                if entry.busy {
                    self.take_up(cell).await;
                }
                entry.busy || entry.head.head != cell.hub.head()
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// What other nodes say of worlds to all.
    pub async fn heard(&self, announcement: &Announcement, cluster: &dyn Cluster) {
        match announcement {
            Announcement::WhoUses { world } if self.is_used_here(*world) => {
                let _ = cluster.announce(Announcement::Used { world: *world }.to_bytes()).await;
            }
            Announcement::Used { world } => self.used_elsewhere(*world),
            Announcement::WhoUses { .. } | Announcement::Revoked { .. } => {}
        }
    }

    /// Takes tickets as long as there is room for more, and hands them to their worlds. A user whose turns run here as
    /// many as may gets no further ticket here: worlds that can only wait would take the places of everybody else's.
    /// Returns when the server drains or storage is closed.
    pub async fn take_tickets(&self, cluster: &dyn Cluster, places: usize, per_user: usize) {
        let of_users = Shares::new(per_user);
        let places = Arc::new(Semaphore::new(places));
        while !self.services.draining.load(Ordering::Relaxed) {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Some(ticket) = patiently(|| cluster.next_ticket()).await else { return };
            match self.world_of(&ticket).await {
                Ok(Some(entered)) => {
                    // Dropped, the ticket rests and then goes to whoever has room for this user.
                    if let Ok(of_user) = of_users.of(&entered.cell.user).try_acquire_owned() {
                        entered.cell.take_up(ticket, [place, of_user]);
                    }
                }
                Ok(None) => drop(ticket.done().await),
                Err(failure) => {
                    failure.log();
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn world_of(&self, ticket: &Ticket) -> Result<Option<Entered>, Failure> {
        let entry = self.services.log.world(ticket.world).await.map_err(storage)?;
        // How far its log goes, the world finds out when it takes the ticket up.
        Ok(entry.map(|entry| self.register(entry).0))
    }
}
