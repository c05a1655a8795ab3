//! Short names for frames in a scenario: `"settled $root"` instead of the pattern in full.
//!
//! | short | the frame |
//! |---|---|
//! | `start [agent]`, `delta [agent]`, `end [agent]`, `reply [agent]` | a `chat_response` at that point of its life; any |
//! | `message [sender]` | a `message` event |
//! | `world [action]`, `system [action]` | a `world` or `system` event |
//! | `settled [root]` | the `world` event of that name |
//! | `event [type]` | any `event_stream` |
//! | `status [type]` | a `status`; `connected`, `caught_up` and so on |
//! | `error [code]` | an `error` |
//! | `durable` | any frame with a `seq` |
//! | `any` | any frame |
//!
//! In an object, `is` holds the short name, and the other fields are asked for besides.

use serde_json::{Map, Value, json};

/// The pattern in full, of a short name or of an object with `is`.
pub fn expand(pattern: &Value) -> Result<Value, String> {
    match pattern {
        Value::String(short) => named(short),
        Value::Object(object) => match object.get("is") {
            None => Ok(pattern.clone()),
            Some(Value::String(short)) => {
                let mut fields = object.clone();
                fields.remove("is");
                let mut full = named(short)?;
                merge(&mut full, Value::Object(fields));
                Ok(full)
            }
            Some(_) => Err("`is` holds the short name of a frame".to_owned()),
        },
        _ => Err("a frame's pattern is an object or a short name".to_owned()),
    }
}

fn named(short: &str) -> Result<Value, String> {
    let (name, argument) = short.split_once(' ').map_or((short, None), |(name, argument)| (name, Some(argument)));
    let event = |kind: &str, payload: Value| {
        let event =
            if payload == json!({}) { json!({"type": kind}) } else { json!({"type": kind, "payload": payload}) };
        json!({"type": "event_stream", "payload": {"event": event}})
    };
    let field = |name: &str| argument.map_or(json!({}), |argument| json!({name: argument}));
    let reply = |mut frame: Value| {
        if let Some(agent) = argument {
            frame["payload"]["agentName"] = json!(agent);
        }
        frame
    };
    Ok(match name {
        "start" => reply(json!({"type": "chat_response", "seq": "$any", "payload": {"complete": false}})),
        "delta" => reply(json!({"type": "chat_response", "seq": "$absent", "payload": {"complete": false}})),
        "end" => reply(json!({"type": "chat_response", "payload": {"complete": true}})),
        "reply" => reply(json!({"type": "chat_response", "payload": {}})),
        "message" => {
            let mut frame = event("message", json!({}));
            merge(&mut frame["payload"]["event"], field("sender"));
            frame
        }
        "world" | "system" => event(name, field("action")),
        "settled" => {
            let mut payload = field("rootId");
            payload["action"] = json!("settled");
            event("world", payload)
        }
        "event" => json!({"type": "event_stream", "payload": field("eventType")}),
        "status" => json!({"type": "status", "payload": field("type")}),
        "error" => json!({"type": "error", "payload": field("code")}),
        "durable" => json!({"seq": "$any"}),
        "any" => json!({}),
        _ => return Err(format!("{short:?} is not the short name of a frame")),
    })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_written_out() {
        for (short, full) in [
            (
                json!("settled $m"),
                json!({"type": "event_stream", "payload": {"event": {"type": "world", "payload": {"action": "settled", "rootId": "$m"}}}}),
            ),
            (json!("delta"), json!({"type": "chat_response", "seq": "$absent", "payload": {"complete": false}})),
            (
                json!({"is": "end a1", "payload": {"finishReason": "stop"}}),
                json!({"type": "chat_response", "payload": {"complete": true, "agentName": "a1", "finishReason": "stop"}}),
            ),
            (
                json!({"is": "error CONFLICT", "replyTo": "1"}),
                json!({"type": "error", "payload": {"code": "CONFLICT"}, "replyTo": "1"}),
            ),
            (json!({"type": "pong"}), json!({"type": "pong"})),
            (json!("message"), json!({"type": "event_stream", "payload": {"event": {"type": "message"}}})),
        ] {
            assert_eq!(expand(&short), Ok(full));
        }
        assert!(expand(&json!("nonsense")).is_err());
        assert!(expand(&json!(7)).is_err());
    }
}
