//! A write that compares and sets, carried to a decision although answers get lost.

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep};

use super::api::{Failure, Nats, Stored, Which};
use super::failed;
use crate::log::Error;

/// A message that is to be the next one of `last_of` after `expected`.
pub(super) struct Put<'a> {
    pub stream: &'a str,
    pub subject: &'a str,
    /// The subjects whose last message must be `expected`; with wildcards, or `subject` itself.
    pub last_of: &'a str,
    pub expected: u64,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Stored, at this place in the stream.
    Done(u64),
    /// Not stored: the last message is another one, or one is just under way.
    Moved,
}

const PAUSE: Duration = Duration::from_millis(25);

impl Nats {
    /// Stores the message, or finds out that it is not stored, within about `settle`; `mine` knows
    /// it again. `Unknown` only after that.
    ///
    /// After a lost answer it asks the leader, and publishes again what may still be under way. That
    /// is not blind: both copies expect the same last message, so at most one of them is stored.
    pub async fn put(&self, put: Put<'_>, settle: Duration, mine: impl Fn(&Stored) -> bool) -> Result<Outcome, Error> {
        let mut headers = put.headers.clone();
        headers.insert("Nats-Expected-Last-Subject-Sequence", put.expected.to_string());
        headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", put.last_of);
        headers.insert("Nats-Expected-Stream", put.stream);
        let (patient, until) = (Instant::now() + self.patience, Instant::now() + settle);
        // Once an answer is lost, whether the message is stored is open until it is seen.
        let mut lost = false;
        loop {
            let failure = match self.publish(put.subject, headers.clone(), put.payload.clone()).await {
                Ok(seq) => return Ok(Outcome::Done(seq)),
                Err(failure) if failure.is_wrong_last() && !lost => return Ok(Outcome::Moved),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Lost(_) => lost = true,
                Failure::Away(_) if !lost && Instant::now() < patient => {
                    sleep(PAUSE).await;
                    continue;
                }
                _ if !lost => return Err(failed(failure)),
                _ => {}
            }
            let next = Which::Next { from: put.expected + 1, subject: put.last_of };
            match self.get(put.stream, next).await {
                Ok(Some(stored)) if mine(&stored) => return Ok(Outcome::Done(stored.seq)),
                // Somebody else's, so ours can't come any more.
                Ok(Some(_)) => return Ok(Outcome::Moved),
                Ok(None) | Err(_) if Instant::now() < until => sleep(PAUSE).await,
                Ok(None) | Err(_) => return Err(Error::Unknown(std::sync::Arc::new(failure))),
            }
        }
    }
}
