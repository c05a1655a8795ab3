//! What every test stands on: a server of its own, and clients that believe nothing they did not check.

mod client;
mod http;
mod process;
mod schema;
mod server;
mod upstream;

pub use client::{Client, Frame, Opening, Received};
pub use http::{Answer, Http, SseEvent};
pub use process::{Process, ended, free_port, program, run_to_end, terminate};
pub use schema::schemas;
pub use server::{Host, TestServer, here};
pub use upstream::Upstream;

use std::time::Duration;

/// How long a test waits for something that must come. Only a test that fails waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`, looking again and again; for what has no event of its own.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
