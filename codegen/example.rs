//! The examples of messages as the frames that travel: the payloads of the schemas in their envelopes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Message, text},
    publish::Frame,
};

/// The id of the client's example frames, and so the `replyTo` of their answers.
const REQUEST: &str = "request-1";

/// The `seq` of the first durable example.
const FIRST: usize = 5;

/// The client's frame with the payload of example `index`.
pub fn request(frame: &Frame, index: usize) -> Value {
    let Message { wire, idempotent, payload_optional, .. } = frame.message;
    let mut out = json!({"id": REQUEST, "type": wire});
    // The first example shows what must be there, the others what may.
    if *idempotent && index > 0 {
        out["idempotencyKey"] = json!(format!("{wire}-{index}"));
    }
    if !*payload_optional || index > 0 {
        out["payload"] = frame.examples.get(index).cloned().unwrap_or_default();
    }
    out
}

/// The server's frame with the payload of example `index`; `reply` says whether it answers [`request`].
pub fn answer(frame: &Frame, index: usize, reply: bool) -> Value {
    let payload = frame.examples.get(index).cloned().unwrap_or_default();
    let event = payload.get("event").cloned().unwrap_or_default();
    // The frame of an event has the event's id and time.
    let id = format!("019bc0d1-7b{index:02x}-7c3e-9f21-3a5d8c6e1c{index:02x}");
    let timestamp = format!("2026-01-15T10:01:{}.000Z", if reply { 10 } else { index + 11 });
    let mut out = Map::new();
    out.insert("id".to_owned(), event.get("id").cloned().unwrap_or(json!(id)));
    out.insert("type".to_owned(), json!(frame.message.wire));
    out.insert("timestamp".to_owned(), event.get("timestamp").cloned().unwrap_or(json!(timestamp)));
    if reply {
        out.insert("replyTo".to_owned(), json!(REQUEST));
    }
    // Of a reply, the start and the end are durable, the deltas are not.
    let delta = payload.get("complete") == Some(&json!(false)) && !text(&payload, "content").is_empty();
    if frame.message.durable && !delta {
        out.insert("seq".to_owned(), json!(index + FIRST));
    }
    out.insert("payload".to_owned(), payload);
    Value::Object(out)
}

/// What follows when `answer` says that a message was accepted: the examples of pushes that belong to that message, in
/// the order of their time, without replies whose start is no example. Empty for every other answer.
pub fn follows(answer: &Value, pushes: &[&Frame]) -> Vec<Value> {
    let Some(root) = answer["payload"]["data"].get("messageId") else { return Vec::new() };
    let all = pushes.iter().flat_map(|frame| (0..frame.examples.len()).map(|index| self::answer(frame, index, false)));
    let mut started = BTreeSet::new();
    let mut frames: Vec<Value> = all
        .filter(|frame| {
            let payload = &frame["payload"];
            if text(payload, "content").is_empty() {
                started.insert(text(payload, "messageId").to_owned());
            }
            let whole = payload.get("complete").is_none() || started.contains(text(payload, "messageId"));
            let told = payload.get("rootId").or_else(|| payload["event"]["payload"].get("rootId"));
            whole && told == Some(root)
        })
        .collect();
    frames.sort_by(|a, b| text(a, "timestamp").cmp(text(b, "timestamp")));
    let durable = frames.iter_mut().filter_map(|frame| frame.get_mut("seq"));
    durable.enumerate().for_each(|(index, seq)| *seq = json!(index + FIRST));
    frames
}
