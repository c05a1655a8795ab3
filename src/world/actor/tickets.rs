//! Tickets: where nodes share the log, turns start only on a node that holds one (docs/SCALING.md). A ticket is no
//! lock. What keeps a turn from running twice is the append that claims it; a ticket only sees to it that somebody
//! tries, and that somebody else does when they are gone.

use std::sync::atomic::Ordering;

use super::{Actor, Held};
use crate::{
    protocol::{FinishReason, MessageId},
    world::{event::Event, turns::Ending},
};

impl Actor {
    /// Takes up what the ticket is for.
    pub(super) async fn take_up(&mut self, held: Held) {
        let head = held.ticket.head;
        let known = match self.fresh().await {
            Ok(()) => self.follow(head, &[]).await,
            refused => refused,
        };
        if let Err(failure) = known {
            // Dropped, the ticket comes again, here or elsewhere.
            return failure.log();
        }
        self.tickets.push(held);
        self.schedule();
    }

    /// Under which ticket turns may be claimed here.
    pub(super) fn claim(&self) -> Option<u64> {
        self.tickets.iter().find(|held| held.ticket.is_held()).map(|held| held.ticket.seq)
    }

    /// Ends what was claimed under a ticket that is held here and does not run here: whoever claimed it is gone, or comes
    /// too late from here on. Then hands in the tickets that nothing here needs. Turns that run elsewhere are no reason
    /// to keep one: who runs them holds one of their own, and looks at what waits when they end.
    pub(super) async fn settle_tickets(&mut self) {
        // One that is lost is somebody else's by now.
        self.tickets.retain(|held| held.ticket.is_held());
        if self.tickets.is_empty() || self.stale || self.retry_at.is_some() {
            return;
        }
        let lost = self.lost_turns();
        if !lost.is_empty() {
            for reply in lost {
                tracing::warn!(world = %self.cell.id, reply = reply.as_str(), "turn of a lost node is interrupted");
                let text = self.text_of(&reply);
                self.unrecorded.push((reply, Ending::stopped(text, FinishReason::Interrupted)));
            }
            self.record_ends().await;
            return;
        }
        let runs = !self.running.is_empty() || !self.unrecorded.is_empty();
        let waits = self.world.agents().any(|agent| agent.running.is_none() && !agent.waiting.is_empty());
        if self.cell.services.draining.load(Ordering::Relaxed) && !runs {
            // Other nodes take up what waits.
            return self.tickets.clear();
        }
        // One stands for all that waits, whatever it was made for; the others for what was claimed under them.
        let mut claims: Vec<_> = self.running.keys().filter_map(|reply| self.world.running(reply)?.claim).collect();
        claims.extend(self.tickets.first().filter(|_| runs || waits).map(|held| held.ticket.seq));
        let (kept, done) = self.tickets.drain(..).partition(|held| claims.contains(&held.ticket.seq));
        self.tickets = kept;
        let done: Vec<Held> = done;
        for Held { ticket, _places } in done {
            tokio::spawn(async move {
                if let Err(error) = ticket.done().await {
                    tracing::debug!(%error, "failed to hand in a ticket; it comes again");
                }
            });
        }
    }

    /// Turns that run nowhere: claimed under a ticket that is held here, or, in a log that was one node's before, under
    /// none.
    fn lost_turns(&self) -> Vec<MessageId> {
        let held = |claim: u64| self.tickets.iter().any(|held| held.ticket.seq == claim);
        let claimed = self.world.agents().filter_map(|agent| agent.running.as_ref());
        claimed
            .filter(|turn| turn.claim.is_none_or(held))
            .map(|turn| turn.reply.message_id.clone())
            .filter(|reply| !self.running.contains_key(reply) && !self.is_unrecorded(reply))
            .collect()
    }
}

/// Whether somebody has to take up turns after these events.
pub(super) fn calls_for_a_ticket<'a>(mut events: impl Iterator<Item = &'a Event>) -> bool {
    events.any(|event| matches!(event, Event::Routed { turns, .. } if !turns.is_empty()))
}
