//! Worlds: the domain. A [`World`] is a pure state machine folded from its log; an actor does the I/O around it; a
//! hub carries its events to subscribers. Nothing here knows axum, a socket or a connection.
//!
//! The way of a message: [`WorldCell::execute`] → actor → [`World::decide`] → log → [`World::apply`] → [`Hub`] →
//! [`Subscription`].

mod actor;
mod cell;
mod command;
mod counters;
mod decide;
mod event;
mod fingerprint;
mod gate;
mod hub;
mod import;
mod load;
mod making;
mod memory;
mod nodes;
mod outbox;
mod presence;
mod publish;
mod refusal;
mod reply;
mod routing;
mod snapshot;
mod state;
mod subscription;
mod template;
mod time;
mod turn;
mod turns;
mod worlds;

#[cfg(test)]
mod tests;

pub use cell::{Services, Settings, View, WorldCell};
pub use command::{AgentChange, Answer, Command, Outcome};
pub use counters::Counters;
pub use decide::{Context, Decision, SecretChange};
pub use event::{Event, Reply, Ticket};
pub use gate::Gate;
pub use hub::Hub;
pub use import::Import;
pub use making::{Wanted, try_out};
pub use nodes::{Announcement, patiently};
pub use outbox::{Batch, Outbox, Outlet};
pub use presence::Presence;
pub use publish::{Filter, Push, publish};
pub use refusal::{gone, not_found, storage, unresumable};
pub use state::World;
pub use subscription::{Delivery, Subscription};
pub use template::{InvalidTemplate, Templates, agents_of, first_events};
pub use time::{now, now_ms, timestamp};
pub use turn::provider_kind;
pub use worlds::{Entered, Worlds};
