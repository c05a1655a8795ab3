//! Reads the body of a request: not more than may come, and not for longer than something comes.

use std::{mem, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{error::Failure, protocol::ErrorCode, shutdown::RETRY_AFTER_MS};

/// Room for the bodies of several requests together, in [`UNIT`]s.
pub struct Room(Arc<Semaphore>);

/// Bytes for which one permit of a [`Room`] stands.
const UNIT: usize = 64 * 1024;

impl Room {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Room for so many bytes more than `taken`. Nobody waits for it: two that wait for each other would wait for ever.
    fn take(&self, bytes: usize, taken: &mut Option<OwnedSemaphorePermit>) -> Result<(), Failure> {
        let held = taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(UNIT).saturating_sub(held)).unwrap_or(u32::MAX);
        let more = self.0.clone().try_acquire_many_owned(more).map_err(|_| {
            let text = "others send as much as there is room for at the same time";
            Failure::new(ErrorCode::Overloaded, text).retry_after_ms(RETRY_AFTER_MS)
        })?;
        match taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

/// A body, and the room that it takes for as long as this is held.
pub struct Read {
    pub bytes: Bytes,
    pub room: Option<OwnedSemaphorePermit>,
}

/// `limit` in bytes; within `patience` some have to come. In `room` a body takes what has come of it, and no more:
/// who sends slowly keeps nobody out.
pub async fn read(body: Body, limit: usize, patience: Duration, room: Option<&Room>) -> Result<Read, Failure> {
    let mut body = Limited::new(body, limit);
    let (mut pieces, mut taken) = (Pieces::default(), None);
    loop {
        let next = timeout(patience, body.frame()).await.map_err(|_| {
            let text = format!("nothing of the body came for {} seconds", patience.as_secs_f32());
            Failure::new(ErrorCode::InvalidMessage, text)
        })?;
        match next {
            None => return Ok(Read { bytes: pieces.joined(), room: taken }),
            Some(Ok(frame)) => {
                // Trailers say nothing here.
                let Ok(piece) = frame.into_data() else { continue };
                if let Some(room) = room {
                    room.take(pieces.len() + piece.len(), &mut taken)?;
                }
                pieces.push(piece);
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => {
                let text = format!("the body is larger than {limit} bytes");
                return Err(Failure::new(ErrorCode::PayloadTooLarge, text));
            }
            Some(Err(_)) => {
                return Err(Failure::new(ErrorCode::InvalidMessage, "the body could not be read to its end"));
            }
        }
    }
}

/// What has come of a body. Most bodies are one piece, which is not copied. Of many, none is kept as it came: a piece of
/// one byte would cost fifty.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
        } else {
            self.all.extend_from_slice(&mem::take(&mut self.first));
            self.all.extend_from_slice(&piece);
        }
    }

    fn joined(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn body(pieces: usize, then: stream::BoxStream<'static, Result<Bytes, std::io::Error>>) -> Body {
        let piece = Bytes::from(vec![b'x'; UNIT]);
        Body::from_stream(stream::iter(vec![piece; pieces]).map(Ok).chain(then))
    }

    #[tokio::test]
    async fn who_sends_slowly_takes_no_room_but_for_what_has_come() {
        let room = Room::new(4 * UNIT);
        // Says that it will be long, and stops after a unit.
        let slow = read(body(1, stream::pending().boxed()), 100 * UNIT, PATIENCE, Some(&room));
        tokio::pin!(slow);
        assert!(futures_util::poll!(&mut slow).is_pending());
        let quick = read(body(3, stream::empty().boxed()), 100 * UNIT, PATIENCE, Some(&room)).await;
        assert_eq!(quick.ok().map(|read| read.bytes.len()), Some(3 * UNIT));

        let held = read(body(3, stream::empty().boxed()), 100 * UNIT, PATIENCE, Some(&room)).await.ok();
        let refused = read(body(1, stream::empty().boxed()), 100 * UNIT, PATIENCE, Some(&room)).await;
        assert_eq!(refused.err().map(|failure| failure.code), Some(ErrorCode::Overloaded));
        drop(held);
        assert!(read(body(3, stream::empty().boxed()), 100 * UNIT, PATIENCE, Some(&room)).await.is_ok());
    }

    #[tokio::test]
    async fn the_pieces_of_a_body_are_joined_in_their_order() {
        for text in [&[""][..], &["a whole one"], &["a", "", "b"], &["", "one ", "after ", "", "the other"]] {
            let pieces = text.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
            let body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
            let read = read(body, 100, PATIENCE, None).await;
            assert_eq!(read.ok().map(|read| read.bytes), Some(Bytes::from(text.concat())), "{text:?}");
        }
    }
}
