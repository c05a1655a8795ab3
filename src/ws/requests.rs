//! [`Requests`]: what a connection has begun and not answered yet. Sixteen messages that arrive together reach the
//! world together, share an append, and are answered in their order.

use std::collections::VecDeque;

use futures_util::{future::BoxFuture, poll};

use crate::{
    protocol::{ClientFrame, FrameId, ServerMessage, dispatch},
    session::Session,
};

/// Bytes of frames that may be under way at once.
const ENOUGH: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Requests {
    waiting: VecDeque<(FrameId, Answer)>,
    bytes: usize,
}

enum Answer {
    Here(ServerMessage),
    Coming(BoxFuture<'static, ServerMessage>),
}

impl Requests {
    /// Begins a request of `bytes` in a session of its own.
    pub async fn begin(&mut self, mut session: Session, frame: ClientFrame, bytes: usize) {
        let ClientFrame { id, idempotency_key, message, .. } = frame;
        let mut answer: BoxFuture<'static, _> =
            Box::pin(async move { dispatch(&mut session, message, idempotency_key).await });
        // Polling it hands the request to the world; so they arrive there in their order.
        let answer = match poll!(&mut answer) {
            std::task::Poll::Ready(answer) => Answer::Here(answer),
            std::task::Poll::Pending => Answer::Coming(answer),
        };
        self.waiting.push_back((id, answer));
        self.bytes += bytes;
    }

    pub fn are_none(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets them go: what they asked for is done, and nobody is told.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether no more should be begun before some are answered.
    pub fn are_enough(&self) -> bool {
        self.bytes >= ENOUGH
    }

    /// The oldest request, once its answer is there.
    pub async fn next(&mut self) -> Option<(FrameId, ServerMessage)> {
        let Some((id, answer)) = self.waiting.pop_front() else {
            self.bytes = 0;
            return None;
        };
        match answer {
            Answer::Here(answer) => Some((id, answer)),
            Answer::Coming(answer) => Some((id, answer.await)),
        }
    }
}
