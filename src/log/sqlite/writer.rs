use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::commit::Committer;
use super::data_dir::DataDir;
use crate::log::Error;

/// Requests that may wait. A full queue holds the asking tasks, it refuses nobody.
const QUEUE: usize = 1024;

/// The one thread that writes. It takes what waits, runs all of it in one transaction, commits
/// once (one fsync), and only then answers: group commit.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stats: Arc<Counters>,
}

/// What the writer did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests whose effects were committed, or that turned out to have none.
    pub requests: u64,
    /// Transactions they took.
    pub commits: u64,
    /// Batches that storage refused.
    pub failures: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub requests: AtomicU64,
    pub commits: AtomicU64,
    pub failures: AtomicU64,
}

pub(super) enum Message {
    Write(Box<dyn Request>),
    Close,
}

/// A piece of work inside the shared transaction, and whom to tell.
pub(super) trait Request: Send {
    /// On an error its effects are not to be kept. Runs once more when the transaction was taken back.
    fn run(&mut self, conn: &Connection) -> Result<(), Error>;
    fn answer(self: Box<Self>, batch: &Result<(), Error>);
}

struct Pending<W, T> {
    work: W,
    result: Result<T, Error>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<W, T> Request for Pending<W, T>
where
    W: Fn(&Connection) -> Result<T, Error> + Send,
    T: Send,
{
    fn run(&mut self, conn: &Connection) -> Result<(), Error> {
        self.result = (self.work)(conn);
        self.result.as_ref().map(drop).map_err(Error::clone)
    }

    fn answer(self: Box<Self>, batch: &Result<(), Error>) {
        let result = self.result.and_then(|done| batch.clone().map(|()| done));
        // Whoever asked may have left; the effects stand.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    /// Starts the thread; it keeps `dir` locked until it has ended.
    pub fn start(dir: DataDir, conn: Connection, key_lifetime: Duration) -> std::io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let stats = Arc::new(Counters::default());
        let thread = thread::Builder::new().name("log-writer".into()).spawn({
            let stats = stats.clone();
            move || {
                Committer::new(dir.database(), conn, stats, key_lifetime).serve(requests);
                drop(dir);
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)), stats })
    }

    /// Runs `work` in a transaction and answers when that is on disk.
    pub async fn run<W, T>(&self, work: W) -> Result<T, Error>
    where
        W: Fn(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Pending { work, result: Err(Error::Closed), reply };
        self.send(Message::Write(Box::new(request))).await?;
        answer.await.unwrap_or_else(|lost| Err(Error::Unknown(Arc::new(lost))))
    }

    /// Commits what waits, then ends the thread.
    pub async fn close(&self) -> Result<(), Error> {
        // The first to close has the thread to wait for.
        let Some(thread) = self.thread.lock().take() else {
            return Ok(());
        };
        self.send(Message::Close).await?;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        if matches!(ended, Ok(Ok(()))) { Ok(()) } else { Err(Error::Closed) }
    }

    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: read(&self.stats.requests),
            commits: read(&self.stats.commits),
            failures: read(&self.stats.failures),
        }
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        let queue = self.queue.as_ref().ok_or(Error::Closed)?;
        queue.send(message).await.map_err(|_| Error::Closed)
    }
}

/// Waits for what was asked for: a store that was dropped has released its directory.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.get_mut().take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}
