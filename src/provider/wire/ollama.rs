//! Ollama's own protocol: a JSON object in each line.

use super::{Call, Heard, Request, Target, Trouble, Usage, message, messages, put, system, text, tokens, turns};
use serde_json::{Map, Value};

pub(super) fn request(target: &Target, call: &Call) -> Request {
    let mut said: Vec<Value> = system(&call.prompt).map(|system| message("system", system)).into_iter().collect();
    said.extend(messages(turns(&call.prompt)));
    let mut options = Map::new();
    put(&mut options, "temperature", call.config.temperature);
    put(&mut options, "num_predict", call.config.max_tokens);
    let mut body = Map::new();
    put(&mut body, "model", Some(&target.model));
    put(&mut body, "messages", Some(said));
    put(&mut body, "stream", Some(true));
    put(&mut body, "options", (!options.is_empty()).then_some(options));
    // Ollama itself knows no keys; what stands before one may, and ollama.com does.
    let key = target.key.as_ref().map(|key| ("authorization", format!("Bearer {}", key.expose())));
    Request { url: format!("{}api/chat", target.base), headers: key.into_iter().collect(), body: Value::Object(body) }
}

pub(super) fn hear(said: &Value, heard: &mut Heard) -> Result<(), Trouble> {
    heard.reply |= said.get("message").is_some_and(Value::is_object) || said.get("done").is_some();
    heard.text.push_str(text(said, "/message/content").unwrap_or_default());
    if said.get("done").and_then(Value::as_bool) == Some(true) {
        heard.done = true;
        heard.usage = Some(Usage {
            input_tokens: tokens(said, &["prompt_eval_count"]).unwrap_or(0),
            output_tokens: tokens(said, &["eval_count"]).unwrap_or(0),
        });
        // Old servers give no reason.
        heard.finished(text(said, "/done_reason").unwrap_or("stop"))?;
    }
    Ok(())
}
