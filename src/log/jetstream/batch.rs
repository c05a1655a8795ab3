//! One message of the log: what one append wrote, and where the world stood after it.
//!
//! A version byte, the length of the head (u32, big endian), the head as JSON, then the bodies of
//! the records, one after the other. Whatever is needed to list a world is in each message, so that
//! its last one is enough.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::log::{Draft, KeyRecord, Record};

/// The newest format that this version knows; also a property of the stream.
pub(super) const VERSION: u8 = 1;

/// What an append wrote.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub state: State,
    pub drafts: Vec<Draft>,
    pub keys: Vec<Key>,
    pub secrets: Vec<SealedWrite>,
}

/// Everything of a batch but the records and what comes with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// Tells this append from every other, when its answer was lost.
    #[serde(rename = "n")]
    pub nonce: Uuid,
    /// The world's previous message: its sequence in the stream; 0 for the first.
    #[serde(rename = "p")]
    pub prev: u64,
    /// `seq` of the first record, or of the next one where there is none.
    #[serde(rename = "s")]
    pub first: u64,
    #[serde(rename = "e")]
    pub epoch: String,
    #[serde(rename = "f", default)]
    pub floor: u64,
    #[serde(rename = "b", default)]
    pub busy: bool,
    #[serde(rename = "t", default)]
    pub title: Option<String>,
    /// The world's last message: nothing comes after it.
    #[serde(rename = "x", default)]
    pub deleted: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub user: String,
    pub key: String,
    #[serde(with = "base64_bytes")]
    pub fingerprint: Vec<u8>,
    #[serde(with = "base64_bytes")]
    pub answer: Vec<u8>,
    pub at_ms: i64,
}

impl Key {
    pub fn new(user: &str, key: &str, known: &KeyRecord) -> Self {
        let (fingerprint, answer) = (known.fingerprint.to_vec(), known.answer.to_vec());
        Self { user: user.to_owned(), key: key.to_owned(), fingerprint, answer, at_ms: known.at_ms }
    }

    pub fn record(&self) -> Option<KeyRecord> {
        let fingerprint = self.fingerprint.as_slice().try_into().ok()?;
        Some(KeyRecord { fingerprint, answer: self.answer.clone().into(), at_ms: self.at_ms })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SealedWrite {
    pub agent: String,
    /// Absent: removed.
    #[serde(with = "base64_option", default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(flatten)]
    state: State,
    /// Of each record: id, time, length of its body.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    drafts: Vec<(Uuid, i64, usize)>,
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Key>,
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SealedWrite>,
}

/// Why a message is not one of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a message of the log has format {0}, which this version does not know")]
    Version(u8),
    #[error("a message of the log is cut short")]
    Short,
    #[error("a message of the log is damaged: {0}")]
    Head(#[from] serde_json::Error),
}

impl Batch {
    /// Without records: it says how the world stands.
    pub fn empty(state: State) -> Self {
        Self { state, drafts: Vec::new(), keys: Vec::new(), secrets: Vec::new() }
    }

    /// The state of the message after this one, which is at `seq` of the stream, as long as that changes nothing.
    pub fn next(&self, seq: u64) -> State {
        State { nonce: Uuid::new_v4(), prev: seq, first: self.head().saturating_add(1), ..self.state.clone() }
    }

    /// The world's head after this batch.
    pub fn head(&self) -> u64 {
        self.state.first.saturating_add(self.drafts.len() as u64).saturating_sub(1)
    }

    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let head = serde_json::to_vec(&Header {
            state: self.state.clone(),
            drafts: self.drafts.iter().map(|d| (d.id, d.at_ms, d.body.len())).collect(),
            keys: self.keys.clone(),
            secrets: self.secrets.clone(),
        })?;
        let bodies = self.drafts.iter().map(|d| &d.body);
        Ok(frame(&head, bodies))
    }

    pub fn decode(payload: &Bytes) -> Result<Self, Malformed> {
        let (head, mut bodies) = unframe(payload)?;
        let Header { state, drafts, keys, secrets } = serde_json::from_slice(&head)?;
        let mut read = Vec::with_capacity(drafts.len());
        for (id, at_ms, length) in drafts {
            if bodies.len() < length {
                return Err(Malformed::Short);
            }
            read.push(Draft { id, at_ms, body: bodies.split_to(length) });
        }
        Ok(Self { state, drafts: read, keys, secrets })
    }

    pub fn into_records(self) -> impl Iterator<Item = Record> {
        let seqs = self.state.first..;
        self.drafts.into_iter().zip(seqs).map(|(Draft { id, at_ms, body }, seq)| Record { seq, id, at_ms, body })
    }
}

/// `VERSION`, the head's length, the head, the rest.
pub(super) fn frame<'a>(head: &[u8], rest: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let length: usize = rest.clone().map(Bytes::len).sum();
    let mut framed = BytesMut::with_capacity(5 + head.len() + length);
    framed.put_u8(VERSION);
    // No message is near 4 GiB: the server takes 64 MiB at most.
    framed.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    framed.put_slice(head);
    for part in rest {
        framed.put_slice(part);
    }
    framed.freeze()
}

/// Head and rest.
pub(super) fn unframe(framed: &Bytes) -> Result<(Bytes, Bytes), Malformed> {
    let version = *framed.first().ok_or(Malformed::Short)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let length = framed.get(1..5).and_then(|l| l.try_into().ok()).ok_or(Malformed::Short)?;
    let length = u32::from_be_bytes(length) as usize;
    let mut rest = framed.slice(5..);
    if rest.len() < length {
        return Err(Malformed::Short);
    }
    let head = rest.split_to(length);
    Ok((head, rest))
}

mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD_NO_PAD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

mod base64_option {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Encoded(#[serde(with = "super::base64_bytes")] Vec<u8>);

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::base64_bytes::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Encoded>::deserialize(from)?.map(|encoded| encoded.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let state = State {
            nonce: Uuid::now_v7(),
            prev: 7,
            first: 3,
            epoch: "e".repeat(16),
            floor: 1,
            busy: true,
            title: Some("한국어".into()),
            deleted: false,
        };
        let draft = |body: &'static str| Draft { id: Uuid::now_v7(), at_ms: 5, body: body.into() };
        let known = KeyRecord { fingerprint: [7; 32], answer: Bytes::from_static(b"{}"), at_ms: 9 };
        let secret = |sealed| SealedWrite { agent: "a".into(), sealed };
        let batch = Batch {
            state,
            drafts: vec![draft("one"), draft(""), draft("three")],
            keys: vec![Key::new("u", "k", &known)],
            secrets: vec![secret(None), secret(Some(vec![1, 2]))],
        };
        let encoded = batch.encode().unwrap();
        let read = Batch::decode(&encoded).unwrap();
        assert_eq!(format!("{read:?}"), format!("{batch:?}"));
        assert_eq!((read.head(), read.keys[0].record()), (5, Some(known)));
        let seqs: Vec<_> = read.into_records().map(|r| (r.seq, r.body)).collect();
        assert_eq!(seqs[2], (5, Bytes::from_static(b"three")));

        for cut in 0..encoded.len() {
            assert!(Batch::decode(&encoded.slice(..cut)).is_err(), "cut at {cut}");
        }
        let newer = [&[VERSION + 1], &encoded[1..]].concat();
        assert!(matches!(Batch::decode(&newer.into()), Err(Malformed::Version(2))));
    }
}
