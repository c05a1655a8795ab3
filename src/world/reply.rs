//! [`LiveReply`]: the text of a reply while it streams. One writer (its turn), many readers (connections).

use std::fmt;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::event::Reply;

/// Longest reply, in bytes of the JSON that it is stored and sent as; past it the reply ends with `length`
/// (docs/PROTOCOL.md §3). Its end and its message, which are stored together, so always fit into one message of NATS.
pub const MAX_BYTES: usize = 256 * 1024;

/// Bytes of a character in JSON.
fn written(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..' ' => 6,
        character => character.len_utf8(),
    }
}

/// Bytes of a text in JSON.
pub fn written_bytes(text: &str) -> usize {
    text.chars().map(written).sum()
}

/// A running reply and its text so far. Deltas are not durable: this is the only place that has them.
pub struct LiveReply {
    pub reply: Reply,
    text: Mutex<Text>,
}

#[derive(Default)]
struct Text {
    so_far: String,
    /// `so_far` in code points.
    chars: u64,
    /// Bytes of `so_far` in JSON.
    written: usize,
    /// What has been handed to subscribers, in bytes and code points.
    published: (usize, u64),
    frozen: bool,
    /// How often it was frozen.
    freezes: u64,
}

/// A stretch of text, from `offset` on, in code points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    pub offset: u64,
    pub end: u64,
    pub text: String,
}

impl LiveReply {
    pub fn new(reply: Reply) -> Self {
        Self { reply, text: Mutex::default() }
    }

    /// Adds `chunk`, and hands what is new to `publish` while the text is held: whoever freezes the reply
    /// afterwards can be sure that no delta follows. Returns `false` when the reply has reached its limit.
    pub fn push(&self, chunk: &str, publish: impl FnOnce(Stretch)) -> bool {
        let mut text = self.text.lock();
        let mut cut = 0;
        for character in chunk.chars() {
            let written = text.written + written(character);
            if written > MAX_BYTES {
                break;
            }
            text.written = written;
            text.chars += 1;
            cut += character.len_utf8();
        }
        text.so_far.push_str(&chunk[..cut]);
        if !text.frozen && text.published.0 < text.so_far.len() {
            let (bytes, offset) = text.published;
            text.published = (text.so_far.len(), text.chars);
            publish(Stretch { offset, end: text.chars, text: text.so_far[bytes..].to_owned() });
        }
        cut == chunk.len()
    }

    /// Adds what another node says of this reply. `Err`: something between is missing, from there on.
    pub fn hear(&self, heard: &Stretch, publish: impl FnOnce(Stretch)) -> Result<(), u64> {
        let known = self.text.lock().chars;
        if heard.offset > known {
            return Err(known);
        }
        // One task hears all of it, so nothing is added in between.
        let new = heard.text.chars().skip((known - heard.offset) as usize).collect::<String>();
        if !new.is_empty() {
            self.push(&new, publish);
        }
        Ok(())
    }

    /// Publishes nothing more, and returns the text so far: the reply is about to end.
    pub fn freeze(&self) -> String {
        self.freeze_once().0
    }

    /// As [`LiveReply::freeze`], with what [`LiveReply::thaw_after`] wants to be told.
    pub fn freeze_once(&self) -> (String, u64) {
        let mut text = self.text.lock();
        text.frozen = true;
        text.freezes += 1;
        (text.so_far.clone(), text.freezes)
    }

    /// Deltas go on, unless somebody else has frozen the reply since.
    pub fn thaw_after(&self, freeze: u64) {
        let mut text = self.text.lock();
        text.frozen &= text.freezes != freeze;
    }

    /// The end could not be recorded: deltas go on.
    pub fn thaw(&self) {
        self.text.lock().frozen = false;
    }

    /// The published text from `offset` (code points) on; `None` when there is nothing.
    pub fn since(&self, offset: u64) -> Option<Stretch> {
        let text = self.text.lock();
        let (bytes, end) = text.published;
        if end <= offset {
            return None;
        }
        let published = &text.so_far[..bytes];
        let from = match offset {
            0 => 0,
            _ => published.char_indices().nth(offset as usize).map_or(bytes, |(at, _)| at),
        };
        Some(Stretch { offset, end, text: published[from..].to_owned() })
    }
}

impl fmt::Debug for LiveReply {
    /// Never the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveReply").field("message_id", &self.reply.message_id).finish_non_exhaustive()
    }
}
