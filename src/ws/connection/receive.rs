//! What comes in: frames are read, requests begun and answered in their order.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Connection, Over, deliveries};
use crate::{
    error::Failure,
    protocol::{self, ClientFrame, ErrorInfo, ServerMessage, codec},
    ws::{fault::fault, requests::Requests},
};

/// Frames handled before what they cause is flushed.
const BATCH: usize = 64;

impl Connection {
    /// Handles a frame, and those that have arrived behind it: requests that may are begun before the first of them is
    /// answered.
    pub(super) async fn receive(&mut self, first: Result<Message, Error>) -> Result<(), Over> {
        let mut next = first;
        let (mut frames, mut messages) = (0, 0);
        let mut requests = Requests::default();
        let handled = loop {
            let message = match next {
                Ok(message) => message,
                Err(error) => break Err(Over(fault(&error))),
            };
            frames += 1;
            // What the peer's library answers by itself says nothing.
            messages += u64::from(matches!(message, Message::Text(_) | Message::Binary(_)));
            if let Err(over) = self.message(message, &mut requests).await {
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
        if messages > 0 {
            self.clock.heard();
            self.state().app.stats.received(messages);
        }
        // What was begun is done, whatever came behind it.
        if !requests.are_none() {
            self.answer_all(&mut requests).await?;
        }
        handled?;
        // Who sends much at once can wait a moment: when other connections are served first, all answers go out in a
        // row, and a process that they go to is woken once and not for each.
        if messages > 1 {
            tokio::task::yield_now().await;
        }
        // What the requests caused goes out behind their answers, in the same flush.
        match deliveries(&mut self.session, None).now_or_never() {
            Some(batch) => self.deliver(batch).await,
            None => Ok(()),
        }
    }

    async fn message(&mut self, message: Message, requests: &mut Requests) -> Result<(), Over> {
        let (reply_to, answer) = match message {
            Message::Text(text) => match codec::decode_client(text.as_str()) {
                Ok(frame) => match self.session.beside(&frame.message) {
                    Some(session) => {
                        requests.begin(session, frame, text.len()).await;
                        if requests.are_enough() {
                            self.answer_all(requests).await?;
                        }
                        return Ok(());
                    }
                    None => {
                        // What it changes, those before it must not see.
                        if !requests.are_none() {
                            self.answer_all(requests).await?;
                        }
                        let ClientFrame { id, idempotency_key, message, .. } = frame;
                        (Some(id), protocol::dispatch(&mut self.session, message, idempotency_key).await)
                    }
                },
                Err(rejection) => (rejection.id.clone(), self.refused(Failure::from(rejection).into())),
            },
            Message::Binary(_) => (None, self.refused(binary_frame())),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) | Message::Frame(_) => return Err(Over(None)),
        };
        if !requests.are_none() {
            self.answer_all(requests).await?;
        }
        self.answer(reply_to, answer)?;
        if self.socket.line().is_full() { self.flush().await } else { Ok(()) }
    }

    fn refused(&self, error: ErrorInfo) -> ServerMessage {
        self.state().app.stats.frames_refused.fetch_add(1, Ordering::Relaxed);
        error.into()
    }

    /// Answers what was begun, in the order in which it was asked.
    async fn answer_all(&mut self, requests: &mut Requests) -> Result<(), Over> {
        while let Some((id, answer)) = requests.next().await {
            let mut given = self.answer(Some(id), answer);
            if given.is_ok() && self.socket.line().is_full() {
                given = self.flush().await;
            }
            if given.is_err() {
                // Nobody is there for the others.
                requests.clear();
                return given;
            }
        }
        Ok(())
    }
}

fn binary_frame() -> ErrorInfo {
    Failure::new(protocol::ErrorCode::InvalidMessage, "frames are text: one JSON object each").into()
}
