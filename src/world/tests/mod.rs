//! The domain without I/O: tables of cases, and one random walk through everything that can happen in a world.

mod actor;
mod agents;
mod cancel;
mod house;
mod hub;
mod live_reply;
mod memory;
mod outbox;
mod outlet;
mod publish;
mod queue;
mod random_walk;
mod retry;
mod routing;
mod snapshot;
mod stage;
mod templates;
mod turns;
