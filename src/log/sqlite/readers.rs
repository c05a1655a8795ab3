use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::log::Error;

/// Reads at a time. More wait; they wait for a disk, so more would not be faster.
pub(super) const READERS: usize = 4;

/// A small pool of connections that read beside the writer, on threads that may block.
///
/// The threads are not those of the server's runtime: that one starts another whenever none is idle yet, and so comes
/// to dozens in a burst of short reads, each with a heap of its own.
pub(super) struct Readers {
    threads: Handle,
    running: Mutex<Option<Threads>>,
    pool: Arc<Pool>,
}

/// What the threads belong to. Dropped, it ends them without waiting: a task may do that, and must not block.
struct Threads(Option<Runtime>);

type Connect = fn(&Path) -> rusqlite::Result<Connection>;

struct Pool {
    database: PathBuf,
    connect: Connect,
    /// Never more than `READERS`.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Threads and connections are made when they are needed.
    pub fn new(database: PathBuf, connect: Connect) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().max_blocking_threads(READERS).thread_name("log-reader").build()?;
        let pool = Arc::new(Pool { database, connect, idle: Mutex::default() });
        let threads = runtime.handle().clone();
        Ok(Self { threads, running: Mutex::new(Some(Threads(Some(runtime)))), pool })
    }

    /// Runs `read` on one consistent state of the database.
    pub async fn run<R, T>(&self, read: R) -> Result<T, Error>
    where
        R: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let pool = self.pool.clone();
        // What nobody waits for any more is not begun.
        let done = AbortOnDropHandle::new(self.threads.spawn_blocking(move || pool.read(read)));
        // Not run at all: the storage is closed.
        done.await.unwrap_or(Err(Error::Closed))
    }

    /// Waits for the reads that run, refuses later ones, and closes the connections.
    pub async fn close(&self) {
        let running = self.running.lock().take();
        // Ends the threads and waits for them. It is not run at all when the server's runtime ends, too.
        let _ = tokio::task::spawn_blocking(move || running.map(Threads::join)).await;
        self.pool.idle.lock().clear();
    }
}

impl Threads {
    /// Waits for what they do.
    fn join(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
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
