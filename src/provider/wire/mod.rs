//! What providers' servers are sent, and what their answers mean: text in, text out, one file for
//! each protocol. Nothing here does I/O.

mod anthropic;
pub(super) mod frames;
mod google;
mod ollama;
mod openai;

use super::{Call, Finish, Prompt, ProviderKind, Role, Usage, remote::Target};
use frames::{Form, Frame};
use serde::Serialize;
use serde_json::{Map, Value};

/// A request to a model's server.
pub(super) struct Request {
    pub url: String,
    /// Names and values, the key among them.
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

/// What a model's server has said so far.
#[derive(Default)]
pub(super) struct Heard {
    /// Text that was not handed on yet.
    pub text: String,
    /// Whether anything was said that only a model says.
    pub reply: bool,
    /// Why the reply ended, once that was said. What it cost may still follow.
    pub finish: Option<Finish>,
    /// Nothing follows.
    pub done: bool,
    pub usage: Option<Usage>,
}

/// An answer that is not the next piece of a reply.
#[derive(Debug, PartialEq)]
pub(super) enum Trouble {
    /// It cannot be understood; says why, for the log.
    Garbled(&'static str),
    /// The provider reports an error, in an object of its own form.
    Reported(Value),
    /// The provider's filter holds the reply back, for the reason that it names.
    Withheld(String),
}

/// How the answers of a provider are divided.
pub(super) fn form(kind: ProviderKind) -> Form {
    match kind {
        ProviderKind::Ollama => Form::Lines,
        _ => Form::Events,
    }
}

pub(super) fn request(target: &Target, call: &Call) -> Request {
    match target.kind {
        ProviderKind::Anthropic => anthropic::request(target, call),
        ProviderKind::Google => google::request(target, call),
        ProviderKind::Ollama => ollama::request(target, call),
        ProviderKind::OpenAi
        | ProviderKind::Xai
        | ProviderKind::OpenAiCompatible
        | ProviderKind::Auto
        | ProviderKind::Script => openai::request(target, call),
    }
}

/// Takes in one frame. What is not known is skipped: providers add to their protocols.
pub(super) fn hear(kind: ProviderKind, frame: &Frame, heard: &mut Heard) -> Result<(), Trouble> {
    // OpenAI's last event; some gateways put it behind every protocol.
    if frame.data == "[DONE]" {
        heard.done = true;
        return Ok(());
    }
    let said: Value = serde_json::from_str(&frame.data).map_err(|_| Trouble::Garbled("event is not JSON"))?;
    // Some servers send `"error": null` with every event.
    if frame.name == "error" || said.get("error").is_some_and(|error| !error.is_null()) {
        return Err(Trouble::Reported(said));
    }
    match kind {
        ProviderKind::Anthropic => anthropic::hear(&said, heard),
        ProviderKind::Google => google::hear(&said, heard),
        ProviderKind::Ollama => ollama::hear(&said, heard),
        ProviderKind::OpenAi
        | ProviderKind::Xai
        | ProviderKind::OpenAiCompatible
        | ProviderKind::Auto
        | ProviderKind::Script => openai::hear(&said, heard),
    }
}

impl Heard {
    /// Why the reply ended, in the words of any provider; what is not known is an end like others.
    fn finished(&mut self, reason: &str) -> Result<(), Trouble> {
        self.finish = Some(match reason {
            "length" | "max_tokens" | "MAX_TOKENS" | "model_length" | "model_context_window_exceeded" => Finish::Length,
            "content_filter"
            | "refusal"
            | "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "LANGUAGE"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => {
                return Err(Trouble::Withheld(reason.to_owned()));
            }
            _ => Finish::Stop,
        });
        Ok(())
    }
}

/// The text at `pointer`, if there is any.
fn text<'a>(said: &'a Value, pointer: &str) -> Option<&'a str> {
    said.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// The counts at `names`, added up; `None` if there is none of them.
fn tokens(usage: &Value, names: &[&str]) -> Option<u64> {
    let counts = names.iter().filter_map(|name| usage.get(name)?.as_u64());
    counts.fold(None, |sum, count| Some(sum.unwrap_or(0u64).saturating_add(count)))
}

/// Puts `value` into `object`, if there is one.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value.and_then(|value| serde_json::to_value(value).ok()) {
        object.insert(name.to_owned(), value);
    }
}

/// A message as OpenAI and those who follow it write it.
fn messages(turns: Vec<Turn>) -> Vec<Value> {
    turns.into_iter().map(|Turn { own, text }| message(if own { "assistant" } else { "user" }, &text)).collect()
}

fn message(role: &str, content: &str) -> Value {
    serde_json::json!({ "role": role, "content": content })
}

fn system(prompt: &Prompt) -> Option<&str> {
    prompt.system.as_deref().filter(|system| !system.is_empty())
}

/// One side's words, until the other speaks.
struct Turn {
    /// Whether the agent itself spoke.
    own: bool,
    text: String,
}

/// The prompt as every provider takes it: it begins and ends with the user's side, and the sides
/// alternate, since some models' templates refuse anything else. Who speaks stands before the text.
fn turns(prompt: &Prompt) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::with_capacity(prompt.items.len() + 2);
    if prompt.items.first().is_none_or(|item| item.role == Role::Own) {
        turns.push(Turn { own: false, text: "(the conversation so far is not shown)".to_owned() });
    }
    for item in &prompt.items {
        let own = item.role == Role::Own;
        let text = match item.name.as_ref().or(item.speaker.as_ref()) {
            Some(speaker) if !own => format!("{speaker}: {}", item.content),
            _ => item.content.clone(),
        };
        match turns.last_mut() {
            Some(last) if last.own == own => {
                last.text.push_str("\n\n");
                last.text.push_str(&text);
            }
            _ => turns.push(Turn { own, text }),
        }
    }
    if prompt.items.last().is_some_and(|item| item.role == Role::Own) {
        turns.push(Turn { own: false, text: "(please go on)".to_owned() });
    }
    turns
}
