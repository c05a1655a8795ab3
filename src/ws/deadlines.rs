//! The clocks of one connection: ping, pong, idle, stuck (docs/PROTOCOL.md §8).

use std::time::Duration;

use tokio::time::Instant;

use crate::peer::Peer;

#[derive(Clone, Debug)]
pub struct Deadlines {
    /// Silence after which the server pings.
    pub ping: Duration,
    /// Silence after a ping that ends the connection.
    pub pong: Duration,
    /// Time without a message from the client that ends the connection; none by default.
    pub idle: Option<Duration>,
    /// Time in which a peer that should read takes no byte.
    pub stuck: Duration,
    /// How long the closing handshake may take.
    pub close: Duration,
}

/// The clocks of one connection.
pub struct Clock {
    last_message: Instant,
    pinged: Option<Instant>,
}

/// What is due now.
pub enum Due {
    Later(Instant),
    Ping(Instant),
    Over,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(25),
            pong: Duration::from_secs(10),
            idle: None,
            stuck: Duration::from_secs(30),
            close: Duration::from_secs(2),
        }
    }
}

impl Clock {
    pub fn new() -> Self {
        Self { last_message: Instant::now(), pinged: None }
    }

    /// A message came in.
    pub fn heard(&mut self) {
        self.last_message = Instant::now();
    }

    /// Decides what is due. The connection writes all that waits before it waits itself, so the pong deadline runs; any
    /// byte either way restarts it.
    pub fn check(&mut self, deadlines: &Deadlines, peer: &Peer) -> Due {
        let now = Instant::now();
        let Deadlines { ping, pong, idle, .. } = *deadlines;
        if idle.is_some_and(|idle| now.duration_since(self.last_message) >= idle) {
            return Due::Over;
        }
        let silence = peer.activity.since_read();
        let answered = |pinged: &Instant| now.duration_since(*pinged) > silence;
        if self.pinged.is_some_and(|pinged| answered(&pinged)) {
            self.pinged = None;
        }
        let idle_at = idle.map(|idle| self.last_message + idle);
        let first = |due: Instant| idle_at.map_or(due, |idle_at| due.min(idle_at)).max(now + Duration::from_millis(50));
        let due = match self.pinged {
            Some(_) if silence.min(peer.activity.since_write()) >= pong => return Due::Over,
            Some(_) => now + pong.saturating_sub(silence.min(peer.activity.since_write())),
            None if silence >= ping => {
                self.pinged = Some(now);
                return Due::Ping(first(now + pong));
            }
            None => now + (ping - silence),
        };
        Due::Later(first(due))
    }
}
