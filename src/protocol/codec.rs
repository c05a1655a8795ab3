//! The two choke points where text becomes messages and messages become text. Nothing else touches JSON that
//! comes from outside or goes there.
//!
//! The typed parse is the validation (docs/DESIGN.md, decision 1). The compiled schemas run only on what was
//! refused, to name every violation; with [`Validate::Both`] also on what was accepted, as a watch on the typed
//! parse itself.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ClientFrame, ClientMessageType, Encode, FrameId, ServerFrame, coherence, reader, strict, validator,
    violation::{Compiled, MAX_VIOLATIONS, Rejection},
};

/// What must hold before a frame or body is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validate {
    /// The typed parse accepts it. The default of release builds.
    Typed,
    /// The compiled schema accepts it too. The default of debug builds.
    Both,
}

/// Bytes that most frames have at most.
const USUAL: usize = 512;

static BOTH: AtomicU8 = AtomicU8::new(cfg!(debug_assertions) as u8);
static DISAGREEMENTS: AtomicU64 = AtomicU64::new(0);

/// Sets the mode for the whole process.
pub fn set_validate(validate: Validate) {
    BOTH.store(u8::from(validate == Validate::Both), Ordering::Relaxed);
}

/// How often typed parse and compiled schema came to different verdicts. Anything but 0 is a bug in here.
pub fn disagreements() -> u64 {
    DISAGREEMENTS.load(Ordering::Relaxed)
}

/// Reads one frame of a client. `text` is at most as long as the transport's frame limit.
pub fn decode_client(text: &str) -> Result<ClientFrame, Rejection> {
    let usual = reader::read::<ClientFrame>(text);
    debug_assert!(
        usual.as_ref().is_none_or(|usual| serde_json::from_str(text).is_ok_and(|frame: ClientFrame| frame == *usual)),
        "a frame is read in two ways"
    );
    match usual.map_or_else(|| serde_json::from_str(text), Ok) {
        Ok(frame) => {
            // Nothing in it may hold what a client likes, so it is not deeper than its schema.
            debug_assert!(!strict::too_deep(text), "a field of a client's frame takes any JSON");
            confirm(text, validator::client(frame.message.kind()))
                .map_err(|rejection| rejection.of(frame.id.clone()))?;
            Ok(frame)
        }
        Err(_) => Err(explain_client(text)),
    }
}

/// Reads one frame of the server: for tests and for clients in Rust. Beside the schema it holds the frame to what goes
/// together in it: a `seq` where the frame is durable, a `finishReason` exactly on the end of a reply, and so on
/// (docs/PROTOCOL.md §3).
pub fn decode_server(text: &str) -> Result<ServerFrame, Rejection> {
    if strict::too_deep(text) {
        return Err(depth());
    }
    let frame = serde_json::from_str(text).map_err(|error| Rejection::new("", "syntax", None, &error.to_string()))?;
    match coherence::check(&frame) {
        Ok(()) => Ok(frame),
        Err((pointer, rule)) => Err(Rejection::new(pointer, "coherence", None, rule)),
    }
}

/// Holds a frame that was made of what somebody sent to what [`decode_server`] takes.
pub fn check_server(frame: &ServerFrame) -> Result<(), Rejection> {
    if let Err((pointer, rule)) = coherence::check(frame) {
        return Err(Rejection::new(pointer, "coherence", None, rule));
    }
    let text = String::from_utf8(encode_once(frame)).map_err(|_| Rejection::new("", "syntax", None, "is not UTF-8"))?;
    decode_server(&text).map(drop)
}

/// Makes the text of a frame, once for everyone who gets it.
pub fn encode(frame: &ServerFrame) -> bytes::Bytes {
    encode_once(frame).into()
}

/// Makes the text of a frame that one connection gets.
pub fn encode_once(frame: &ServerFrame) -> Vec<u8> {
    let mut text = Vec::with_capacity(USUAL);
    encode_into(frame, &mut text);
    text
}

/// As [`encode_once`], behind what is in `text` already.
pub fn encode_into(frame: &ServerFrame, text: &mut Vec<u8>) {
    debug_assert_eq!(coherence::check(frame), Ok(()), "a frame contradicts itself");
    write(frame, text);
}

/// Makes the JSON text of a generated type.
pub fn json<T: Encode + Serialize>(value: &T) -> Vec<u8> {
    let mut text = Vec::with_capacity(USUAL);
    write(value, &mut text);
    text
}

fn write<T: Encode + Serialize>(value: &T, text: &mut Vec<u8>) {
    let start = text.len();
    value.encode(text);
    debug_assert!(
        serde_json::to_vec(value).is_ok_and(|other| text.get(start..) == Some(&other[..])),
        "written in two ways: {}",
        String::from_utf8_lossy(&text[start..])
    );
}

/// A type that is read whole from outside: the body of a request, or a file that a person writes. The build
/// implements it for exactly those.
pub trait Body: DeserializeOwned {
    #[doc(hidden)]
    fn compiled() -> &'static Compiled;
}

/// Reads the JSON body of a request, or a file. Pointers lead into the document.
pub fn decode_body<T: Body>(body: &[u8]) -> Result<T, Rejection> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Rejection::new("", "syntax", None, "is not UTF-8"));
    };
    if strict::too_deep(text) {
        return Err(depth());
    }
    match serde_json::from_str(text) {
        Ok(value) => {
            confirm(text, T::compiled())?;
            Ok(value)
        }
        Err(_) => Err(explain(text, T::compiled())),
    }
}

/// With [`Validate::Both`], asks the compiled schema about a text that the typed parse accepted.
fn confirm(text: &str, compiled: &Compiled) -> Result<(), Rejection> {
    if BOTH.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if (compiled.is_valid)(&value) {
        return Ok(());
    }
    disagree("the typed parse accepted what the schema refuses");
    let mut rejection = Rejection::default();
    rejection.explain(compiled, &value);
    Err(rejection)
}

fn explain(text: &str, compiled: &Compiled) -> Rejection {
    let (value, duplicates) = match strict::read(text, MAX_VIOLATIONS + 1) {
        Ok(read) => read,
        Err(error) => return syntax(&error),
    };
    let mut rejection = Rejection::default();
    rejection.add_duplicates(duplicates);
    rejection.explain(compiled, &value);
    settle(rejection)
}

fn explain_client(text: &str) -> Rejection {
    if strict::too_deep(text) {
        return depth();
    }
    let (value, duplicates) = match strict::read(text, MAX_VIOLATIONS + 1) {
        Ok(read) => read,
        Err(error) => return syntax(&error),
    };
    let mut rejection = Rejection::default();
    rejection.id = value.get("id").and_then(|id| FrameId::deserialize(id).ok());
    rejection.add_duplicates(duplicates);
    let kind = value.get("type").and_then(|kind| ClientMessageType::deserialize(kind).ok());
    match kind {
        Some(kind) => rejection.explain(validator::client(kind), &value),
        None => {
            if value.get("type").is_some_and(Value::is_string) {
                rejection.known = ClientMessageType::ALL.iter().map(|kind| kind.as_str()).collect();
            }
            rejection.explain(validator::client_envelope(), &value);
        }
    }
    settle(rejection)
}

/// A refusal that nothing explains is a disagreement. It stays a refusal.
fn settle(mut rejection: Rejection) -> Rejection {
    if rejection.is_empty() {
        disagree("the typed parse refused what the schema accepts");
        rejection.add(String::new(), "type", None, "is not what the schema asks for".to_owned());
    }
    rejection
}

fn disagree(what: &'static str) {
    DISAGREEMENTS.fetch_add(1, Ordering::Relaxed);
    tracing::error!(what, "typed parse and schema disagree; this is a bug");
}

pub(super) fn depth() -> Rejection {
    let limit = strict::MAX_DEPTH.to_string();
    Rejection::new("", "depth", Some(&limit), &format!("is nested more than {limit} levels deep"))
}

/// Only the place is told; the parser's own words may repeat what stands there.
pub(super) fn syntax(error: &serde_json::Error) -> Rejection {
    let place = format!("is not JSON (line {}, column {})", error.line(), error.column());
    Rejection::new("", "syntax", None, &place)
}
