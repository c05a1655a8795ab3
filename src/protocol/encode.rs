//! [`Encode`]: how a generated type is written as JSON. The build writes one for each of them, in which names,
//! punctuation and the values of enums are ready-made bytes: a third of what the same costs through
//! `serde::Serialize`, whose text it is, byte for byte (debug builds compare every time).

use super::{Free, Patch, True};

/// Writes itself as JSON, behind what is in `out` already.
pub trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

/// Bytes of a text that are looked at before it is asked whether to go on.
const PIECE: usize = 256;

/// A text in quotes.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        through_serde(text, out);
    }
}

/// Whether nothing in a text needs escaping. Within a piece it is not looked for the first that does: only so are many
/// bytes looked at with one instruction.
fn is_plain(text: &[u8]) -> bool {
    let escaped = |byte: &u8| *byte < b' ' || matches!(*byte, b'"' | b'\\');
    text.chunks(PIECE).all(|piece| !piece.iter().fold(false, |found, byte| found | escaped(byte)))
}

/// What serde_json knows best: numbers, texts with escapes, and values of the user's own.
pub(crate) fn through_serde<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Keys are strings and numbers finite, so there is nothing that JSON cannot say.
    if let Err(error) = serde_json::to_writer(out, value) {
        unreachable!("a generated type is not JSON: {error}");
    }
}

/// Ends an object whose first field may be absent. Every field was written with a comma before it; the first of those
/// becomes the brace.
pub(crate) fn end(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

pub(crate) fn list<T: Encode>(items: &[T], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        item.encode(out);
    }
    out.push(b']');
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        string(self, out);
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Encode for True {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"true");
    }
}

impl Encode for uuid::Uuid {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut text = [b'"'; uuid::fmt::Hyphenated::LENGTH + 2];
        self.as_hyphenated().encode_lower(&mut text[1..]);
        out.extend_from_slice(&text);
    }
}

impl Encode for Free {
    fn encode(&self, out: &mut Vec<u8>) {
        through_serde(&self.0, out);
    }
}

impl<T: Encode> Encode for Patch<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent | Self::Null => out.extend_from_slice(b"null"),
            Self::Value(value) => value.encode(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_written_as_serde_writes_it() {
        let whole = "0123456789abcdefghijklmnopqrstuvwxyz Zoë 🦀 and so on, for more than three vectors";
        let texts = (0..whole.len()).filter_map(|to| whole.get(..to)).map(str::to_owned);
        // Each character that may need an escape, at each place of two vectors and of what is left behind them.
        let escapes = (0..=0x20_u8).chain([b'"', b'\\', b'/', 0x7f]).map(char::from).chain(['\u{80}', '\u{2028}']);
        let places = escapes.flat_map(|escape| {
            (0..40).map(move |at| format!("{}{escape}{}", &whole[..at.min(36)], &whole[..(40 - at).min(36)]))
        });
        let mut seen = 0;
        for text in texts.chain(places) {
            let mut out = b"before".to_vec();
            string(&text, &mut out);
            assert_eq!(out[6..], serde_json::to_vec(&text).unwrap(), "{text:?}");
            seen += 1;
        }
        assert!(seen > 1_000, "{seen} texts");
    }

    #[test]
    fn an_object_may_lack_its_first_fields() {
        let object = |fields: &[&str]| {
            let mut out = b"before ".to_vec();
            let start = out.len();
            for field in fields {
                out.extend_from_slice(field.as_bytes());
            }
            end(start, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(object(&[]), "before {}");
        assert_eq!(object(&[",\"a\":1", ",\"b\":2"]), "before {\"a\":1,\"b\":2}");
    }
}
