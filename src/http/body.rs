//! Reads the body of a request: not more than may come, and not for longer than something comes.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{error::Failure, protocol::ErrorCode, shutdown::RETRY_AFTER_MS};

/// Room for the bodies of several requests together, in [`UNIT`]s.
pub struct Room(Semaphore);

/// Bytes for which one permit of a [`Room`] stands.
const UNIT: usize = 64 * 1024;

impl Room {
    pub const fn new(bytes: usize) -> Self {
        Self(Semaphore::const_new(bytes / UNIT))
    }

    /// Room for so many bytes more than `taken`. Nobody waits for it: two that wait for each other would wait for ever.
    fn take<'a>(&'a self, bytes: usize, taken: &mut Option<SemaphorePermit<'a>>) -> Result<(), Failure> {
        let held = taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(UNIT).saturating_sub(held)).unwrap_or(u32::MAX);
        let more = self.0.try_acquire_many(more).map_err(|_| {
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

/// A body, and the room that it takes.
pub struct Read<'a> {
    pub bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

/// `limit` in bytes; within `patience` some have to come. In `room` a body takes what has come of it, and no more:
/// who sends slowly keeps nobody out.
pub async fn read<'a>(
    body: Body,
    limit: usize,
    patience: Duration,
    room: Option<&'a Room>,
) -> Result<Read<'a>, Failure> {
    let mut body = Limited::new(body, limit);
    let (mut pieces, mut length, mut taken) = (Vec::<Bytes>::new(), 0, None);
    loop {
        let next = timeout(patience, body.frame()).await.map_err(|_| {
            let text = format!("nothing of the body came for {} seconds", patience.as_secs_f32());
            Failure::new(ErrorCode::InvalidMessage, text)
        })?;
        match next {
            None => return Ok(Read { bytes: joined(pieces), _room: taken }),
            Some(Ok(frame)) => {
                // Trailers say nothing here.
                let Ok(piece) = frame.into_data() else { continue };
                length += piece.len();
                if let Some(room) = room {
                    room.take(length, &mut taken)?;
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

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    // Most bodies are one piece.
    if pieces.len() == 1 { pieces.swap_remove(0) } else { pieces.concat().into() }
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
}
