use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The data directory, held by this process alone for as long as the value lives. The kernel
/// releases the lock of a process that dies, however it dies.
pub(super) struct DataDir {
    _lock: File,
    database: PathBuf,
}

impl DataDir {
    /// Makes what is missing: the directory for its owner only (0700), files likewise (0600).
    pub fn hold(path: &Path) -> Result<Self, OpenError> {
        let not_writable = |source: io::Error| OpenError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let lock = private(&path.join("lock")).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(not_writable(error)),
        }
        // The database's own -wal and -shm take the mode of this file.
        let database = database(path);
        private(&database).map_err(not_writable)?;
        File::open(path).and_then(|dir| dir.sync_all()).map_err(not_writable)?;
        // An absolute path: the working directory may change before a connection is reopened.
        let database = fs::canonicalize(database).map_err(not_writable)?;
        Ok(Self { _lock: lock, database })
    }

    pub fn database(&self) -> &Path {
        &self.database
    }
}

/// Where the database of a data directory lies.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("log.db")
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
