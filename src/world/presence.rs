//! Who is in a world, and since when nobody is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many are in a world, and when the last one came or left.
pub(super) struct Usage {
    /// Whether the log had the world after it was known here: then whoever deletes it closes it.
    pub is_there: AtomicBool,
    present: AtomicUsize,
    last: Mutex<Instant>,
    /// When another node last said that somebody is there.
    elsewhere: Mutex<Option<Instant>>,
}

impl Usage {
    pub fn new() -> Self {
        Self {
            is_there: AtomicBool::new(false),
            present: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            elsewhere: Mutex::default(),
        }
    }

    pub fn touch(&self) {
        *self.last.lock() = Instant::now();
    }

    pub fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed) > 0
    }

    /// On this node.
    pub fn used_within(&self, time: Duration) -> bool {
        self.is_present() || self.last.lock().elapsed() < time
    }

    pub fn unused_for(&self, time: Duration) -> bool {
        !self.used_within(time) && self.elsewhere.lock().is_none_or(|last| last.elapsed() >= time)
    }

    pub fn used_elsewhere(&self) {
        *self.elsewhere.lock() = Some(Instant::now());
    }
}

/// Somebody is in the world: a connection that has it selected, an open stream, a request.
pub struct Presence(Arc<Usage>);

impl Presence {
    pub(super) fn new(usage: &Arc<Usage>) -> Self {
        usage.present.fetch_add(1, Ordering::Relaxed);
        usage.touch();
        Self(usage.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.touch();
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}
