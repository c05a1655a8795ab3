//! One WebSocket connection, from its first frame to its close: reads a frame, has the session answer it, delivers
//! what the subscription brings, and flushes once for each wake-up (docs/PERFORMANCE.md).
//!
//! One task does all of it. That is what keeps an answer ahead of the pushes its request causes, and what makes a
//! client that does not read stop only itself.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    deadlines::{Clock, Deadlines, Due},
    fault::fault,
};
use crate::{
    error::Failure,
    peer::Peer,
    protocol::{
        self, CaughtUp, ClientId, CloseCode, Connected, Draining, ErrorInfo, FrameId, RetryAfterMs, ServerFrame,
        ServerMessage, SessionToken, Status, StatusCaughtUp, StatusConnected, StatusDraining, codec,
    },
    session::{App, Revocation, Session},
    shutdown::{Phase, RETRY_AFTER_MS, Shutdown},
    world::{Delivery, now_ms, timestamp},
};

/// Frames handled before what they cause is flushed.
const BATCH: usize = 64;

pub struct Connection {
    app: Arc<App>,
    session: Session,
    socket: WebSocket,
    peer: Peer,
    client_id: ClientId,
    shutdown: Shutdown,
    clock: Clock,
    revoked: Revocation,
    /// That the server is about to stop.
    told: bool,
}

/// Why a connection is over. `None` as close code: the peer closed, or is gone.
pub(super) struct Over(Option<CloseCode>);

impl Connection {
    pub fn new(
        app: Arc<App>,
        session: Session,
        socket: WebSocket,
        peer: Peer,
        shutdown: Shutdown,
        deadlines: Deadlines,
    ) -> Self {
        let client_id = Uuid::now_v7();
        let revoked = session.identity.revocation.clone();
        Self { app, session, socket, peer, client_id, shutdown, clock: Clock::new(deadlines), revoked, told: false }
    }

    /// Runs until either side ends it.
    pub async fn run(mut self, new_token: Option<SessionToken>) {
        let (client, user) = (self.client_id, self.session.identity.user.clone());
        tracing::info!(client = %client, user = user.as_str(), peer = %self.peer.address, "connected");
        let Over(code) = self.serve(new_token).await;
        match code {
            Some(code) => close(&mut self.socket, code, self.clock.deadlines.close).await,
            // The peer's close frame is answered with the next flush.
            None => drop(tokio::time::timeout(self.clock.deadlines.close, self.socket.flush()).await),
        }
        let code = code.map_or(1000, |code| code.code);
        tracing::info!(client = %client, user = user.as_str(), code, "disconnected");
    }

    async fn serve(&mut self, new_token: Option<SessionToken>) -> Over {
        match self.greet(new_token).await {
            Ok(()) => {}
            Err(over) => return over,
        }
        let mut timer = Box::pin(sleep_until(Instant::now() + self.clock.deadlines.ping));
        loop {
            let next = tokio::select! {
                frame = self.socket.next() => self.receive(frame).await,
                batch = deliveries(&mut self.session) => self.deliver(batch).await,
                () = &mut timer => {
                    match self.keep_alive().await {
                        Ok(next) => {
                            timer.as_mut().reset(next);
                            Ok(())
                        }
                        Err(over) => Err(over),
                    }
                }
                phase = self.shutdown.changed() => self.leave(phase).await,
                () = self.revoked.wait() => Err(Over(Some(CloseCode::TOKEN))),
            };
            let flushed = match next {
                Ok(()) => self.flush().await,
                Err(over) => Err(over),
            };
            if let Err(over) = flushed {
                return over;
            }
        }
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
        self.push(ServerMessage::Status(Status::Connected(StatusConnected { message, data }))).await?;
        self.flush().await
    }

    /// Handles a frame, and those that have arrived behind it.
    async fn receive(&mut self, first: Option<Result<Message, axum::Error>>) -> Result<(), Over> {
        let mut next = first;
        let (mut frames, mut messages) = (0, 0);
        let handled = loop {
            let message = match next {
                None => break Err(Over(None)),
                Some(Err(error)) => break Err(Over(fault(&error))),
                Some(Ok(message)) => message,
            };
            frames += 1;
            // What the peer's library answers by itself says nothing.
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                self.clock.heard();
                messages += 1;
            }
            if let Err(over) = self.message(message).await {
                break Err(over);
            }
            if frames == BATCH {
                break Ok(());
            }
            match self.socket.next().now_or_never() {
                Some(more) => next = more,
                None => break Ok(()),
            }
        };
        self.app.stats.received(messages);
        handled?;
        // What the requests caused goes out behind their answers, in the same flush.
        match deliveries(&mut self.session).now_or_never() {
            Some(batch) => self.deliver(batch).await,
            None => Ok(()),
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), Over> {
        match message {
            Message::Text(text) => {
                let (reply_to, answer) = match codec::decode_client(text.as_str()) {
                    Ok(frame) => {
                        let id = frame.id.clone();
                        (Some(id), protocol::dispatch(&mut self.session, frame).await)
                    }
                    Err(rejection) => {
                        self.app.stats.frames_refused.fetch_add(1, Ordering::Relaxed);
                        let id = rejection.id.clone();
                        (id, ServerMessage::Error(Failure::from(rejection).into()))
                    }
                };
                self.answer(reply_to, answer).await
            }
            Message::Binary(_) => {
                self.app.stats.frames_refused.fetch_add(1, Ordering::Relaxed);
                self.answer(None, ServerMessage::Error(binary_frame())).await
            }
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(Over(None)),
        }
    }

    async fn answer(&mut self, reply_to: Option<FrameId>, message: ServerMessage) -> Result<(), Over> {
        if matches!(message, ServerMessage::Error(_)) {
            self.app.stats.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.send(frame(reply_to, message)).await
    }

    async fn push(&mut self, message: ServerMessage) -> Result<(), Over> {
        self.send(frame(None, message)).await
    }

    async fn send(&mut self, frame: ServerFrame) -> Result<(), Over> {
        self.feed(codec::encode(&frame)).await
    }

    /// Queues encoded bytes for the next flush.
    async fn feed(&mut self, bytes: Bytes) -> Result<(), Over> {
        self.app.stats.frames_out.fetch_add(1, Ordering::Relaxed);
        let text = axum::extract::ws::Utf8Bytes::try_from(bytes).map_err(|_| Over(None))?;
        let mut feed = std::pin::pin!(self.socket.feed(Message::Text(text)));
        progress(&self.peer, &self.clock.deadlines, &mut feed).await
    }

    async fn flush(&mut self) -> Result<(), Over> {
        let mut flush = std::pin::pin!(self.socket.flush());
        progress(&self.peer, &self.clock.deadlines, &mut flush).await
    }

    async fn deliver(&mut self, batch: Result<Vec<Delivery>, Failure>) -> Result<(), Over> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(failure) => {
                // The stream cannot go on: the client is told, and subscribes anew.
                self.session.unsubscribe();
                return self.push(ServerMessage::Error(failure.into())).await;
            }
        };
        for delivery in batch {
            match delivery {
                Delivery::Frame { bytes, .. } => self.feed(bytes).await?,
                Delivery::CaughtUp(cursor) => {
                    let message = "The replay has reached the live end.".to_owned();
                    let status = Status::CaughtUp(StatusCaughtUp { message, data: CaughtUp { cursor } });
                    self.push(ServerMessage::Status(status)).await?;
                }
                Delivery::Gone => {
                    self.session.deselect();
                    return Err(Over(Some(CloseCode::GONE)));
                }
            }
        }
        Ok(())
    }

    /// Pings a silent peer, and gives up on one that stays silent. Returns when to look again.
    async fn keep_alive(&mut self) -> Result<Instant, Over> {
        match self.clock.check(&self.peer) {
            Due::Later(at) => Ok(at),
            Due::Ping(at) => {
                let mut feed = std::pin::pin!(self.socket.feed(Message::Ping(Bytes::new())));
                progress(&self.peer, &self.clock.deadlines, &mut feed).await?;
                Ok(at)
            }
            Due::Over => Err(Over(Some(CloseCode::IDLE))),
        }
    }

    async fn leave(&mut self, phase: Phase) -> Result<(), Over> {
        match phase {
            Phase::Serving => Ok(()),
            Phase::Draining => self.say_draining().await,
            Phase::Closing => {
                if !std::mem::take(&mut self.told) {
                    self.say_draining().await?;
                }
                // What the drain brought, such as the end of a reply, still goes out.
                while let Some(batch) = deliveries(&mut self.session).now_or_never() {
                    self.deliver(batch).await?;
                }
                Err(Over(Some(CloseCode::DRAINING)))
            }
        }
    }

    async fn say_draining(&mut self) -> Result<(), Over> {
        self.told = true;
        let data = Draining { retry_after_ms: RetryAfterMs::saturating(RETRY_AFTER_MS) };
        let message = "The server is about to stop.".to_owned();
        self.push(ServerMessage::Status(Status::Draining(StatusDraining { message, data }))).await
    }
}

/// What the session's subscription brings; never, without one.
async fn deliveries(session: &mut Session) -> Result<Vec<Delivery>, Failure> {
    match session.subscription() {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for `write`, as long as the peer takes a byte now and then.
async fn progress(
    peer: &Peer,
    deadlines: &Deadlines,
    write: &mut (impl Future<Output = Result<(), axum::Error>> + Unpin),
) -> Result<(), Over> {
    if let Some(done) = write.now_or_never() {
        return done.map_err(|error| Over(fault(&error)));
    }
    let started = Instant::now();
    loop {
        tokio::select! {
            done = &mut *write => return done.map_err(|error| Over(fault(&error))),
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                let stuck = peer.activity.since_write().min(started.elapsed());
                if stuck >= deadlines.stuck {
                    return Err(Over(Some(CloseCode::TOO_SLOW)));
                }
            }
        }
    }
}

/// Sends a close frame and waits, not for long, until the peer has seen it.
pub(super) async fn close(socket: &mut WebSocket, code: CloseCode, patience: Duration) {
    let frame = CloseFrame { code: code.code, reason: code.reason.into() };
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(patience, goodbye).await;
}

/// A frame made for one connection.
pub(super) fn frame(reply_to: Option<FrameId>, message: ServerMessage) -> ServerFrame {
    ServerFrame { id: Uuid::now_v7(), timestamp: timestamp(now_ms()), reply_to, seq: None, message }
}

fn binary_frame() -> ErrorInfo {
    Failure::new(protocol::ErrorCode::InvalidMessage, "frames are text: one JSON object each").into()
}
