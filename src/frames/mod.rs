//! Tools for people who work with frames: they check them, record them between any client and any server, play them
//! again, and play a server from them.
//!
//! - [`mod@line`]: one line of a recording, `schema/recording.json`; what all of them share.
//! - [`validate`]: a verdict on every line.
//! - [`record`]: a proxy that writes down what goes through it.
//! - [`replay`]: plays the client's side of a recording, and compares what the server says.
//! - [`mock`]: the real server, with agents that say what they said in a recording.

pub mod line;
pub mod mock;
pub mod record;
pub mod replay;
pub mod validate;

use std::{io, path::PathBuf};

/// Why a tool could not do its work; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("failed to read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("failed to write {}: {error}", file.display())]
    Unwritable { file: PathBuf, error: io::Error },
    #[error("failed to write the results: {0}")]
    Output(io::Error),
    #[error("{}, line {line}: {reason}", file.display())]
    Line { file: PathBuf, line: u64, reason: String },
    #[error("{} holds no frame", file.display())]
    Empty { file: PathBuf },
    #[error(
        "{url} is not an address of the form http://host:port or ws://host:port/ws (for TLS, use a tunnel or a proxy on this machine)"
    )]
    Address { url: String },
    #[error("no server answers at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    #[error("{0}")]
    Other(String),
}

/// What a tool found out: its exit code is 0 when all is well, 1 when it is not. That it could not work is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Well,
    Ill,
}

/// What is at the bottom of an error: the words that say something.
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
