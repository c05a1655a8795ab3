//! Tickets: where nodes share the log, turns start only on a node that holds one (docs/SCALING.md). A ticket is no
//! lock. What keeps a turn from running twice is the append that claims it; a ticket only sees to it that somebody
//! tries, and that somebody else does when they are gone.

use super::{Actor, Held};
use crate::{
    protocol::FinishReason,
    world::{event::Event, turns::Ending},
};

impl Actor {
    /// Takes up what the ticket is for. One that was handed out before closes what was claimed under it: whoever
    /// claimed it is gone, or too late from here on. Any ticket closes what was never claimed: it began on a server that
    /// had its log alone, before the log moved here (`agent-world migrate`), and runs nowhere.
    pub(super) async fn take_up(&mut self, held: Held) {
        let ticket = &held.ticket;
        let known = match self.fresh().await {
            Ok(()) => self.follow(ticket.head, &[]).await,
            refused => refused,
        };
        if let Err(failure) = known {
            // Dropped, the ticket comes again, here or elsewhere.
            return failure.log();
        }
        let lost = |claim: Option<u64>| claim.is_none_or(|claim| claim == ticket.seq && ticket.delivered > 1);
        let cut_off: Vec<_> = self
            .world
            .agents()
            .filter_map(|agent| agent.running.as_ref())
            .filter(|turn| lost(turn.claim))
            .map(|turn| turn.reply.message_id.clone())
            .filter(|reply| !self.running.contains_key(reply) && !self.is_unrecorded(reply))
            .collect();
        for reply in cut_off {
            tracing::warn!(world = %self.cell.id, reply = reply.as_str(), "turn of a lost node is interrupted");
            let text = self.text_of(&reply);
            self.unrecorded.push((reply, Ending::stopped(text, FinishReason::Interrupted)));
        }
        self.tickets.push(held);
        self.record_ends().await;
    }

    /// Whether turns may start here, and under which ticket they are claimed.
    pub(super) fn claim(&self) -> Option<u64> {
        self.tickets.iter().find(|held| held.ticket.is_held()).map(|held| held.ticket.seq)
    }

    /// Hands in the tickets when nothing is left to do for them here. Turns that run elsewhere are no reason to keep
    /// one: who runs them holds one of their own, and looks at what waits when they end.
    pub(super) fn settle_tickets(&mut self) {
        if self.tickets.is_empty() || self.stale {
            return;
        }
        let draining = self.cell.services.draining.load(std::sync::atomic::Ordering::Relaxed);
        let runs = !self.running.is_empty() || !self.unrecorded.is_empty();
        let waits = self.world.agents().any(|agent| agent.running.is_none() && !agent.waiting.is_empty());
        // One that is lost is somebody else's by now.
        self.tickets.retain(|held| held.ticket.is_held());
        if !runs && !waits {
            for Held { ticket, _place } in self.tickets.drain(..) {
                tokio::spawn(async move {
                    if let Err(error) = ticket.done().await {
                        tracing::debug!(%error, "failed to hand in a ticket; it comes again");
                    }
                });
            }
        } else if draining && !runs {
            // Other nodes take up what waits.
            self.tickets.clear();
        }
    }
}

/// Whether somebody has to take up turns after these events.
pub(super) fn calls_for_a_ticket<'a>(mut events: impl Iterator<Item = &'a Event>) -> bool {
    events.any(|event| matches!(event, Event::Routed { turns, .. } if !turns.is_empty()))
}
