//! One WebSocket connection, from its first frame to its close: reads a frame, has the session answer it, delivers
//! what the subscription brings, and flushes once for each wake-up (docs/PERFORMANCE.md).
//!
//! One task does all of it, but that others write events to its [`Line`] while it only waits. That is what keeps an
//! answer ahead of the pushes its request causes, and what makes a client that does not read stop only itself.
//!
//! [`Line`]: super::line::Line

mod receive;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use uuid::Uuid;

use super::{
    Counted, WsState,
    deadlines::{Clock, Deadlines, Due},
    fault::fault,
    socket::Socket,
};
use crate::{
    error::Failure,
    peer::Peer,
    protocol::{
        self, CaughtUp, ClientId, CloseCode, Connected, Draining, FrameId, RetryAfterMs, ServerFrame, ServerMessage,
        SessionToken, Status, StatusCaughtUp, StatusConnected, StatusDraining, codec,
    },
    session::{Revocation, Session},
    shutdown::{Phase, RETRY_AFTER_MS, Shutdown},
    world::{Delivery, Outlet, now, now_ms, timestamp},
};

/// How often a peer that takes nothing is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub struct Connection {
    /// Counts this connection, and leads to what all of them share.
    counted: Counted,
    session: Session,
    socket: Socket,
    peer: Peer,
    client_id: ClientId,
    clock: Clock,
    /// That the server is about to stop.
    told: bool,
}

/// What a connection waits for.
enum Wake {
    Message(Result<Message, Error>),
    Deliveries(Result<Vec<Delivery>, Failure>),
    Timer,
    Phase(Phase),
    Revoked,
}

/// Why a connection is over. `None` as close code: the peer closed, or is gone.
pub(super) struct Over(Option<CloseCode>);

impl Connection {
    pub fn new(counted: Counted, session: Session, socket: Socket, peer: Peer) -> Self {
        Self { counted, session, socket, peer, client_id: Uuid::now_v7(), clock: Clock::new(), told: false }
    }

    /// Runs until either side ends it.
    ///
    /// An idle connection is this future and what hangs on it. So whatever a wake-up does is in futures of its own,
    /// on the heap, and gone when it is done.
    pub async fn run(mut self: Box<Self>, new_token: Option<SessionToken>) {
        let Over(code) = match Box::pin(self.begin(new_token)).await {
            Ok(()) => self.serve().await,
            Err(over) => over,
        };
        Box::pin(self.end(code)).await;
    }

    async fn serve(&mut self) -> Over {
        // Lent while this connection waits.
        let outlet: Arc<dyn Outlet> = self.socket.line().clone();
        let mut timer = std::pin::pin!(sleep_until(Instant::now() + self.deadlines().ping));
        // What is waited for all the time is asked for once, and not anew at every wake-up.
        let mut phase = std::pin::pin!(next_phase(self.state().shutdown.clone()));
        let mut revoked = std::pin::pin!(revoked(self.session.identity.revocation.clone()));
        loop {
            let wake = tokio::select! {
                message = self.socket.next() => Wake::Message(message),
                batch = deliveries(&mut self.session, Some(&outlet)) => Wake::Deliveries(batch),
                () = &mut timer => Wake::Timer,
                (reached, shutdown) = &mut phase => {
                    phase.set(next_phase(shutdown));
                    Wake::Phase(reached)
                }
                () = &mut revoked => Wake::Revoked,
            };
            match Box::pin(self.react(wake)).await {
                Ok(None) => {}
                Ok(Some(next)) => timer.as_mut().reset(next),
                Err(over) => return over,
            }
        }
    }

    /// Does what there is to do, and flushes once. Returns when to wake up by the clock, if that has changed.
    async fn react(&mut self, wake: Wake) -> Result<Option<Instant>, Over> {
        let mut look_again = None;
        match wake {
            Wake::Message(first) => self.receive(first).await?,
            Wake::Deliveries(batch) => self.deliver(batch).await?,
            Wake::Timer => look_again = Some(self.keep_alive()?),
            Wake::Phase(phase) => self.leave(phase).await?,
            Wake::Revoked => return Err(Over(Some(CloseCode::TOKEN))),
        }
        self.flush().await?;
        Ok(look_again)
    }

    async fn begin(&mut self, new_token: Option<SessionToken>) -> Result<(), Over> {
        let user = self.session.identity.user.as_str();
        tracing::info!(client = %self.client_id, user, peer = %self.peer.address, "connected");
        self.greet(new_token).await
    }

    async fn end(&mut self, code: Option<CloseCode>) {
        let patience = self.deadlines().close;
        match code {
            Some(code) => close(&mut self.socket, code, patience).await,
            // The peer's close frame is answered with the next flush.
            None => drop(tokio::time::timeout(patience, self.socket.flush()).await),
        }
        let (user, code) = (self.session.identity.user.as_str(), code.map_or(1000, |code| code.code));
        tracing::info!(client = %self.client_id, user, code, "disconnected");
    }

    fn state(&self) -> &WsState {
        self.counted.state()
    }

    fn deadlines(&self) -> &Deadlines {
        &self.state().deadlines
    }

    async fn greet(&mut self, session_token: Option<SessionToken>) -> Result<(), Over> {
        let data = Connected {
            client_id: self.client_id,
            user_id: self.session.identity.user.clone(),
            server_time: timestamp(now_ms()),
            protocol_version: protocol::VERSION.to_owned(),
            session_token,
        };
        let message = "Connected.".to_owned();
        self.push(Status::Connected(StatusConnected { message, data }))?;
        self.flush().await
    }

    fn answer(&mut self, reply_to: Option<FrameId>, message: ServerMessage) -> Result<(), Over> {
        if matches!(message, ServerMessage::Error(_)) {
            self.state().app.stats.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.make(&frame(reply_to, message))
    }

    fn push(&mut self, message: impl Into<ServerMessage>) -> Result<(), Over> {
        self.make(&frame(None, message.into()))
    }

    /// Adds a frame for this connection to the next flush.
    fn make(&mut self, frame: &ServerFrame) -> Result<(), Over> {
        self.socket.line().text_of(|text| codec::encode_into(frame, text)).map_err(|error| Over(fault(&error)))
    }

    /// Adds encoded bytes to the next flush.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.socket.line().text(bytes).map_err(|error| Over(fault(&error)))
    }

    /// Writes what waits, as long as the peer takes a byte now and then.
    async fn flush(&mut self) -> Result<(), Over> {
        let over = |error| Over(fault(&error));
        if let Some(done) = self.socket.flush().now_or_never() {
            return done.map_err(over);
        }
        let started = Instant::now();
        loop {
            tokio::select! {
                done = self.socket.flush() => return done.map_err(over),
                () = tokio::time::sleep(LOOK_AGAIN) => {
                    let stuck = self.peer.activity.since_write().min(started.elapsed());
                    if stuck >= self.deadlines().stuck {
                        return Err(Over(Some(CloseCode::TOO_SLOW)));
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, batch: Result<Vec<Delivery>, Failure>) -> Result<(), Over> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(failure) => {
                // The stream cannot go on: the client is told, and subscribes anew.
                self.session.unsubscribe();
                return self.push(ServerMessage::Error(failure.into()));
            }
        };
        for delivery in batch {
            match delivery {
                // What everybody gets is put into frames once for all, unless it is a lot to hold for each of them.
                Delivery::Events(batch) if batch.is_small() => self.socket.line().batch(&batch),
                Delivery::Events(batch) => {
                    for (_, push) in &batch.events {
                        self.feed(&push.bytes)?;
                        if self.socket.line().is_full() {
                            self.flush().await?;
                        }
                    }
                }
                Delivery::Delta(bytes) => self.feed(&bytes)?,
                Delivery::CaughtUp(cursor) => {
                    let message = "The replay has reached the live end.".to_owned();
                    self.push(Status::CaughtUp(StatusCaughtUp { message, data: CaughtUp { cursor } }))?;
                }
                Delivery::Gone => {
                    self.session.deselect();
                    return Err(Over(Some(CloseCode::GONE)));
                }
            }
            if self.socket.line().is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Pings a silent peer, and gives up on one that stays silent. Returns when to look again.
    fn keep_alive(&mut self) -> Result<Instant, Over> {
        match self.clock.check(&self.counted.state().deadlines, &self.peer) {
            Due::Later(at) => Ok(at),
            Due::Ping(at) => {
                self.socket.line().ping().map_err(|error| Over(fault(&error)))?;
                Ok(at)
            }
            Due::Over => Err(Over(Some(CloseCode::IDLE))),
        }
    }

    async fn leave(&mut self, phase: Phase) -> Result<(), Over> {
        match phase {
            Phase::Serving => Ok(()),
            Phase::Draining => self.say_draining(),
            Phase::Closing => {
                if !std::mem::take(&mut self.told) {
                    self.say_draining()?;
                }
                // What the drain brought, such as the end of a reply, still goes out.
                while let Some(batch) = deliveries(&mut self.session, None).now_or_never() {
                    self.deliver(batch).await?;
                }
                Err(Over(Some(CloseCode::DRAINING)))
            }
        }
    }

    fn say_draining(&mut self) -> Result<(), Over> {
        self.told = true;
        let data = Draining { retry_after_ms: RetryAfterMs::saturating(RETRY_AFTER_MS) };
        let message = "The server is about to stop.".to_owned();
        self.push(Status::Draining(StatusDraining { message, data }))
    }
}

async fn next_phase(mut shutdown: Shutdown) -> (Phase, Shutdown) {
    (shutdown.changed().await, shutdown)
}

async fn revoked(mut revocation: Revocation) {
    revocation.wait().await;
}

/// What the session's subscription brings; without one, the end of the world that is selected.
async fn deliveries(session: &mut Session, outlet: Option<&Arc<dyn Outlet>>) -> Result<Vec<Delivery>, Failure> {
    if let Some(subscription) = session.subscription() {
        return subscription.next(outlet).await;
    }
    match session.selected() {
        Some(cell) => cell.until_gone().await,
        None => std::future::pending().await,
    }
    Ok(vec![Delivery::Gone])
}

/// Sends a close frame and waits, not for long, until the peer has seen it.
pub(super) async fn close(socket: &mut Socket, code: CloseCode, patience: Duration) {
    let frame = CloseFrame { code: code.code.into(), reason: code.reason.into() };
    let goodbye = async {
        if socket.close(frame).is_ok() && socket.flush().await.is_ok() {
            while socket.next().await.is_ok() {}
        }
    };
    let _ = tokio::time::timeout(patience, goodbye).await;
}

/// A frame made for one connection.
pub(super) fn frame(reply_to: Option<FrameId>, message: ServerMessage) -> ServerFrame {
    let (id, at_ms) = now();
    ServerFrame { id, timestamp: timestamp(at_ms), reply_to, seq: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the future that a function of two arguments returns.
    fn size<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// An idle connection is this future. What a request needs belongs into futures that are boxed while they run.
    #[test]
    fn an_idle_connection_is_small() {
        let run = size(Connection::run);
        assert!(run <= 1_024, "the future of a connection has {run} bytes");
    }
}
