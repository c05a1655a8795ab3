//! What `/health` and `/metrics` count of the server as a whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

/// Seconds over which rates are averaged.
const WINDOW: usize = 60;

#[derive(Debug)]
pub struct Stats {
    started: Instant,
    pub connections_active: AtomicU64,
    pub connections_total: AtomicU64,
    pub frames_in: AtomicU64,
    /// Shared with every connection's way out.
    pub frames_out: Arc<AtomicU64>,
    pub frames_refused: AtomicU64,
    pub requests: AtomicU64,
    pub errors: AtomicU64,
    pub streams_active: AtomicU64,
    pub storage_failing: AtomicBool,
    recent: Mutex<Recent>,
}

/// Messages in each of the last [`WINDOW`] seconds.
#[derive(Debug)]
struct Recent {
    counts: [u64; WINDOW],
    second: u64,
}

impl Stats {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            connections_active: AtomicU64::new(0),
            connections_total: AtomicU64::new(0),
            frames_in: AtomicU64::new(0),
            frames_out: Arc::default(),
            frames_refused: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            streams_active: AtomicU64::new(0),
            storage_failing: AtomicBool::new(false),
            recent: Mutex::new(Recent { counts: [0; WINDOW], second: 0 }),
        }
    }

    pub fn uptime_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Counts `frames` received by one wake-up of a connection.
    pub fn received(&self, frames: u64) {
        self.frames_in.fetch_add(frames, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        let slot = recent.advance(self.started.elapsed().as_secs());
        recent.counts[slot] += frames;
    }

    /// Messages per second over the last minute, or since the start if that was later.
    pub fn received_per_second(&self) -> f64 {
        let mut recent = self.recent.lock();
        recent.advance(self.started.elapsed().as_secs());
        let total: u64 = recent.counts.iter().sum();
        total as f64 / self.uptime_seconds().clamp(1.0, WINDOW as f64)
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Recent {
    /// Empties the seconds that have gone by, and returns the slot of this one.
    fn advance(&mut self, now: u64) -> usize {
        for second in (self.second + 1..=now).take(WINDOW) {
            self.counts[second as usize % WINDOW] = 0;
        }
        self.second = self.second.max(now);
        self.second as usize % WINDOW
    }
}
