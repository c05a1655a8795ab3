//! From a recording, what its agents would have to be told to say it again.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde_json::{Value, json};

use super::Play;
use crate::{
    frames::{
        ToolError,
        replay::{Recording, Said},
    },
    protocol::TemplateName,
};

/// What a rule, a piece and a script may hold at most (schema/script.json).
const MAX_PHRASE: usize = 500;
const MAX_TEXT: usize = 32_768;
const MAX_CHUNKS: usize = 1_000;
const MAX_RULES: usize = 1_000;
const MAX_DELAY_MS: i64 = 600_000;
/// What a script puts something else in the place of.
const PLACEHOLDERS: [&str; 4] = ["{agent}", "{from}", "{message}", "{call}"];

/// What an agent said once.
struct Reply {
    agent: String,
    /// How often the agent had been asked, this time included.
    call: u64,
    /// The words that it answers.
    to: String,
    pieces: Vec<(i64, String)>,
    last_ms: i64,
    /// The text as far as the pieces have it, if they are one after the other.
    length: Option<u64>,
    end: Option<Value>,
}

pub fn derive(file: &Path, recording: &Recording) -> Result<Play, ToolError> {
    let mut asked: HashMap<(u64, String), String> = HashMap::new();
    let mut words: HashMap<String, String> = HashMap::new();
    let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut replies: Vec<Reply> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut templates: BTreeMap<String, Value> = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for step in &recording.steps {
        let frame = match &step.said {
            Said::Client(_, Some(frame)) => {
                asked.insert((step.connection, text(&frame["id"])), text(&frame["payload"]["content"]));
                continue;
            }
            Said::Server(frame) => frame,
            _ => continue,
        };
        let payload = &frame["payload"];
        match frame["type"].as_str().unwrap_or_default() {
            "world_selected" => {
                let name = text(&payload["templateName"]);
                // It becomes the name of a file, and a recording may come from anywhere.
                if let Err(invalid) = TemplateName::new(name.as_str()) {
                    let reason = format!("/frame/payload/templateName {invalid}");
                    return Err(ToolError::Line { file: file.to_owned(), line: step.line, reason });
                }
                templates.entry(name).or_insert_with(|| template(payload));
            }
            "status" if payload["type"] == "message_accepted" => {
                if let Some(content) = asked.get(&(step.connection, text(&frame["replyTo"]))) {
                    words.insert(text(&payload["data"]["messageId"]), content.clone());
                }
            }
            "event_stream" if payload["event"]["type"] == "message" => {
                let message = &payload["event"]["payload"];
                words.insert(text(&message["messageId"]), text(&message["content"]));
            }
            "chat_response" => {
                let id = text(&payload["messageId"]);
                let place = *places.entry(id).or_insert_with(|| {
                    let agent = text(&payload["agentName"]);
                    let call = calls.entry((text(&payload["worldName"]), agent.clone())).or_default();
                    *call += 1;
                    let to = words.get(&text(&payload["inReplyTo"])).cloned().unwrap_or_default();
                    let last_ms = step.at_ms;
                    replies.push(Reply {
                        agent,
                        call: *call,
                        to,
                        pieces: Vec::new(),
                        last_ms,
                        length: Some(0),
                        end: None,
                    });
                    replies.len() - 1
                });
                replies[place].hear(step.at_ms, payload);
            }
            _ => {}
        }
    }
    Ok(Play { script: script(&replies), templates: templates.into_values().collect() })
}

/// The template of a world, as far as the world shows it.
fn template(selected: &Value) -> Value {
    let agents = selected["agents"].as_array().into_iter().flatten().map(|agent| {
        let status = if agent["status"] == "inactive" { "inactive" } else { "active" };
        let mut config = agent["config"].clone();
        // Said of an agent, not to it.
        config.as_object_mut().map(|fields| fields.remove("hasApiKey"));
        json!({"name": agent["name"], "status": status, "config": config})
    });
    json!({
        "name": selected["templateName"],
        "description": "A world that was recorded.",
        "turnLimit": selected["worldState"]["turnLimit"],
        "agents": agents.collect::<Vec<_>>(),
    })
}

impl Reply {
    fn hear(&mut self, at_ms: i64, payload: &Value) {
        if payload["complete"] == true {
            // Two connections may have heard the same.
            self.end.get_or_insert_with(|| payload.clone());
            return;
        }
        let content = payload["content"].as_str().unwrap_or_default();
        if content.is_empty() || self.end.is_some() {
            return;
        }
        if self.length == payload["offset"].as_u64() {
            self.length = self.length.map(|length| length + content.chars().count() as u64);
            self.pieces.push(((at_ms - self.last_ms).clamp(0, MAX_DELAY_MS), content.to_owned()));
            self.last_ms = at_ms;
        } else if self.length.is_some_and(|length| payload["offset"].as_u64().is_some_and(|offset| offset > length)) {
            // Something is missing: the pieces are no use.
            self.length = None;
        }
    }

    /// The reply as a script has it.
    fn reply(&self) -> Value {
        let end = self.end.clone().unwrap_or_else(|| json!({"finishReason": "interrupted", "content": ""}));
        let reason = end["finishReason"].as_str().unwrap_or_default();
        let joined: String = self.pieces.iter().map(|(_, piece)| piece.as_str()).collect();
        let content = end["content"].as_str().unwrap_or_default();
        // An interrupted reply's end holds nothing; what was heard of it does.
        let content = if content.is_empty() { joined.as_str() } else { content };
        let mut pieces = match content.strip_prefix(joined.as_str()).filter(|_| self.length.is_some()) {
            Some(rest) => self.pieces.iter().cloned().chain((!rest.is_empty()).then(|| (0, rest.to_owned()))).collect(),
            None => vec![(0, content.to_owned())],
        };
        pieces = pieces.into_iter().flat_map(|(delay, text)| split(delay, &text)).collect();
        if pieces.len() > MAX_CHUNKS {
            pieces = split(0, content);
        }
        pieces.truncate(MAX_CHUNKS);
        let chunks: Vec<_> = pieces.iter().map(|(delay, text)| json!({"text": text, "delayMs": delay})).collect();
        let mut reply = json!({"chunks": chunks});
        if end["usage"].is_object() {
            reply["usage"] = end["usage"].clone();
        }
        let after = chunks.len();
        match reason {
            "length" => reply["finish"] = json!("length"),
            // Until somebody cancels it, as somebody did.
            "cancelled" => reply["fault"] = json!({"type": "hang", "afterPieces": after}),
            "interrupted" => reply["fault"] = json!({"type": "cut", "afterPieces": after}),
            "error" => {
                let message: String =
                    end["error"]["message"].as_str().unwrap_or_default().chars().take(MAX_PHRASE).collect();
                let message = if message.is_empty() { "it failed".to_owned() } else { message };
                let retryable = end["error"]["retryable"] == true;
                reply["fault"] =
                    json!({"type": "error", "afterPieces": after, "message": message, "retryable": retryable});
                if end["error"]["retryAfterMs"].is_u64() {
                    reply["fault"]["retryAfterMs"] = end["error"]["retryAfterMs"].clone();
                }
            }
            _ => {}
        }
        reply
    }

    fn phrase(&self) -> String {
        self.to.chars().take(MAX_PHRASE).collect()
    }
}

/// A piece in parts that are short enough, none of which holds what a script would put something else in the place of.
fn split(delay: i64, text: &str) -> Vec<(i64, String)> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for (at, c) in text.char_indices() {
        part.push(c);
        if part.chars().count() == MAX_TEXT
            || PLACEHOLDERS.iter().any(|placeholder| text[at..].starts_with(placeholder))
        {
            parts.push(std::mem::take(&mut part));
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts.into_iter().enumerate().map(|(index, part)| (if index == 0 { delay } else { 0 }, part)).collect()
}

/// The rules: to the same words the same reply, and where there were several, each at its turn.
fn script(replies: &[Reply]) -> Value {
    let mut rules: Vec<(usize, bool, Value)> = Vec::new();
    for reply in replies.iter().filter(|reply| !reply.to.is_empty()) {
        let phrase = reply.phrase();
        let same = |other: &&Reply| other.agent == reply.agent && other.phrase() == phrase;
        let rule = json!({"agent": reply.agent, "contains": phrase, "reply": reply.reply()});
        let several = replies.iter().filter(same).count() > 1;
        if several {
            let mut once = rule.clone();
            once["call"] = json!(reply.call);
            rules.push((phrase.len(), true, once));
        }
        if replies.iter().find(same).is_some_and(|first| std::ptr::eq(first, reply)) {
            rules.push((phrase.len(), false, rule));
        }
    }
    // The longest words first: they may contain the others'. Then the one turn before any other.
    rules.sort_by_key(|(length, once, _)| (std::cmp::Reverse(*length), !once));
    let rules: Vec<Value> = rules.into_iter().map(|(_, _, rule)| rule).take(MAX_RULES).collect();
    let otherwise = "(The recording has no reply to this.) {from} said: {message}";
    json!({"name": "recording", "rules": rules, "otherwise": {"chunks": [{"text": otherwise, "split": "words"}]}})
}
