//! The examples of messages as the frames that travel: the payloads of the schemas in their envelopes.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Message, text},
    publish::Frame,
};

/// The moment at which all examples happen.
const NOW: &str = "2026-01-15T10:01:10.000Z";

/// The id of the client's example frames, and so the `replyTo` of their answers.
const REQUEST: &str = "request-1";

/// A client's frame with the payload of example `index`.
pub fn request(message: &Message, examples: &[Value], index: usize) -> Value {
    let payload = examples.get(index).cloned().unwrap_or_default();
    let mut frame = json!({"id": REQUEST, "type": message.wire});
    // The first example shows what must be there, the others what may.
    if message.idempotent && index > 0 {
        frame["idempotencyKey"] = json!(format!("{}-{index}", message.wire));
    }
    if !(message.payload_optional && index == 0) {
        frame["payload"] = payload;
    }
    frame
}

/// A server's frame with the payload of example `index`.
pub fn answer(frame: &Frame, index: usize, reply: bool) -> Value {
    let payload = frame.examples.get(index).cloned().unwrap_or_default();
    let event = payload.get("event").cloned().unwrap_or(Value::Null);
    let mut out = Map::new();
    // The frame of an event has the event's id and time.
    let id = format!("019bc0d1-7b{index:02x}-7c3e-9f21-3a5d8c6e1c{index:02x}");
    out.insert("id".to_owned(), event.get("id").cloned().unwrap_or_else(|| json!(id)));
    out.insert("type".to_owned(), json!(frame.message.wire));
    out.insert("timestamp".to_owned(), event.get("timestamp").cloned().unwrap_or_else(|| json!(NOW)));
    if reply {
        out.insert("replyTo".to_owned(), json!(REQUEST));
    }
    // Of a reply, the start and the end are durable, the deltas are not.
    let delta = payload.get("complete") == Some(&json!(false)) && !text(&payload, "content").is_empty();
    if frame.message.durable && !delta {
        out.insert("seq".to_owned(), json!(index + 5));
    }
    out.insert("payload".to_owned(), payload);
    Value::Object(out)
}
