use std::time::SystemTime;

use async_nats::{Event, ServerError};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::log::cluster::Link;

/// Turns the client's events into what is known of the connection.
pub(super) struct LinkWatch {
    state: watch::Sender<Link>,
    /// The last thing that the client complained of.
    why: Mutex<String>,
}

impl LinkWatch {
    pub fn new() -> (Self, watch::Receiver<Link>) {
        let (state, seen) = watch::channel(Link::Connected);
        (Self { state, why: Mutex::default() }, seen)
    }

    pub fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.why.lock().clear();
                if self.state.send_if_modified(|link| std::mem::replace(link, Link::Connected) != Link::Connected) {
                    tracing::info!("NATS is connected again");
                }
            }
            Event::Disconnected | Event::Closed => {
                let why = match self.why.lock().clone() {
                    none if none.is_empty() => "the connection was lost".to_owned(),
                    why => why,
                };
                let away = Link::Away { since: SystemTime::now(), why };
                let news = self.state.send_if_modified(|link| {
                    let news = *link == Link::Connected;
                    if news {
                        *link = away;
                    }
                    news
                });
                if news {
                    tracing::warn!("NATS is away");
                }
            }
            Event::ServerError(ServerError::Other(why)) => why.clone_into(&mut self.why.lock()),
            Event::ServerError(error) => *self.why.lock() = error.to_string(),
            Event::ClientError(error) => *self.why.lock() = error.to_string(),
            Event::SlowConsumer(_) => tracing::warn!("messages between nodes were dropped: this one is too slow"),
            Event::LameDuckMode | Event::Draining => {}
        }
    }
}
