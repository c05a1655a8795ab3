use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{OpenError, formats};

/// "AWLG": tells our database from any other SQLite file.
const APPLICATION_ID: i32 = 0x4157_4c47;

/// Raised by one with each change of the tables below; `open` then takes over what is older (`formats.rs`).
pub(super) const VERSION: i32 = 3;

/// A whole check costs a read of the whole file: done up to this size, in bytes.
const CHECK_UP_TO: u64 = 32 * 1024 * 1024;

/// How long a connection waits for another's lock. There is one writer, so it hardly ever does.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// `worlds.num` is the small number that stands for a world in every other table; it is never
/// reused, so that what `trash` still has to remove cannot belong to a newer world.
const TABLES: &str = "
CREATE TABLE installation(
  one INTEGER PRIMARY KEY CHECK (one = 1),
  key BLOB NOT NULL,
  probed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE users(
  num INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX users_used ON users(used_ms);

CREATE TABLE sessions(
  token BLOB PRIMARY KEY,
  user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions(user);

CREATE TABLE worlds(
  num INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE,
  user INTEGER NOT NULL REFERENCES users,
  name TEXT NOT NULL COLLATE NOCASE,
  template TEXT NOT NULL,
  persistent INTEGER NOT NULL,
  title TEXT,
  created_ms INTEGER NOT NULL,
  epoch TEXT NOT NULL,
  head INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  busy INTEGER NOT NULL,
  UNIQUE(user, name)
) STRICT;
CREATE INDEX worlds_busy ON worlds(id) WHERE busy;
CREATE INDEX worlds_ephemeral ON worlds(id) WHERE NOT persistent;

CREATE TABLE keys(
  world INTEGER NOT NULL,
  key TEXT NOT NULL,
  user TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  answer BLOB NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY(world, key, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_at ON keys(at_ms);

CREATE TABLE secrets(
  world INTEGER NOT NULL REFERENCES worlds ON DELETE CASCADE,
  agent TEXT NOT NULL COLLATE NOCASE,
  secret TEXT NOT NULL,
  PRIMARY KEY(world, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots(
  world INTEGER PRIMARY KEY REFERENCES worlds ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  body BLOB NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

CREATE TABLE trash(
  world INTEGER PRIMARY KEY,
  upto INTEGER NOT NULL,
  whole INTEGER NOT NULL
) STRICT;
";

/// `runs.place` is the world's number and the `seq` of the run's last record in one integer
/// (`run::place`). The rows themselves lie in the order in which they were written: whatever many
/// worlds commit together fills one page after the other. A table in the order of the worlds would
/// have each of them change pages of its own, two to three with each message.
pub(super) const RUNS: &str = "
CREATE TABLE runs(
  num INTEGER PRIMARY KEY,
  place INTEGER NOT NULL UNIQUE,
  records BLOB NOT NULL,
  sum INTEGER NOT NULL
) STRICT;
";

/// A connection to the database, which must exist: after an I/O error a missing file is an error,
/// not a new, empty log.
pub(super) fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = FAST;
         PRAGMA cache_size = -8192;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    Ok(conn)
}

/// A connection that can only read.
pub(super) fn connect_reader(database: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(database)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
    Ok(conn)
}

/// A connection to a database that is to stay as it is, down to the last byte.
pub(super) fn connect_to_read(database: &Path) -> rusqlite::Result<Connection> {
    let conn =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
    Ok(conn)
}

/// The first connection to a database that is only read: recognises and checks it.
pub(super) fn open_to_read(database: &Path) -> Result<Connection, OpenError> {
    let conn = connect_to_read(database).map_err(|error| refusal(database, error))?;
    let (empty, version) = recognise(&conn, database)?;
    if empty {
        return Err(OpenError::NoDatabase { path: database.to_owned() });
    }
    if version < VERSION {
        return Err(OpenError::Older { path: database.to_owned(), found: version, known: VERSION });
    }
    check(&conn, database)?;
    Ok(conn)
}

/// Whether there is nothing in it, and its format.
fn recognise(conn: &Connection, database: &Path) -> Result<(bool, i32), OpenError> {
    let failed = |error| refusal(database, error);
    let application: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0)).map_err(failed)?;
    let version: i32 = conn.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(failed)?;
    let empty: bool =
        conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |r| r.get(0)).map_err(failed)?;
    if !empty && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: database.to_owned() });
    }
    if version > VERSION {
        return Err(OpenError::Newer { path: database.to_owned(), found: version, known: VERSION });
    }
    Ok((empty, version))
}

/// The first connection: recognises the database, checks it, makes or refuses its tables. No work here grows with the
/// number of worlds, but taking over an older format.
pub(super) fn open(database: &Path) -> Result<Connection, OpenError> {
    let failed = |error| refusal(database, error);
    let conn = connect(database).map_err(failed)?;
    let (empty, version) = recognise(&conn, database)?;
    check(&conn, database)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed)?;
    if empty {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(OpenError::NoRandomness)?;
        create(&conn, &key).map_err(failed)?;
    } else if version < VERSION {
        formats::take_over(&conn, version).map_err(failed)?;
    }
    // A file that only lets itself be read is found here, not at the first append.
    conn.execute("UPDATE installation SET probed_ms = probed_ms + 1", []).map_err(failed)?;
    Ok(conn)
}

fn create(conn: &Connection, installation_key: &[u8; 32]) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(RUNS)?;
    tx.execute("INSERT INTO installation VALUES (1, ?1, 0)", [installation_key])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

fn check(conn: &Connection, database: &Path) -> Result<(), OpenError> {
    let failed = |error| refusal(database, error);
    let size = std::fs::metadata(database)
        .map_err(|source| OpenError::NotWritable { path: database.to_owned(), source })?
        .len();
    if size > CHECK_UP_TO {
        return Ok(());
    }
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(failed)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        detail => Err(OpenError::Corrupt { path: database.to_owned(), detail: one_line(detail) }),
    }
}

/// SQLite may quote what it does not understand.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refusal(database: &Path, error: rusqlite::Error) -> OpenError {
    let path = database.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path, detail: one_line(&error.to_string()) }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::NotWritable { path, source: std::io::Error::other(error) }
        }
        _ => OpenError::Storage { path, source: error },
    }
}
