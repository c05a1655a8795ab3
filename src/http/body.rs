//! Reads the body of a request: not more than may come, and not for longer than something comes.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::{error::Failure, protocol::ErrorCode};

/// `limit` in bytes; within `patience` some have to come.
pub async fn read(body: Body, limit: usize, patience: Duration) -> Result<Bytes, Failure> {
    let mut body = Limited::new(body, limit);
    let mut pieces = Vec::new();
    loop {
        let next = timeout(patience, body.frame()).await.map_err(|_| {
            let text = format!("nothing of the body came for {} seconds", patience.as_secs_f32());
            Failure::new(ErrorCode::InvalidMessage, text)
        })?;
        match next {
            None => return Ok(joined(pieces)),
            // Trailers say nothing here.
            Some(Ok(frame)) => pieces.extend(frame.into_data()),
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
