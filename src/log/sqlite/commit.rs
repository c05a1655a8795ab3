use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::schema;
use super::tidy::Tidy;
use super::writer::{Counters, Message, Request};
use crate::log::Error;

/// Requests that share one commit.
const BATCH: usize = 512;
/// Batches after which old rows are removed even though requests wait.
const TIDY_EVERY: u32 = 64;
/// The write-ahead log is cut once it is larger than this, in bytes. SQLite's own checkpoints
/// reuse it from its start, but only at a moment without readers, which a busy server may not have.
const WAL_LIMIT: u64 = 64 * 1024 * 1024;

/// The writing thread's side: takes batches off the queue, commits each once, then answers it.
pub(super) struct Committer {
    database: PathBuf,
    wal: PathBuf,
    /// Absent after an I/O error, until it can be opened again.
    conn: Option<Connection>,
    stats: Arc<Counters>,
    /// So that a full disk is logged once, not once per request.
    failing: bool,
    tidy: Tidy,
}

impl Committer {
    pub fn new(database: &Path, conn: Connection, stats: Arc<Counters>, key_lifetime: Duration) -> Self {
        Self {
            database: database.to_owned(),
            wal: database.with_extension("db-wal"),
            conn: Some(conn),
            stats,
            failing: false,
            tidy: Tidy::new(key_lifetime),
        }
    }

    /// Until all senders are gone, or one said [`Message::Close`].
    pub fn serve(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut untidied = 0;
        loop {
            let idle = queue.is_empty();
            if (idle || untidied >= TIDY_EVERY)
                && let Some(conn) = &self.conn
            {
                untidied = 0;
                if self.tidy.step(conn) && idle {
                    continue;
                }
            }
            if queue.blocking_recv_many(&mut messages, BATCH) == 0 {
                break;
            }
            untidied += 1;
            let mut batch = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(request) => batch.push(request),
                    Message::Close => queue.close(),
                }
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Request>>) {
        let mut done = self.transact(&mut batch, false);
        if matches!(done, Ok(Transacted::TakenBack)) {
            done = self.transact(&mut batch, true);
        }
        let outcome = done.map(|_| ()).map_err(|failure| self.recover(failure));
        match &outcome {
            Ok(()) => {
                self.stats.requests.fetch_add(batch.len() as u64, Ordering::Relaxed);
                self.stats.commits.fetch_add(1, Ordering::Relaxed);
                if self.failing {
                    tracing::info!("storage works again");
                    self.failing = false;
                }
            }
            Err(_) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                self.failing = true;
            }
        }
        for request in batch {
            request.answer(&outcome);
        }
        self.bound_wal();
    }

    /// All of the batch in one transaction. A request that fails takes only its own effects back: for that each needs
    /// a savepoint, which copies every page that it changes. So the batch is first run without (`guarded` false), and
    /// taken back as a whole if a request fails after it has written, which hardly ever happens.
    fn transact(&mut self, batch: &mut [Box<dyn Request>], guarded: bool) -> Result<Transacted, Failure> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            absent => absent.insert(schema::connect(&self.database).map_err(Failure::before)?),
        };
        let execute = |sql: &str| conn.prepare_cached(sql)?.execute([]).map(|_| ());
        let run = |sql: &str| execute(sql).map_err(Failure::before);
        run("BEGIN IMMEDIATE")?;
        for request in batch {
            let written = conn.total_changes();
            if guarded {
                run("SAVEPOINT request")?;
            }
            if let Err(error) = request.run(conn) {
                if conn.is_autocommit() {
                    // SQLite took back the whole transaction, as it does when the disk is full.
                    return Err(Failure { error, in_commit: false });
                }
                if guarded {
                    run("ROLLBACK TO request")?;
                } else if conn.total_changes() != written {
                    run("ROLLBACK")?;
                    return Ok(Transacted::TakenBack);
                }
            }
            if guarded {
                run("RELEASE request")?;
            }
        }
        execute("COMMIT").map_err(Failure::in_commit)?;
        Ok(Transacted::Committed)
    }

    /// Brings the connection back to a state in which the next batch can be tried. Before anyone
    /// is answered: whoever then reads the tail sees what a reopened log holds.
    fn recover(&mut self, failure: Failure) -> Error {
        let Failure { error, in_commit } = failure;
        let cause = match error {
            Error::Storage(cause) | Error::Unknown(cause) => cause,
            other => Arc::new(other),
        };
        if !self.failing {
            tracing::error!(error = %cause, "storage failed");
        }
        // A full disk is met while the transaction's pages are written, before the one that
        // commits; anything else may strike after it.
        let code = cause.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
        let harmless = matches!(code, Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy));
        let rolled_back =
            self.conn.as_ref().is_some_and(|conn| conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok());
        if !(harmless && rolled_back) {
            // Closed first: the new one shall find nothing of the old.
            self.conn = None;
            self.conn = schema::connect(&self.database).ok();
        }
        if in_commit && !harmless { Error::Unknown(cause) } else { Error::Storage(cause) }
    }

    fn bound_wal(&self) {
        let Some(conn) = &self.conn else { return };
        if !std::fs::metadata(&self.wal).is_ok_and(|meta| meta.len() > WAL_LIMIT) {
            return;
        }
        // Readers are short; if one is in the way for longer than this, the next batch tries.
        let cut = conn
            .busy_timeout(Duration::from_millis(200))
            .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = cut.and(conn.busy_timeout(schema::BUSY_TIMEOUT)) {
            tracing::warn!(%error, "failed to cut the write-ahead log");
        }
    }
}

enum Transacted {
    Committed,
    /// A request failed and had written; nothing of the batch is there.
    TakenBack,
}

struct Failure {
    error: Error,
    in_commit: bool,
}

impl Failure {
    fn before(error: rusqlite::Error) -> Self {
        Self { error: error.into(), in_commit: false }
    }

    fn in_commit(error: rusqlite::Error) -> Self {
        Self { error: error.into(), in_commit: true }
    }
}
