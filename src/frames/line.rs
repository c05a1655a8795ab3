//! A line of a recording, `schema/recording.json`, or a frame that stands alone.

use std::{
    borrow::Cow,
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::protocol::{RecordedAt, RecordedDirection, RecordedLine, Rejection, decode_body};

/// The longest line that is read, in bytes. A reply has at most 256 KiB, each character of which may be escaped.
pub const MAX_LINE: u64 = 8 * 1_024 * 1_024;

/// What a line of a recording holds.
#[derive(Debug, PartialEq)]
pub struct Line<'l> {
    /// None: a frame that stands alone.
    pub recorded: Option<Recorded>,
    pub content: Content<'l>,
}

#[derive(Debug, PartialEq)]
pub struct Recorded {
    pub at: RecordedAt,
    pub direction: RecordedDirection,
    /// Counted from 1.
    pub connection: u64,
}

#[derive(Debug, PartialEq)]
pub enum Content<'l> {
    /// A frame, byte for byte.
    Frame(&'l str),
    /// Something that is no frame.
    Text(Cow<'l, str>),
    Closed(u16),
}

/// As the schema has it, with the frame as it stands there.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire<'l> {
    at: RecordedAt,
    direction: RecordedDirection,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    frame: Option<&'l RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_code: Option<u16>,
}

impl<'l> Line<'l> {
    /// Reads a line. What is no line of a recording is a frame that stands alone, unless it has a `direction`.
    pub fn read(text: &'l str) -> Result<Self, Rejection> {
        let Ok(wire) = serde_json::from_str::<Wire<'l>>(text) else {
            return if is_recorded(text) { Err(explain(text)) } else { Ok(Self::bare(text)) };
        };
        let content = match (wire.frame, wire.text, wire.close_code) {
            (Some(frame), None, None) if frame.get().starts_with('{') => Content::Frame(frame.get()),
            (None, Some(text), None) => Content::Text(text),
            (None, None, Some(code)) if code >= 1000 => Content::Closed(code),
            _ => return Err(explain(text)),
        };
        if wire.connection == Some(0) {
            return Err(explain(text));
        }
        let recorded = Recorded { at: wire.at, direction: wire.direction, connection: wire.connection.unwrap_or(1) };
        Ok(Self { recorded: Some(recorded), content })
    }

    fn bare(text: &'l str) -> Self {
        Self { recorded: None, content: Content::Frame(text) }
    }

    /// The line as it is written, without the end of line.
    pub fn write(recorded: Recorded, content: Content<'_>) -> String {
        let mut wire = Wire {
            at: recorded.at,
            direction: recorded.direction,
            connection: Some(recorded.connection),
            frame: None,
            text: None,
            close_code: None,
        };
        match content {
            Content::Frame(frame) => match serde_json::from_str(frame) {
                Ok(raw) => wire.frame = Some(raw),
                Err(_) => wire.text = Some(frame.into()),
            },
            Content::Text(text) => wire.text = Some(text),
            Content::Closed(code) => wire.close_code = Some(code),
        }
        // Nothing in it is what JSON cannot say.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

/// Whether a text means to be a line of a recording.
fn is_recorded(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    value.get("direction").is_some() || value.get("type").is_none() && value.get("frame").is_some()
}

fn explain(text: &str) -> Rejection {
    match decode_body::<RecordedLine>(text.as_bytes()) {
        Err(rejection) => rejection,
        Ok(_) => Rejection::new("", "oneOf", None, "holds exactly one of frame, text and closeCode"),
    }
}

/// Reads lines one by one into the same memory.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

/// A line as it was read.
pub enum Read<'l> {
    Text(&'l str),
    /// Longer than [`MAX_LINE`]; the rest was passed over.
    TooLong,
    NotUtf8,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not empty, with its number; `None` at the end.
    pub fn read(&mut self) -> io::Result<Option<(u64, Read<'_>)>> {
        loop {
            self.buffer.clear();
            let read = io::Read::take(&mut self.reader, MAX_LINE + 1).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 > MAX_LINE && self.buffer.last() != Some(&b'\n') {
                self.skip()?;
                return Ok(Some((self.number, Read::TooLong)));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let text = std::str::from_utf8(self.buffer.trim_ascii()).map_or(Read::NotUtf8, Read::Text);
        Ok(Some((self.number, text)))
    }

    /// Passes over the rest of a line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let held = self.reader.fill_buf()?;
            let (used, done) = match held.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (held.len(), held.is_empty()),
            };
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }
}
