//! The embedded storage: one SQLite database in the data directory.
//!
//! One thread writes, with group commit (`writer.rs`, `commit.rs`); a few connections read beside it
//! (`readers.rs`). WAL with `synchronous=FULL`: what is answered is on disk.

mod backup;
mod commit;
mod data_dir;
mod directory;
mod formats;
mod keys;
mod readers;
mod records;
mod run;
mod schema;
pub(in crate::log) mod source;
mod tidy;
mod users;
mod world_log;
mod worlds;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rusqlite::{Connection, Row};
use tokio::time::Instant;

use super::Error;
pub use backup::{BackupError, backup, restore};
pub use source::Source;
pub use writer::Stats;

/// New epochs for all worlds; their keys counted within the old ones.
const RENEW_EPOCHS: &str = "UPDATE worlds SET epoch = lower(hex(randomblob(8))); DELETE FROM keys;";

/// Settings of the embedded storage.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; made if it is missing.
    pub dir: PathBuf,
    /// How long an idempotency key is known.
    pub key_lifetime: Duration,
}

impl Options {
    /// Keys are known for 24 h (docs/PROTOCOL.md §4).
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), key_lifetime: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Why storage could not be opened; for whoever starts the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("data directory {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("data directory {} is not writable: {source}", path.display())]
    NotWritable { path: PathBuf, source: std::io::Error },
    #[error("{} is damaged ({detail}); restore it from a backup", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("{} is a database of something else", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} was written by a newer version: its format is {found}, this one knows up to {known}",
        path.display()
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error(
        "{} was written by an older version: its format is {found}; start this server on it once, which brings it to {known}",
        path.display()
    )]
    Older { path: PathBuf, found: i32, known: i32 },
    #[error("there is no database in {}", path.display())]
    NoDatabase { path: PathBuf },
    #[error("failed to open {}: {source}", path.display())]
    Storage { path: PathBuf, source: rusqlite::Error },
    #[error("failed to start the threads that write and read")]
    NoThread(#[source] std::io::Error),
    #[error("failed to get random bytes from the system: {0}")]
    NoRandomness(getrandom::Error),
}

/// The embedded storage. Dropping it, or [`close`](super::WorldLog::close), commits what waits and releases the
/// data directory.
pub struct Sqlite {
    writer: writer::Writer,
    readers: readers::Readers,
    installation_key: [u8; 32],
    key_lifetime: Duration,
    /// When a probe last succeeded.
    probed: Mutex<Option<Instant>>,
}

impl Sqlite {
    /// Opens the data directory for this process alone. Blocks for some milliseconds; the number of worlds does not
    /// matter, unless what is there is of an older format.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let dir = data_dir::DataDir::hold(&options.dir)?;
        let database = dir.database().to_owned();
        let conn = schema::open(&database)?;
        let installation_key = conn
            .query_row("SELECT key FROM installation", [], |r| r.get(0))
            .map_err(|source| OpenError::Storage { path: database.clone(), source })?;
        let readers = readers::Readers::new(database, schema::connect_reader).map_err(OpenError::NoThread)?;
        let writer = writer::Writer::start(dir, conn, options.key_lifetime).map_err(OpenError::NoThread)?;
        Ok(Self { writer, readers, installation_key, key_lifetime: options.key_lifetime, probed: Mutex::default() })
    }

    /// What the writer did since the start, for metrics.
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// Gives every world a new epoch and forgets all keys: to be called after a backup was
    /// restored, so that no cursor of the lost history resumes in this one (docs/PROTOCOL.md §4).
    pub async fn renew_epochs(&self) -> Result<(), Error> {
        self.writing(|conn| Ok(conn.execute_batch(RENEW_EPOCHS)?)).await
    }

    async fn writing<T, W>(&self, work: W) -> Result<T, Error>
    where
        W: Fn(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.writer.run(work).await
    }

    async fn reading<T, R>(&self, read: R) -> Result<T, Error>
    where
        R: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.readers.run(read).await
    }

    fn keys_since_ms(&self) -> i64 {
        now_ms() - millis(self.key_lifetime)
    }
}

/// SQLite did not do it. The writer says [`Error::Unknown`] by itself where that may not be so.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

/// SQLite's integers are signed. No log gets near the end of either kind.
fn sql(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn seq_of(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
