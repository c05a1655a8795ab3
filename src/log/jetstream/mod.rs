//! The shared storage: many nodes, one NATS JetStream (2.12 or newer).
//!
//! One stream holds the log of all worlds, a message for each append (`batch.rs`), under a subject
//! for each world and kind; compare-and-set on the world's last message decides between writers,
//! wherever they are (`append.rs`, `put.rs`). A second stream holds snapshots, a key-value bucket
//! the directory. What a node remembers of a world (`fold.rs`, `worlds.rs`) can always be read again.
//!
//! What must be fresh is asked of a stream's leader; ranges of records, of any replica.
//! Secrets are sealed (`seal.rs`). docs/ARCHITECTURE.md, *The second log*.

mod address;
mod amend;
mod api;
mod append;
pub(in crate::log) mod arrival;
mod batch;
mod changes;
mod directory;
mod entries;
mod fold;
mod janitor;
mod link;
mod live;
mod names;
mod open;
mod options;
mod ownership;
mod put;
mod read;
mod seal;
mod sessions;
mod snapshots;
mod tickets;
mod truncate;
mod world_log;
mod worlds;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{RwLock, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::{Change, Link};
use super::{Answer, Counts, Error};
pub use options::{OpenError, Options};

/// The shared storage, as one node sees it. [`close`](super::WorldLog::close) or dropping it ends its tasks.
pub struct JetStream {
    core: Arc<Core>,
    tasks: Vec<JoinHandle<()>>,
    /// Held shared by every call; whether the storage is closed.
    closed: RwLock<bool>,
}

/// What calls and tasks share.
struct Core {
    nats: api::Nats,
    names: names::Names,
    options: Options,
    sealer: seal::Sealer,
    slots: worlds::Slots,
    link: watch::Receiver<Link>,
    changes: broadcast::Sender<Change>,
    /// Ends the streams that callers hold.
    ended: CancellationToken,
    tickets: tickets::Waiting,
    /// When a probe last succeeded.
    probed: Mutex<Option<Instant>>,
    counted: Mutex<Option<(Instant, Counts)>>,
}

impl JetStream {
    /// Runs `work` if the storage is open, and keeps it open until then.
    fn call<'a, T>(&'a self, work: impl Future<Output = Result<T, Error>> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            let closed = self.closed.read().await;
            if *closed {
                return Err(Error::Closed);
            }
            work.await
        })
    }

    fn end(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.core.tickets.close();
        self.core.ended.cancel();
    }
}

impl Drop for JetStream {
    fn drop(&mut self) {
        self.end();
    }
}

impl Core {
    /// Keys that were made before this are forgotten.
    fn keys_since_ms(&self) -> i64 {
        now_ms() - i64::try_from(self.options.key_lifetime.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Nothing was written, as far as the failing step goes.
fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    match (&cause as &dyn Any).downcast_ref() {
        Some(api::Failure::TooLarge { .. }) => Error::TooLarge(Arc::new(cause)),
        Some(failure) if !failure.passes() => Error::Storage(Arc::new(cause)),
        _ => Error::Away(Arc::new(cause)),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
