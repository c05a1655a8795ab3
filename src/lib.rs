//! Agent World: a protocol-first real-time server for worlds of LLM agents.
//!
//! A tour, from the wire inwards; each layer knows only those below it:
//!
//! - [`ws`] and [`http`]: the transports. They know sessions, and not each other.
//! - [`session`]: what a user does, one method for each client message.
//! - [`world`]: the domain. A world is a state machine folded from its log.
//! - [`log`]: durable logs, and who owns which world. [`provider`]: where replies come from.
//! - [`protocol`]: every message as a type, generated from `schema/`, and the codec.
//!
//! [`conform`] is the conformance kit, which knows of all this only what is published.
//!
//! [`Server`] puts it together; `main.rs` is the command line. docs/ARCHITECTURE.md follows a frame through all of it.

#![forbid(unsafe_code)]
// The pages of modules are for those who read the source, too.
#![allow(rustdoc::private_intra_doc_links)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::todo, clippy::dbg_macro))]

pub mod config;
pub mod conform;
mod demo;
pub mod error;
pub mod frames;
pub mod http;
pub mod listen;
pub mod log;
pub mod peer;
mod problem;
pub mod protocol;
pub mod provider;
mod secret;
mod server;
pub mod session;
pub mod shutdown;
pub mod telemetry;
mod upkeep;
pub mod world;
pub mod ws;

pub use config::Config;
pub use server::{RunError, Server, StartError, shared_log};
