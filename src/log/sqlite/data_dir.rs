use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The data directory, held by this process alone for as long as the value lives. The kernel
/// releases the lock of a process that dies, however it dies.
pub(super) struct DataDir {
    lock: File,
    database: PathBuf,
}

impl DataDir {
    /// Makes what is missing: the directory for its owner only (0700), files likewise (0600).
    pub fn hold(path: &Path) -> Result<Self, OpenError> {
        let not_writable = |source: io::Error| OpenError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            // That something is there would be no reason, were it a directory.
            let file = error.kind() == io::ErrorKind::AlreadyExists;
            not_writable(if file { io::ErrorKind::NotADirectory.into() } else { error })
        })?;
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
        Ok(Self { lock, database })
    }

    pub fn database(&self) -> &Path {
        &self.database
    }
}

/// Given back by name: closing the file is not enough while a process that is being started still
/// has a copy of it, as it has between fork and exec.
impl Drop for DataDir {
    fn drop(&mut self) {
        // What cannot be given back falls with the last copy of the file.
        let _ = self.lock.unlock();
    }
}

/// Where the database of a data directory lies.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("log.db")
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_file_does_not_keep_the_directory() {
        let dir = tempfile::TempDir::new().unwrap();
        let held = DataDir::hold(dir.path()).unwrap();
        let copy = held.lock.try_clone().unwrap();
        assert!(matches!(DataDir::hold(dir.path()), Err(OpenError::InUse { .. })));
        drop(held);
        DataDir::hold(dir.path()).unwrap();
        drop(copy);
    }
}
