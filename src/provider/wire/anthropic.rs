//! Anthropic's messages.

use super::{Call, Heard, Request, Target, Trouble, Usage, messages, put, system, text, tokens, turns};
use serde_json::{Map, Value};

pub(super) fn request(target: &Target, call: &Call) -> Request {
    let mut body = Map::new();
    put(&mut body, "model", Some(&target.model));
    put(&mut body, "system", system(&call.prompt));
    put(&mut body, "messages", Some(messages(turns(&call.prompt))));
    put(&mut body, "stream", Some(true));
    put(&mut body, "temperature", call.config.temperature);
    put(&mut body, "max_tokens", Some(call.config.max_tokens.unwrap_or_else(|| most_tokens(&target.model))));
    let mut headers = vec![("anthropic-version", "2023-06-01".to_owned())];
    headers.extend(target.key.as_ref().map(|key| ("x-api-key", key.expose().to_owned())));
    Request { url: format!("{}messages", target.base), headers, body: Value::Object(body) }
}

/// Anthropic wants a limit, and refuses one that is more than the model can.
fn most_tokens(model: &str) -> u32 {
    match model {
        _ if model.contains("claude-3-5") || model.contains("claude-3-7") => 8_192,
        _ if model.contains("claude-3") => 4_096,
        _ if model.contains("claude-opus-4") => 32_000,
        _ => 64_000,
    }
}

pub(super) fn hear(said: &Value, heard: &mut Heard) -> Result<(), Trouble> {
    let kind = said.get("type").and_then(Value::as_str).unwrap_or_default();
    heard.reply |= kind.starts_with("message_") || kind.starts_with("content_block_");
    match kind {
        "message_start" => heard.count(said.pointer("/message/usage")),
        "content_block_delta" => heard.text.push_str(text(said, "/delta/text").unwrap_or_default()),
        "message_delta" => {
            heard.count(said.get("usage"));
            if let Some(reason) = text(said, "/delta/stop_reason") {
                heard.finished(reason)?;
            }
        }
        "message_stop" => heard.done = true,
        _ => {}
    }
    Ok(())
}

impl Heard {
    /// The counts come in parts, and each is of the whole reply so far.
    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage else { return };
        let before = self.usage.unwrap_or_default();
        // What was read from a cache, or written there, is not among the input tokens.
        let input = tokens(usage, &["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]);
        let input = input.filter(|_| usage.get("input_tokens").is_some_and(Value::is_u64));
        self.usage = Some(Usage {
            input_tokens: input.unwrap_or(before.input_tokens),
            output_tokens: tokens(usage, &["output_tokens"]).unwrap_or(before.output_tokens),
        });
    }
}
