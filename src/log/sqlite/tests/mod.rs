mod crash;
mod faults;
mod formats;
mod group_commit;
mod opening;
mod readers;
mod rows;

mod contracted {
    super::contract::contract_tests!(super::fresh);
}

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{OpenError, Options, Sqlite};
use crate::log::contract::{self, Opened};

/// Tells a child process which data directory to work in.
const CHILD_DIR: &str = "AGENT_WORLD_TEST_LOG_DIR";

fn fresh() -> Opened {
    let dir = Arc::new(TempDir::new().unwrap());
    let open = move || open(dir.path()).unwrap();
    Opened { store: Arc::new(open()), reopen: Box::new(move || Arc::new(open())) }
}

fn open(dir: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(&Options::new(dir))
}

/// This test binary again, running only the (ignored) test `path::name` in a process of its own.
fn child(path: &str, name: &str, dir: &Path) -> Command {
    let (_crate, module) = path.split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("{module}::{name}"), "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// Waits until `condition` holds, at most ten seconds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect(what);
}
