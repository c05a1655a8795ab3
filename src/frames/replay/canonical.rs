//! What is left of a frame when everything is taken away that no two servers have in common, and which frame it is.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::names::Names;

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

struct Patterns {
    uuid: Regex,
    user: Regex,
    cursor: Regex,
    time: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).unwrap_or_else(|error| unreachable!("{error}"));
    Patterns {
        uuid: pattern(UUID),
        user: pattern(&format!("anon_{UUID}")),
        cursor: pattern(r"\b[a-z0-9]{16}:[0-9]{1,16}\b"),
        time: pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"),
    }
});

/// Which frame of a conversation this is. None: a delta, of which there may be any number.
pub fn key(frame: &Value, names: &Names) -> Option<String> {
    let payload = &frame["payload"];
    let name = |id: &Value| id.as_str().map(|id| names.name(id).unwrap_or(id).to_owned()).unwrap_or_default();
    if let Some(request) = frame["replyTo"].as_str() {
        return Some(format!("answer to {request}"));
    }
    let kind = frame["type"].as_str().unwrap_or("what is no frame");
    Some(match kind {
        "chat_response" if payload["complete"] == true => format!("end of {}", name(&payload["messageId"])),
        "chat_response" if frame["seq"].is_null() => return None,
        "chat_response" => format!("start of {}", name(&payload["messageId"])),
        "status" => format!("status {}", payload["type"].as_str().unwrap_or_default()),
        "event_stream" => {
            let event = &payload["event"];
            let inner = &event["payload"];
            match event["type"].as_str() {
                Some("message") => format!("message event of {}", name(&inner["messageId"])),
                _ => {
                    let about = ["agentName", "messageId", "rootId"].iter().find(|field| inner[**field].is_string());
                    let about = about.map_or_else(|| inner["agent"]["name"].clone(), |field| inner[*field].clone());
                    format!("event {} {}", inner["action"].as_str().unwrap_or_default(), name(&about))
                }
            }
        }
        other => other.to_owned(),
    })
}

/// A frame with names for ids, and without what is each server's own.
pub fn canonical(frame: &Value, names: &Names) -> Value {
    let mut value = frame.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("id");
        fields.remove("timestamp");
    }
    if let Some(chosen) = value.pointer_mut("/payload/event/payload").filter(|event| event["action"] == "provider") {
        // What `auto` means is each server's own.
        for field in ["provider", "model"] {
            chosen[field] = Value::from("(whatever it has)");
        }
    }
    tidy(&mut value, names);
    value
}

fn tidy(value: &mut Value, names: &Names) {
    match value {
        Value::String(text) => *text = words(text, names),
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "seq" => *value = Value::from("(a number)"),
                    // Whether there is one says `connected`, and that depends on how the client came.
                    "sessionToken" => *value = Value::from("(a token)"),
                    "messageIds" => {
                        tidy(value, names);
                        if let Some(items) = value.as_array_mut() {
                            items.sort_by_key(ToString::to_string);
                        }
                    }
                    _ => tidy(value, names),
                }
            }
        }
        _ => {}
    }
}

fn words(text: &str, names: &Names) -> String {
    let patterns = &*PATTERNS;
    let text = patterns.user.replace_all(text, "(a user)");
    let text = patterns.uuid.replace_all(&text, |found: &Captures<'_>| {
        names.name(&found[0]).map_or("(an id)".to_owned(), |name| format!("({name})"))
    });
    let text = patterns.cursor.replace_all(&text, "(a cursor)");
    patterns.time.replace_all(&text, "(a time)").into_owned()
}

/// Puts other values into the strings of a frame: of ids and cursors.
pub fn rewrite(value: &mut Value, id: &impl Fn(&str) -> Option<String>, cursor: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            let ids = PATTERNS
                .uuid
                .replace_all(text, |found: &Captures<'_>| id(&found[0]).unwrap_or_else(|| found[0].to_owned()));
            let all = PATTERNS
                .cursor
                .replace_all(&ids, |found: &Captures<'_>| cursor(&found[0]).unwrap_or_else(|| found[0].to_owned()));
            *text = all.into_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, id, cursor)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rewrite(value, id, cursor)),
        _ => {}
    }
}

/// The ids and cursors in a frame that fill a whole string, by where they stand.
pub fn marks(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    let fills = |pattern: &Regex, text: &str| pattern.find(text).is_some_and(|mark| mark.len() == text.len());
    match value {
        Value::String(text) if fills(&PATTERNS.cursor, text) || fills(&PATTERNS.uuid, text) => {
            found.push((at.to_owned(), text.clone()));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| marks(item, &format!("{at}/{index}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| marks(value, &format!("{at}/{name}"), found)),
        _ => {}
    }
}
