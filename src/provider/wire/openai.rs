//! OpenAI's chat completions, which most servers speak.

use super::{Call, Heard, Request, Target, Trouble, Usage, message, messages, put, system, text, tokens, turns};
use serde_json::{Map, Value, json};

pub(super) fn request(target: &Target, call: &Call) -> Request {
    let mut said: Vec<Value> = system(&call.prompt).map(|system| message("system", system)).into_iter().collect();
    said.extend(messages(turns(&call.prompt)));
    let mut body = Map::new();
    put(&mut body, "model", Some(&target.model));
    put(&mut body, "messages", Some(said));
    put(&mut body, "stream", Some(true));
    put(&mut body, "stream_options", Some(json!({ "include_usage": true })));
    put(&mut body, "temperature", call.config.temperature);
    put(&mut body, limit_name(&target.model), call.config.max_tokens);
    // Without a key there is no `Authorization` at all: an empty one is refused by some servers.
    let key = target.key.as_ref().map(|key| ("authorization", format!("Bearer {}", key.expose())));
    Request {
        url: format!("{}chat/completions", target.base),
        headers: key.into_iter().collect(),
        body: Value::Object(body),
    }
}

/// OpenAI's reasoning models refuse the old name, and most other servers know no other.
fn limit_name(model: &str) -> &'static str {
    let new = ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|family| model.starts_with(family));
    if new { "max_completion_tokens" } else { "max_tokens" }
}

pub(super) fn hear(said: &Value, heard: &mut Heard) -> Result<(), Trouble> {
    heard.reply |= said.get("choices").is_some();
    match said.pointer("/choices/0/delta/content") {
        Some(Value::String(text)) => heard.text.push_str(text),
        // Mistral's reasoning models send typed pieces, of which some are thoughts.
        Some(Value::Array(pieces)) => {
            let spoken = pieces.iter().filter(|piece| piece.get("type").is_some_and(|kind| kind == "text"));
            spoken.filter_map(|piece| text(piece, "/text")).for_each(|text| heard.text.push_str(text));
        }
        _ => {}
    }
    if let Some(usage) = said.get("usage")
        && let (Some(input_tokens), Some(output_tokens)) =
            (tokens(usage, &["prompt_tokens"]), tokens(usage, &["completion_tokens"]))
    {
        heard.usage = Some(Usage { input_tokens, output_tokens });
    }
    text(said, "/choices/0/finish_reason").map_or(Ok(()), |reason| heard.finished(reason))
}
