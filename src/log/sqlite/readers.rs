use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::log::Error;

/// Reads at a time. More wait; they wait for a disk, so more would not be faster.
const READERS: usize = 4;

/// A small pool of connections that read beside the writer, on threads that may block.
pub(super) struct Readers {
    slots: Arc<Semaphore>,
    pool: Arc<Pool>,
}

type Connect = fn(&Path) -> rusqlite::Result<Connection>;

struct Pool {
    database: PathBuf,
    connect: Connect,
    /// Never more than `READERS`.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(database: PathBuf, connect: Connect) -> Self {
        let pool = Arc::new(Pool { database, connect, idle: Mutex::default() });
        Self { slots: Arc::new(Semaphore::new(READERS)), pool }
    }

    /// Runs `read` on one consistent state of the database.
    pub async fn run<R, T>(&self, read: R) -> Result<T, Error>
    where
        R: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = pool.read(read);
            drop(slot);
            result
        });
        // Not run at all: the runtime is shutting down.
        done.await.unwrap_or(Err(Error::Closed))
    }

    /// Waits for the reads that run, refuses later ones, and closes the connections.
    pub async fn close(&self) {
        if let Ok(all) = self.slots.acquire_many(READERS as u32).await {
            self.slots.close();
            drop(all);
        }
        self.pool.idle.lock().clear();
    }
}

impl Pool {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle.lock().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => (self.connect)(&self.database)?,
        };
        let snapshot = conn.unchecked_transaction()?;
        let result = read(&snapshot);
        drop(snapshot);
        // A connection that failed is not used again: the next read opens a new one.
        if !matches!(result, Err(Error::Storage(_))) {
            self.idle.lock().push(conn);
        }
        result
    }
}
