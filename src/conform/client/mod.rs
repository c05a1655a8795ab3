//! The kit turned round: it plays a server, with faults, and judges a client that connects (docs/CONFORMANCE.md). The
//! client is a program, the *driver*: it holds one small conversation and says on its standard output what it observes.
//!
//! - [`scenario`]: what a file of `tests/conformance/client/` says.
//! - [`world`]: the world that is played: its log, and the frames that are made of it.
//! - [`stage`]: the connections of the client; every frame of either side is validated here.
//! - [`driver`]: the program under test. [`play`] and [`answer`]: a scenario's steps. [`command`]: many of them, and the broken clients.

mod answer;
pub mod command;
mod driver;
mod play;
pub mod scenario;
mod stage;
mod world;

/// Why a scenario ended early.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The client failed the check of this name, for this reason.
    Failed(String, String),
    /// The scenario or the kit is wrong; nothing is said about the client.
    Kit(String),
}
