//! The worlds that this node remembers something of.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::fold::{Fold, Places};
use crate::log::WorldId;

/// What is remembered of one world; nothing of it is needed, all can be read again.
#[derive(Default)]
pub(super) struct Slot {
    /// Held by who appends or catches up: one at a time. Others' writes are met by compare-and-set.
    pub turn: tokio::sync::Mutex<()>,
    pub fold: Mutex<Option<Fold>>,
    pub places: Mutex<Places>,
    /// The message after which an append may still come in, although nobody waits for it any more:
    /// its answer was lost, or its caller went. Who reads the world closes that first.
    pub doubt: Mutex<Option<u64>>,
    used: AtomicU64,
}

/// A bounded number of slots; the least used are forgotten.
pub(super) struct Slots {
    limit: usize,
    clock: AtomicU64,
    slots: Mutex<HashMap<WorldId, Arc<Slot>>>,
}

impl Slots {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(8), clock: AtomicU64::new(0), slots: Mutex::default() }
    }

    pub fn get(&self, world: WorldId) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots.lock();
        if slots.len() >= self.limit && !slots.contains_key(&world) {
            // An eighth at once, so that it costs little each time.
            let mut ages: Vec<_> = slots.values().map(|slot| slot.used.load(Ordering::Relaxed)).collect();
            let eighth = ages.len() / 8;
            let (_, oldest, _) = ages.select_nth_unstable(eighth);
            let oldest = *oldest;
            slots.retain(|_, slot| slot.used.load(Ordering::Relaxed) > oldest || slot.doubt.lock().is_some());
        }
        let slot = slots.entry(world).or_default();
        slot.used.store(now, Ordering::Relaxed);
        slot.clone()
    }

    pub fn known(&self, world: WorldId) -> Option<Arc<Slot>> {
        self.slots.lock().get(&world).cloned()
    }

    pub fn forget(&self, world: WorldId) {
        // Taken out of the slot too: somebody may be holding it.
        if let Some(slot) = self.slots.lock().remove(&world) {
            *slot.fold.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_least_used_are_forgotten() {
        let slots = Slots::new(16);
        let worlds: Vec<_> = (0..100).map(|_| Uuid::now_v7()).collect();
        for world in &worlds {
            slots.get(worlds[0]);
            slots.get(*world);
            assert!(slots.slots.lock().len() <= 16);
        }
        assert!(slots.known(worlds[0]).is_some() && slots.known(worlds[99]).is_some());
        assert!(slots.known(worlds[1]).is_none());
    }
}
