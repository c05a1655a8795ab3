//! What `/health` and `/metrics` count of worlds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::event::Event;
use crate::protocol::FinishReason;

#[derive(Debug, Default)]
pub struct Counters {
    pub events: AtomicU64,
    pub messages: AtomicU64,
    pub replies_started: AtomicU64,
    pub replies_failed: AtomicU64,
    pub replies_ended: AtomicU64,
}

impl Counters {
    pub(super) fn event(&self, event: &Event) {
        self.events.fetch_add(1, Ordering::Relaxed);
        match event {
            Event::Message { .. } => self.messages.fetch_add(1, Ordering::Relaxed),
            Event::ReplyStarted { .. } => self.replies_started.fetch_add(1, Ordering::Relaxed),
            Event::ReplyEnded { finish_reason, .. } => {
                if *finish_reason == FinishReason::Error {
                    self.replies_failed.fetch_add(1, Ordering::Relaxed);
                }
                self.replies_ended.fetch_add(1, Ordering::Relaxed)
            }
            _ => 0,
        };
    }
}
