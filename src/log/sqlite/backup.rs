//! Backup and restore. A backup is one consistent file, made beside a running server; a restored one gets new epochs,
//! so that no cursor of the history that was lost resumes in this one (docs/PROTOCOL.md §4).

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, Options, RENEW_EPOCHS, Sqlite, data_dir, schema};

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no database in {}; --data-dir says where it is", path.display())]
    NoDatabase { path: PathBuf },
    #[error("{} exists already; nothing was written", path.display())]
    Exists { path: PathBuf },
    #[error("failed to write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: rusqlite::Error },
    #[error("{0}")]
    Open(#[from] OpenError),
}

/// Writes what the data directory `dir` holds into the new file `to`, readable by its owner only. It holds keys, as
/// the data directory does. A server may run meanwhile: the backup has what was committed when it began.
pub fn backup(dir: &Path, to: &Path) -> Result<(), BackupError> {
    let database = data_dir::database(dir);
    if !database.is_file() {
        return Err(BackupError::NoDatabase { path: dir.to_owned() });
    }
    // An empty file is what `VACUUM INTO` may write to; made here, so that it is private from the start.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { path: to.to_owned() },
        _ => BackupError::Write { path: to.to_owned(), source },
    })?;
    let copied = copy(&database, to).map_err(|source| BackupError::Read { path: database, source });
    let synced = copied.and_then(|()| {
        let file = fs::File::open(to).and_then(|file| file.sync_all());
        file.map_err(|source| BackupError::Write { path: to.to_owned(), source })
    });
    if synced.is_err() {
        // Half a backup is none.
        let _ = fs::remove_file(to);
    }
    synced
}

fn copy(database: &Path, to: &Path) -> rusqlite::Result<()> {
    let conn = schema::connect(database)?;
    conn.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(())
}

/// Makes the data directory `dir`, which must not hold a database yet, of the backup `from`, with new epochs.
pub fn restore(from: &Path, dir: &Path) -> Result<(), BackupError> {
    if fs::metadata(data_dir::database(dir)).is_ok_and(|file| file.len() > 0) {
        return Err(BackupError::Exists { path: data_dir::database(dir) });
    }
    check(from).map_err(|source| BackupError::Read { path: from.to_owned(), source })?;
    // Held while it is written, so that no server starts on half of it.
    let held = data_dir::DataDir::hold(dir)?;
    let write = |source| BackupError::Write { path: held.database().to_owned(), source };
    fs::copy(from, held.database()).map_err(write)?;
    let conn = schema::open(held.database())?;
    conn.execute_batch(RENEW_EPOCHS)
        .map_err(|source| BackupError::Read { path: held.database().to_owned(), source })?;
    drop(conn);
    drop(held);
    // What a server would refuse at its start is refused here.
    drop(Sqlite::open(&Options::new(dir))?);
    Ok(())
}

fn check(from: &Path) -> rusqlite::Result<()> {
    let conn = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.query_row("SELECT count(*) FROM worlds", [], |_| Ok(()))
}
