//! Against real servers, which tests/cluster/run.sh installs.

mod following;
mod leader;
mod migrate;
mod model;
mod opening;
mod operator;
mod race;
mod renew;
mod secrecy;
mod servers;
mod speed;
mod stopped;
mod tickets;

mod contracted {
    super::contract::contract_tests!(super::fresh, ignore = "needs nats-server: tests/cluster/run.sh");
}

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{JetStream, OpenError, Options};
use crate::log::contract::{self, Opened};
use servers::Servers;

const KEY: [u8; 32] = [9; 32];

/// One server for all tests that harm nothing, for as long as one of them runs.
fn shared() -> Arc<Servers> {
    static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock();
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Servers::start(1));
        *shared = Arc::downgrade(&started);
        started
    })
}

/// A log of its own on these servers.
fn options(url: String, replicas: usize) -> Options {
    let prefix = format!("t{}", Uuid::new_v4().simple());
    Options { prefix: prefix[..12].to_owned(), replicas, ..Options::new(url, KEY) }
}

/// Opens, and tries again while the servers are still starting.
async fn open(options: &Options) -> JetStream {
    let mut attempts = 0;
    loop {
        match JetStream::open(options.clone()).await {
            Ok(opened) => return opened,
            Err(error) if attempts == 100 => panic!("{error}"),
            Err(OpenError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
        attempts += 1;
    }
}

/// Whether tests run at length.
fn long() -> bool {
    std::env::var_os("AW_LONG").is_some()
}

/// For the contract, whose stores are opened by plain functions.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| Handle::current().block_on(work))
}

fn fresh() -> Opened {
    let servers = shared();
    let options = options(servers.url(), 1);
    let store = Arc::new(wait(open(&options)));
    let reopen = move || -> Arc<dyn crate::log::Store> {
        let _running = &servers;
        Arc::new(wait(open(&options)))
    };
    Opened { store, reopen: Box::new(reopen) }
}
