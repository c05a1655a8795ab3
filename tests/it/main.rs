//! The server as its users see it: over WebSocket and HTTP, in this process and as a program of its own.
//!
//! Every frame and body that a test receives is held to `schema/` by [`support`]; a test says only what it means.

mod agents;
mod assets;
mod cancel;
mod cors;
mod demo;
mod documents;
mod first_conversation;
mod floor;
mod frames;
mod handshake;
mod health;
mod history;
mod http_chat;
mod http_routes;
mod idempotency;
mod isolation;
mod limits;
mod messages;
mod models;
mod record;
mod regressions;
mod replay;
mod restart;
mod resume;
mod secrets;
mod support;
mod transfer;
mod validate;
mod worlds;
