//! [`Reply`]: an answer of an operation, ready for the transport.

use bytes::Bytes;
use serde::Serialize;

use crate::protocol::{Encode, codec};

/// Status, headers and content of a success. `B` is the transport's own kind of body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<B> {
    pub status: u16,
    pub media_type: Option<&'static str>,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub content: Content<B>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<B> {
    Empty,
    Json(Bytes),
    /// Text, a stream, NDJSON.
    Open(B),
}

impl<B> Reply<B> {
    pub(super) const fn empty(status: u16) -> Self {
        Self { status, media_type: None, headers: Vec::new(), content: Content::Empty }
    }

    pub(super) fn json<T: Encode + Serialize>(status: u16, media_type: &'static str, body: &T) -> Self {
        let content = Content::Json(codec::json(body).into());
        Self { status, media_type: Some(media_type), headers: Vec::new(), content }
    }

    pub(super) const fn open(status: u16, media_type: &'static str, body: B) -> Self {
        Self { status, media_type: Some(media_type), headers: Vec::new(), content: Content::Open(body) }
    }

    /// Adds a header, if it has a value.
    pub(super) fn header(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }
}
