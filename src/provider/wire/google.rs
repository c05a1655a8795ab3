//! Google's Gemini.

use super::{Call, Heard, Request, Target, Trouble, Turn, Usage, put, system, text, tokens, turns};
use serde_json::{Map, Value, json};

pub(super) fn request(target: &Target, call: &Call) -> Request {
    let contents: Vec<_> = turns(&call.prompt)
        .into_iter()
        .map(|Turn { own, text }| json!({ "role": if own { "model" } else { "user" }, "parts": [{ "text": text }] }))
        .collect();
    let mut settings = Map::new();
    put(&mut settings, "temperature", call.config.temperature);
    put(&mut settings, "maxOutputTokens", call.config.max_tokens);
    let mut body = Map::new();
    put(&mut body, "contents", Some(contents));
    put(&mut body, "systemInstruction", system(&call.prompt).map(|system| json!({ "parts": [{ "text": system }] })));
    put(&mut body, "generationConfig", (!settings.is_empty()).then_some(settings));
    Request {
        url: format!("{}models/{}:streamGenerateContent?alt=sse", target.base, target.model),
        headers: target.key.as_ref().map(|key| ("x-goog-api-key", key.expose().to_owned())).into_iter().collect(),
        body: Value::Object(body),
    }
}

/// There is no last event: the reply is whole if a reason was given and the stream is over.
pub(super) fn hear(said: &Value, heard: &mut Heard) -> Result<(), Trouble> {
    heard.reply |= said.get("candidates").is_some();
    if let Some(reason) = text(said, "/promptFeedback/blockReason") {
        return Err(Trouble::Withheld(reason.to_owned()));
    }
    let parts = said.pointer("/candidates/0/content/parts").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        if part.get("thought").and_then(Value::as_bool) != Some(true) {
            heard.text.push_str(text(part, "/text").unwrap_or_default());
        }
    }
    if let Some(usage) = said.get("usageMetadata") {
        heard.usage = Some(Usage {
            input_tokens: tokens(usage, &["promptTokenCount"]).unwrap_or(0),
            output_tokens: tokens(usage, &["candidatesTokenCount", "thoughtsTokenCount"]).unwrap_or(0),
        });
    }
    text(said, "/candidates/0/finishReason").map_or(Ok(()), |reason| heard.finished(reason))
}
