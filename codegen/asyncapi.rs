//! `asyncapi.json`: the WebSocket protocol as AsyncAPI 3.0, told from the server's side, and its twin
//! `asyncapi-client.json` with the directions turned round, because most generators do not turn them.

use std::slice;

use serde_json::{Map, Value, json};

use super::{
    catalogue::Message,
    example,
    publish::{COMPONENTS, EMAIL, Frame, HOME, LICENSE, LICENSE_URL, PROTOCOL, Published, TITLE, VERSION},
};

/// From whose side a document is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

impl Side {
    /// What it does with the messages that clients send.
    fn requests(self) -> &'static str {
        if self == Self::Server { "receive" } else { "send" }
    }

    /// What it does with the messages that the server sends of its own accord.
    fn pushes(self) -> &'static str {
        if self == Self::Server { "send" } else { "receive" }
    }
}

const CHANNEL: &str = "#/channels/connection";

pub fn asyncapi(published: &Published, side: Side) -> Value {
    let catalogue = published.catalogue;
    let mut messages = Map::new();
    let mut operations = Map::new();
    for message in &catalogue.client {
        for frame in published.of(&message.wire) {
            messages.insert(frame.name.clone(), request_message(frame));
            operations.insert(key(frame), request_operation(published, side, frame));
        }
    }
    for message in &catalogue.server {
        for frame in published.of(&message.wire) {
            messages.insert(frame.name.clone(), server_message(published, frame));
            if !is_reply(published, frame) {
                operations.insert(key(frame), push_operation(side, frame));
            }
        }
    }
    let channel: Map<String, Value> = published
        .frames
        .iter()
        .map(|frame| (key(frame), json!({"$ref": format!("#/components/messages/{}", frame.name)})))
        .collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "id": format!("{HOME}/{}", if side == Side::Server { "asyncapi.json" } else { "asyncapi-client.json" }),
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": description(published, side),
            "contact": {"name": TITLE, "url": HOME, "email": EMAIL},
            "license": {"name": LICENSE, "url": LICENSE_URL},
            "tags": [
                {"name": "request", "description": "A client asks. Exactly one answer comes back: the reply of this request, or `error`."},
                {"name": "reply", "description": "The server answers a request; `replyTo` is the request's `id`."},
                {"name": "push", "description": "The server tells something of its own accord."},
            ],
        },
        "defaultContentType": "application/json",
        "servers": {"local": {
            "host": "localhost:3001",
            "protocol": "ws",
            "description": "A server as it listens when nothing else is set. Behind TLS the protocol is `wss`.",
            "security": [{"$ref": "#/components/securitySchemes/sessionToken"}, {"$ref": "#/components/securitySchemes/browserToken"}],
        }},
        "channels": {"connection": {
            "address": "/ws",
            "title": "The connection",
            "summary": "One WebSocket connection, with everything that is said on it.",
            "description": "Each text frame is one JSON object: an envelope with a payload. The server's first frame is `status` with `connected`. Requests of one connection are answered one at a time, in the order in which they came; frames that the server sends of its own accord may come between.",
            "servers": [{"$ref": "#/servers/local"}],
            "messages": channel,
            "bindings": {"ws": {"method": "GET", "headers": handshake(), "bindingVersion": "0.1.0"}},
        }},
        "operations": operations,
    });
    let payloads = published.frames.iter().map(|frame| frame.name.clone());
    let mut schemas = Value::Object(published.components(payloads));
    for schema in schemas.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("discriminator");
        }
    }
    document["components"] = json!({
        "messages": messages,
        "schemas": schemas,
        "correlationIds": {
            "request": {"location": "$message.payload#/id", "description": "Chosen by the client; the answer has it as `replyTo`."},
            "reply": {"location": "$message.payload#/replyTo", "description": "The `id` of the request that is answered."},
            "push": {"location": "$message.payload#/id", "description": "A push answers nothing. Its `id` is the same in every replay."},
        },
        "securitySchemes": {
            "sessionToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "The session token, in the header `Authorization`. Optional: without one the connection is a new user's, and `connected` brings the token.",
            },
            "browserToken": {
                "type": "httpApiKey",
                "in": "header",
                "name": "Sec-WebSocket-Protocol",
                "description": format!("For browsers, which cannot set `Authorization`: the subprotocol `bearer.<token>`, offered beside `{PROTOCOL}`. It is never echoed, so a browser that offers it alone fails its own handshake."),
            },
        },
    });
    document
}

fn description(published: &Published, side: Side) -> String {
    let direction = match side {
        Side::Server => "This document is told from the server's side: it *receives* what clients send.",
        Side::Client => {
            "This document is told from a client's side: it *sends* requests. Everything else is as in `asyncapi.json`."
        }
    };
    let codes: String = published
        .catalogue
        .close_codes
        .iter()
        .map(|code| {
            format!("\n| {} | {} | {} |", code.code, if code.reconnect { "yes" } else { "no" }, code.description)
        })
        .collect();
    format!(
        "The WebSocket side of Agent World, a server for worlds of LLM agents. A client connects, selects a world with \
`world_select`, says something with `chat_send`, and is told what happens: replies while they are written by \
`chat_response`, everything else by `event_stream`. {direction}\n\nUnknown fields and types from a client are refused \
with `error`, and the connection lives on. Ignore fields and types of the server that you do not know: they may be \
added at any time. What is durable carries `seq`, its position in the world's log, from which a client that was away \
resumes.\n\nThe server closes a connection with these codes, beside those of RFC 6455:\n\n| code | reconnect | why |\n|---|---|---|{codes}"
    )
}

/// The headers of the upgrade request that mean something.
fn handshake() -> Value {
    json!({
        "type": "object",
        "properties": {
            "Authorization": {"type": "string", "description": "`Bearer <session token>`. Optional."},
            "Sec-WebSocket-Protocol": {
                "type": "string",
                "description": format!("`{PROTOCOL}`; a browser adds `bearer.<session token>`. A client that offers none speaks v1."),
            },
        },
    })
}

/// `status/connected` → `status_connected`.
fn key(frame: &Frame) -> String {
    frame.wire().replace('/', "_")
}

fn is_reply(published: &Published, frame: &Frame) -> bool {
    published.catalogue.client.iter().any(|message| replies_with(message, frame))
}

fn replies_with(message: &Message, frame: &Frame) -> bool {
    message.reply.as_ref().is_some_and(|reply| reply.wire == frame.message.wire && reply.variant == frame.variant)
}

/// An error answers a request, or, when the request's `id` could not be read, nothing.
fn is_error(frame: &Frame) -> bool {
    frame.message.wire == "error"
}

fn message(frame: &Frame, kind: &str, examples: Vec<Value>) -> Value {
    let examples = examples
        .into_iter()
        .enumerate()
        .map(|(index, payload)| json!({"name": format!("{}-{}", key(frame), index + 1), "payload": payload}));
    json!({
        "name": frame.wire(),
        "title": words(&frame.payload),
        "summary": first_sentence(&frame.description),
        "description": frame.description,
        "contentType": "application/json",
        "correlationId": {"$ref": format!("#/components/correlationIds/{kind}")},
        "tags": [{"name": kind}],
        "payload": {"$ref": format!("{COMPONENTS}{}", frame.name)},
        "examples": examples.collect::<Vec<_>>(),
    })
}

fn request_message(frame: &Frame) -> Value {
    let examples = (0..frame.examples.len()).map(|index| example::request(frame, index)).collect();
    message(frame, "request", examples)
}

fn server_message(published: &Published, frame: &Frame) -> Value {
    let reply = is_reply(published, frame);
    let error = is_error(frame);
    let examples = (0..frame.examples.len()).map(|index| example::answer(frame, index, reply || error)).collect();
    message(frame, if reply || error { "reply" } else { "push" }, examples)
}

fn request_operation(published: &Published, side: Side, frame: &Frame) -> Value {
    let answers = published.frames.iter().filter(|other| replies_with(frame.message, other) || is_error(other));
    let refs: Vec<Value> = answers.map(to).collect();
    json!({
        "action": side.requests(),
        "channel": {"$ref": CHANNEL},
        "title": words(&frame.payload),
        "summary": first_sentence(&frame.description),
        "description": format!("{}\n\n{}\n\n{}", frame.description, errors(published, frame.message), conversation(published, frame)),
        "tags": [{"name": "request"}],
        "messages": [to(frame)],
        "reply": {"channel": {"$ref": CHANNEL}, "messages": refs},
    })
}

/// A request with its answer, and with what comes of it, as Markdown.
fn conversation(published: &Published, frame: &Frame) -> String {
    let fence = |frames: &[Value]| {
        let lines: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        format!("```json\n{lines}```")
    };
    let Some(reply) = published.frames.iter().find(|other| replies_with(frame.message, other)) else {
        return String::new();
    };
    let (request, answer) = (example::request(frame, 0), example::answer(reply, 0, true));
    let mut text = format!(
        "The client sends:\n\n{}\n\nThe server answers:\n\n{}",
        fence(slice::from_ref(&request)),
        fence(slice::from_ref(&answer))
    );
    let pushes: Vec<&Frame> = published.frames.iter().filter(|frame| frame.message.durable).collect();
    // A retry is accepted too, but its message is not the head of a chain.
    let follows =
        if request["payload"].get("messageId").is_none() { example::follows(&answer, &pushes) } else { Vec::new() };
    if !follows.is_empty() {
        text.push_str("\n\nAnd then it tells what comes of it, such as:\n\n");
        text.push_str(&fence(&follows));
    }
    text
}

fn push_operation(side: Side, frame: &Frame) -> Value {
    json!({
        "action": side.pushes(),
        "channel": {"$ref": CHANNEL},
        "title": words(&frame.payload),
        "summary": first_sentence(&frame.description),
        "description": frame.description,
        "tags": [{"name": "push"}],
        "messages": [to(frame)],
    })
}

fn to(frame: &Frame) -> Value {
    json!({"$ref": format!("{CHANNEL}/messages/{}", key(frame))})
}

/// What a request can be refused with.
fn errors(published: &Published, message: &Message) -> String {
    let codes = published.catalogue.codes.iter().filter(|code| message.errors.contains(&code.name));
    let lines: String = codes.map(|code| format!("\n- `{}`: {}", code.name, code.description)).collect();
    format!("It can be refused with an `error` of one of these codes:\n{lines}")
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| text.get(..=end).unwrap_or(text))
}

/// `ChatSend` → `Chat send`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}
