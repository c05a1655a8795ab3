//! One request to NATS, and what its outcome says about what was written.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Request, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::log::cluster::Link;

/// A message is not there.
const NO_MESSAGE: u64 = 10037;
const NO_SEQUENCE: u64 = 10043;
/// Compare-and-set: refused, as there is another last message, or one is under way.
const WRONG_LAST: [u64; 2] = [10071, 10164];
/// A leader is being elected, or the server is starting.
const UNAVAILABLE: u64 = 10008;
const PAUSE: Duration = Duration::from_millis(50);
/// Replies to one batched read.
pub(super) const BATCH: usize = 512;

/// Why a request to NATS failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It reached no stream: nothing was written.
    #[error("NATS cannot be reached: {0}")]
    Away(String),
    /// A stream has said no: nothing was written.
    #[error("NATS refused: {description} ({code})")]
    Refused { code: u64, description: String },
    #[error("{size} bytes are more than the {max} that NATS takes in one message (max_payload)")]
    TooLarge { size: usize, max: usize },
    /// It was handed over, and there is no answer: anything may have happened.
    #[error("no answer from NATS: {0}")]
    Lost(String),
    #[error("an answer of NATS was not understood: {0}")]
    Malformed(String),
}

impl Failure {
    pub fn is_wrong_last(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if WRONG_LAST.contains(code))
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code: NO_MESSAGE | NO_SEQUENCE, .. })
    }

    /// May be over in a moment: an election, a connection that is being made anew.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Lost(_) | Self::Refused { code: UNAVAILABLE, .. })
    }
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub subject: String,
    /// Its place in the stream.
    pub seq: u64,
    pub payload: Bytes,
}

/// Which message is asked for; subjects may hold wildcards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    Last(&'a str),
    /// The first one at `from` or after it.
    Next {
        from: u64,
        subject: &'a str,
    },
}

/// The connection, and how long to wait for what.
#[derive(Clone)]
pub(super) struct Nats {
    pub client: Client,
    /// For NATS to come back.
    pub patience: Duration,
    /// For one answer.
    pub timeout: Duration,
    pub link: watch::Receiver<Link>,
}

#[derive(Deserialize)]
struct Answered<T> {
    error: Option<ApiError>,
    #[serde(flatten)]
    answer: Option<T>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Nats {
    /// Publishes into a stream, once. The sequence that the message got.
    pub async fn publish(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Ack {
            seq: u64,
        }
        self.connected().await?;
        let ack: Ack = self.send(subject, Some(headers), payload).await?;
        Ok(ack.seq)
    }

    /// Asks JetStream's API something that may be asked again. Goes on for a while when it does not answer.
    pub async fn ask<T: DeserializeOwned>(&self, what: &str, body: Value) -> Result<T, Failure> {
        let until = Instant::now() + self.patience;
        let body = Bytes::from(body.to_string());
        loop {
            let answer = match self.connected().await {
                Ok(()) => self.send(&format!("$JS.API.{what}"), None, body.clone()).await,
                Err(away) => Err(away),
            };
            match answer {
                Err(failure) if failure.passes() && Instant::now() < until => sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// One message, from the stream's leader: as fresh as the last write.
    pub async fn get(&self, stream: &str, which: Which<'_>) -> Result<Option<Stored>, Failure> {
        #[derive(Deserialize)]
        struct Got {
            message: Raw,
        }
        #[derive(Deserialize)]
        struct Raw {
            subject: String,
            seq: u64,
            #[serde(default)]
            data: String,
        }
        let body = match which {
            Which::Last(subject) => json!({ "last_by_subj": subject }),
            Which::Next { from, subject } => json!({ "seq": from.max(1), "next_by_subj": subject }),
        };
        match self.ask::<Got>(&format!("STREAM.MSG.GET.{stream}"), body).await {
            Ok(Got { message: Raw { subject, seq, data } }) => {
                let payload = STANDARD.decode(data).map_err(|e| Failure::Malformed(e.to_string()))?;
                Ok(Some(Stored { subject, seq, payload: payload.into() }))
            }
            Err(failure) if failure.is_absent() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Up to [`BATCH`] messages from `from` on, from any replica, which may lag; and how many more
    /// it had.
    pub async fn batch(
        &self,
        stream: &str,
        from: u64,
        subject: &str,
        count: usize,
        bytes: usize,
    ) -> Result<(Vec<Stored>, u64), Failure> {
        self.connected().await?;
        let lost = |e: &dyn std::fmt::Display| Failure::Lost(e.to_string());
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await.map_err(|e| lost(&e))?;
        let body = json!({
            "seq": from.max(1), "next_by_subj": subject, "batch": count.clamp(1, BATCH), "max_bytes": bytes.max(1),
        });
        let ask = format!("$JS.API.DIRECT.GET.{stream}");
        self.client.publish_with_reply(ask, inbox, body.to_string().into()).await.map_err(|e| lost(&e))?;
        let (mut read, mut pending) = (Vec::new(), 0);
        loop {
            let reply = timeout(self.timeout / 2, replies.next()).await.map_err(|e| lost(&e))?;
            let reply = reply.ok_or_else(|| Failure::Lost("the connection was closed".to_owned()))?;
            let header = |name: &str| reply.headers.as_ref().and_then(|h| h.get(name)).map(|v| v.as_str());
            if let Some(more) = header("Nats-Num-Pending").and_then(|n| n.parse().ok()) {
                pending = more;
            }
            match reply.status.as_ref().map(StatusCode::as_u16) {
                None => {}
                // The end; nothing is there.
                Some(204 | 404) => return Ok((read, pending)),
                Some(503) => return Err(Failure::Away("no replica of the stream answers".to_owned())),
                Some(code) => {
                    let description = reply.description.clone().unwrap_or_default();
                    return Err(Failure::Refused { code: code.into(), description });
                }
            }
            let (Some(seq), Some(subject)) = (header("Nats-Sequence"), header("Nats-Subject")) else {
                return Err(Failure::Malformed("a message without its place".to_owned()));
            };
            let seq = seq.parse().map_err(|_| Failure::Malformed(format!("sequence {seq}")))?;
            read.push(Stored { subject: subject.to_owned(), seq, payload: reply.payload.clone() });
        }
    }

    /// Removes the messages of these subjects that stand before `before`; all without it.
    pub async fn purge(&self, stream: &str, subject: &str, before: Option<u64>) -> Result<(), Failure> {
        let mut body = json!({ "filter": subject });
        if let Some(before) = before {
            body["seq"] = before.into();
        }
        self.ask::<Value>(&format!("STREAM.PURGE.{stream}"), body).await.map(drop)
    }

    /// Removes one message. Whether this did it: of several that remove it, one hears yes. After a
    /// lost answer it counts as done by this one if it is gone.
    pub async fn remove(&self, stream: &str, seq: u64) -> Result<bool, Failure> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
        let body = Bytes::from(json!({ "seq": seq, "no_erase": true }).to_string());
        let until = Instant::now() + self.timeout + self.patience;
        let mut lost = None;
        loop {
            self.connected().await?;
            match self.send::<Value>(&subject, None, body.clone()).await {
                Ok(_) => return Ok(true),
                Err(failure) if failure.is_absent() => return Ok(lost.is_some()),
                Err(failure) if !failure.passes() || Instant::now() >= until => return Err(lost.unwrap_or(failure)),
                Err(failure @ Failure::Lost(_)) => lost = Some(failure),
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits for the connection, at most for `patience`.
    pub async fn connected(&self) -> Result<(), Failure> {
        let until = Instant::now() + self.patience;
        loop {
            match self.connected_now() {
                Err(_) if Instant::now() < until => sleep(PAUSE / 2).await,
                connected => return connected,
            }
        }
    }

    /// Whether there is a connection at this moment.
    pub fn connected_now(&self) -> Result<(), Failure> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            _ => Err(Failure::Away("no server of it answers".to_owned())),
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<T, Failure> {
        let (size, max) = (payload.len(), self.client.max_payload());
        let mut request = Request::new().payload(payload).timeout(Some(self.timeout));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let mut link = self.link.clone();
        let answer = tokio::select! {
            answer = self.client.send_request(subject.to_owned(), request) => answer,
            // An answer would come to a connection that is no more.
            _ = link.wait_for(|link| *link != Link::Connected) => {
                return Err(Failure::Lost("the connection was lost".to_owned()));
            }
        };
        let answer = answer.map_err(|e| match e.kind() {
            // The server says so only when it has handed the message to nobody.
            RequestErrorKind::NoResponders => Failure::Away("no leader of the stream answers".to_owned()),
            RequestErrorKind::MaxPayloadExceeded => Failure::TooLarge { size, max },
            RequestErrorKind::InvalidSubject => Failure::Malformed(e.to_string()),
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Failure::Lost(e.to_string()),
        })?;
        let Answered { error, answer } =
            serde_json::from_slice(&answer.payload).map_err(|e| Failure::Malformed(e.to_string()))?;
        match (error, answer) {
            (Some(ApiError { code, err_code, description }), _) => {
                Err(Failure::Refused { code: if err_code == 0 { code } else { err_code }, description })
            }
            (None, Some(answer)) => Ok(answer),
            (None, None) => Err(Failure::Malformed("it lacks what was asked for".to_owned())),
        }
    }
}
