//! Moves everything from a data directory into the shared log, so that clients notice nothing: users, sessions, worlds
//! with their ids, epochs, records and keys stay what they are.
//!
//! It may be interrupted at any point and begun again. A world that is there is complete (`jetstream/arrival.rs`); what
//! is not is made anew. At the end every world is read back and held to the data directory (`verify.rs`).

mod verify;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;

use super::jetstream::arrival::Brought;
use super::jetstream::{self, JetStream};
use super::sqlite::{self, Source};
use super::{Error, Limit, WorldEntry, WorldId};

/// Worlds that are moved at the same time.
const WORLDS: usize = 8;
/// Users and sessions likewise.
const SMALL: usize = 32;
/// Records read at once.
const PAGE: Limit = Limit { records: 1024, bytes: 1024 * 1024 };

/// Why nothing more could be moved. What was moved stays, and is skipped the next time.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    From(#[from] sqlite::OpenError),
    #[error(transparent)]
    To(#[from] jetstream::OpenError),
    #[error("failed to read the data directory: {}", whole(.0))]
    Read(#[source] Error),
    #[error("failed to write to NATS: {}; begun again, this goes on where it was", whole(.0))]
    Write(#[source] Error),
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// That came now, as in the next ones.
    pub users: u64,
    pub sessions: u64,
    pub worlds: u64,
    pub records: u64,
    pub keys: u64,
    /// Worlds that were there already.
    pub skipped: u64,
    /// Users, sessions and worlds that had come before, and were removed there since.
    pub gone: u64,
    /// Records that were read back and are the same, of all worlds.
    pub verified: u64,
    /// What could not be moved, by name, and why. Empty: everything is there.
    pub problems: Vec<String>,
    pub seconds: f64,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// False while things come, true while they are read back.
    pub verifying: bool,
    pub worlds: u64,
    pub of_worlds: u64,
    pub records: u64,
}

/// Moves everything. The data directory is held meanwhile, and only read.
///
/// # Errors
/// When one of the two cannot be used (any more). What stands in the way of single worlds is in the report.
pub async fn migrate(
    from: &sqlite::Options,
    to: jetstream::Options,
    told: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, Failure> {
    let begun = Instant::now();
    let from = Source::open(from)?;
    let to = JetStream::open_beside(to).await?;
    let moved_before = to.moved(from.installation_key()).await.map_err(Failure::Write)?.unwrap_or(i64::MIN);
    let of_worlds = from.counts().await.map_err(Failure::Read)?.worlds;
    let mover = Mover { from, to, told, moved_before, of_worlds, done: Done::default(), left_out: Mutex::default() };
    mover.users().await?;
    mover.sessions().await?;
    mover.each_world(false).await?;
    mover.done.reset();
    mover.each_world(true).await?;
    mover.report(begun).await
}

/// What is counted.
#[derive(Default)]
struct Done {
    users: AtomicU64,
    sessions: AtomicU64,
    worlds: AtomicU64,
    records: AtomicU64,
    keys: AtomicU64,
    skipped: AtomicU64,
    gone: AtomicU64,
    problems: Mutex<Vec<String>>,
    /// Of this pass, for the progress.
    seen: (AtomicU64, AtomicU64),
}

impl Done {
    fn reset(&self) {
        self.seen.0.store(0, Ordering::Relaxed);
        self.seen.1.store(0, Ordering::Relaxed);
    }
}

struct Mover<'a> {
    from: Source,
    to: JetStream,
    told: &'a (dyn Fn(Progress) + Send + Sync),
    /// What was made up to then came before: what of it is not there was removed there, and does not come again.
    moved_before: i64,
    of_worlds: u64,
    done: Done,
    /// Worlds that are not there, as the report says.
    left_out: Mutex<std::collections::HashSet<WorldId>>,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Mover<'_> {
    async fn users(&self) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            let page = self.from.users(after).await.map_err(Failure::Read)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.num;
            let bring = |user: sqlite::source::User| async move {
                let came = user.created_ms <= self.moved_before;
                if came && !self.to.knows_user(&user.user).await? {
                    count(&self.done.gone, 1);
                } else if self.to.bring_user(&user.user, user.created_ms, user.used_ms).await? {
                    count(&self.done.users, 1);
                }
                Ok(())
            };
            let all = stream::iter(page).map(bring).buffer_unordered(SMALL).try_collect::<()>();
            all.await.map_err(Failure::Write)?;
        }
    }

    async fn sessions(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.from.sessions(after).await.map_err(Failure::Read)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.token);
            let bring = |session: sqlite::source::Session| async move {
                let came = session.created_ms <= self.moved_before;
                let brought = match came {
                    true => self.to.find_token(&session.user, session.token).await?,
                    false => self.to.bring_session(&session.user, session.token).await?,
                };
                match brought {
                    Brought::New => count(&self.done.sessions, 1),
                    Brought::Known => {}
                    Brought::Gone => count(&self.done.gone, 1),
                    Brought::Clash => {
                        self.problem(format!("a session of {}: its token is another user's", session.user))
                    }
                }
                Ok(())
            };
            let all = stream::iter(page).map(bring).buffer_unordered(SMALL).try_collect::<()>();
            all.await.map_err(Failure::Write)?;
        }
    }

    /// One pass over the worlds: brings them, or verifies them.
    async fn each_world(&self, verifying: bool) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.from.worlds(after).await.map_err(Failure::Read)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let one = |entry: WorldEntry| async move {
                if verifying {
                    self.verify(entry).await?;
                } else {
                    self.bring(entry).await?;
                }
                count(&self.done.seen.0, 1);
                self.tell(verifying);
                Ok::<_, Failure>(())
            };
            stream::iter(page).map(one).buffer_unordered(WORLDS).try_collect::<()>().await?;
        }
    }

    fn tell(&self, verifying: bool) {
        let (worlds, records) = (self.done.seen.0.load(Ordering::Relaxed), self.done.seen.1.load(Ordering::Relaxed));
        (self.told)(Progress { verifying, worlds, of_worlds: self.of_worlds, records });
    }

    fn problem(&self, problem: String) {
        self.done.problems.lock().push(problem);
    }

    /// A world that is not there, and why.
    fn leave_out(&self, entry: &WorldEntry, why: &str) {
        self.left_out.lock().insert(entry.id);
        self.problem(format!("world {} of {} ({}): {why}", entry.name, entry.user, entry.id));
    }

    async fn report(self, begun: Instant) -> Result<Report, Failure> {
        let problems = std::mem::take(&mut *self.done.problems.lock());
        if problems.is_empty() {
            let youngest = self.from.youngest_ms().await.map_err(Failure::Read)?;
            let noted = self.to.note_moved(self.from.installation_key(), youngest);
            noted.await.map_err(Failure::Write)?;
        }
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let done = &self.done;
        Ok(Report {
            users: get(&done.users),
            sessions: get(&done.sessions),
            worlds: get(&done.worlds),
            records: get(&done.records),
            keys: get(&done.keys),
            skipped: get(&done.skipped),
            gone: get(&done.gone),
            verified: get(&done.seen.1),
            problems,
            seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        })
    }
}

/// An error with what caused it, in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    text
}

/// Before all others.
fn no_key() -> (String, String) {
    (String::new(), String::new())
}

/// A page of keys ends at this one.
fn last_key(keys: &[super::KeyWrite]) -> Option<(String, String)> {
    keys.last().map(|key| (key.key.clone(), key.user.clone()))
}
