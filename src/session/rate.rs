//! [`Rates`]: how fast one user may do one thing. A bucket of `burst` tokens that fills at `per_second`.

use std::{collections::HashMap, hash::Hash, time::Instant};

use parking_lot::Mutex;

/// Buckets are forgotten when they are full again, looked for whenever this many are held.
const SWEEP_AT: usize = 1_024;

#[derive(Debug)]
pub struct Rates<K> {
    per_second: f64,
    burst: f64,
    inner: Mutex<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    buckets: HashMap<K, Bucket>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq> Rates<K> {
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, inner: Mutex::new(Inner { buckets: HashMap::new(), sweep_at: SWEEP_AT }) }
    }

    /// Takes one token, or says in how many milliseconds there is one.
    pub fn take(&self, key: K) -> Result<(), u64> {
        self.take_at(key, Instant::now())
    }

    fn take_at(&self, key: K, now: Instant) -> Result<(), u64> {
        let mut inner = self.inner.lock();
        let refilled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + since * self.per_second).min(self.burst)
        };
        if inner.buckets.len() >= inner.sweep_at {
            inner.buckets.retain(|_, bucket| refilled(bucket) < self.burst);
            inner.sweep_at = (inner.buckets.len() * 2).max(SWEEP_AT);
        }
        let bucket = inner.buckets.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = refilled(bucket);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(((1.0 - bucket.tokens) / self.per_second * 1_000.0).ceil() as u64);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate_each_user_alone() {
        let rates = Rates::new(2.0, 3.0);
        let start = Instant::now();
        let taken = |key, ms| rates.take_at(key, start + Duration::from_millis(ms));
        assert_eq!([taken("a", 0), taken("a", 0), taken("a", 0)], [Ok(()); 3]);
        assert_eq!(taken("a", 0), Err(500));
        assert_eq!(taken("b", 0), Ok(()));
        assert_eq!(taken("a", 500), Ok(()));
        assert_eq!(taken("a", 500), Err(500));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let rates = Rates::new(1_000.0, 1.0);
        let start = Instant::now();
        for key in 0..10_000_u64 {
            let _ = rates.take_at(key, start + Duration::from_millis(key));
        }
        assert!(rates.inner.lock().buckets.len() <= 2 * SWEEP_AT);
    }
}
