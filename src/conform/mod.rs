//! The conformance kit: proves of any server that it speaks this protocol, over the wire alone. Scenarios are data
//! (`tests/conformance/`); docs/CONFORMANCE.md is the page for those who use and write them.
//!
//! - [`scenario`]: what a file says; [`reading`], by its schema's [`definitions`]; [`frame`], [`pattern`], [`value`]: what it expects.
//! - [`stage`]: the choke point. Every frame and body, in both directions, is held against the [`published`] schemas
//!   and the [`standing`] checks there. [`peer`] is one connection below it.
//! - [`play`], [`connect`], [`watch`] and [`request`]: a scenario's steps; [`mod@run`]: many scenarios side by side, against a
//!   [`target`] at a [`host`]. [`greeting`] looks at that first, and [`shell`] starts it.
//! - [`mutant`], [`change`], [`tamper`] and [`proof`]: the broken servers with which the kit proves itself.
//! - [`client`]: the kit turned round, which plays a server and judges a client.
//! - [`report`], [`junit`], [`baseline`]: what comes out.
//!
//! It knows nothing of the server but the published documents.

pub mod baseline;
pub mod change;
pub mod client;
mod connect;
pub mod definitions;
pub mod embedded;
pub mod frame;
mod greeting;
pub mod host;
pub mod junit;
pub mod mutant;
pub mod pattern;
pub mod peer;
pub mod play;
pub mod proof;
pub mod published;
mod reading;
pub mod report;
pub mod request;
pub mod rules;
pub mod run;
pub mod scenario;
mod shell;
pub mod stage;
pub mod standing;
pub mod tamper;
pub mod target;
pub mod value;
mod watch;

mod command;

pub use command::{Options, run};
pub use tamper::{broken, ways};
