//! Remote models, through genai: one request, its stream of events turned into steps.

use super::{Call, Finish, Prompt, ProviderError, ProviderKind, Role, Secret, Step, Steps, Usage, failure};
use futures_util::StreamExt;
use genai::{
    Client, Headers, ModelIden, ServiceTarget,
    adapter::AdapterKind,
    chat::{ChatMessage, ChatOptions, ChatRequest, ChatRole, ChatStreamEvent, ReasoningEffort, StopReason},
    resolver::{AuthData, Endpoint},
};
use url::Url;

/// Where one call goes.
pub(super) struct Target {
    pub kind: ProviderKind,
    pub model: String,
    /// Ends in `/`.
    pub base: Url,
    pub key: Option<Secret>,
    /// Connects to what was checked, follows no redirect.
    pub client: reqwest::Client,
}

/// Sends the call. An empty [`Step::Text`] means that the model is at work without saying anything.
pub(super) fn reply(target: Target, call: Call) -> Steps {
    Box::pin(async_stream::try_stream! {
        let fail = |error| failure::describe(error, target.kind, target.key.as_ref());
        let client = Client::builder().with_reqwest(target.client.clone()).build().map_err(fail)?;
        let answer = client
            .exec_chat_stream(service(&target), request(&call.prompt), Some(&options(&target, &call)))
            .await
            .map_err(fail)?;
        let mut events = answer.stream;
        while let Some(event) = events.next().await {
            match event.map_err(fail)? {
                // Comes before the connection is made: no sign of life.
                ChatStreamEvent::Start => {}
                ChatStreamEvent::Chunk(chunk) => yield Step::Text(chunk.content),
                ChatStreamEvent::End(end) => {
                    let usage = end.captured_usage.map(|usage| Usage {
                        input_tokens: tokens(usage.prompt_tokens),
                        output_tokens: tokens(usage.completion_tokens),
                    });
                    let finish = finish(end.captured_stop_reason)?;
                    yield Step::End { finish, usage };
                    return;
                }
                _ => yield Step::Text(String::new()),
            }
        }
        // The events ended without an end: `guard` reports it.
    })
}

fn tokens(count: Option<i32>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

fn finish(reason: Option<StopReason>) -> Result<Finish, ProviderError> {
    match reason {
        Some(StopReason::MaxTokens(_)) => Ok(Finish::Length),
        Some(StopReason::ContentFilter(_)) => Err(ProviderError::lasting(
            "the provider withheld the reply: its content filter was triggered",
            "stop reason: content filter",
        )),
        _ => Ok(Finish::Stop),
    }
}

fn service(target: &Target) -> ServiceTarget {
    let adapter = match target.kind {
        ProviderKind::Anthropic => AdapterKind::Anthropic,
        ProviderKind::Google => AdapterKind::Gemini,
        ProviderKind::Xai => AdapterKind::Xai,
        ProviderKind::Ollama => AdapterKind::Ollama,
        ProviderKind::OpenAi | ProviderKind::OpenAiCompatible | ProviderKind::Auto | ProviderKind::Script => {
            AdapterKind::OpenAI
        }
    };
    let auth = match &target.key {
        Some(key) => AuthData::from_single(key.expose()),
        // Without a key there is no `Authorization` at all: an empty one is refused by some servers.
        None if speaks_openai(target.kind) => {
            AuthData::RequestOverride { url: format!("{}chat/completions", target.base), headers: Headers::default() }
        }
        None => AuthData::from_single(""),
    };
    // What stands before `::` is genai's, and taken off: here it is nothing, and the name is whole.
    let model = ModelIden::new(adapter, format!("::{}", target.model));
    ServiceTarget { endpoint: Endpoint::from_owned(target.base.as_str()), auth, model }
}

fn speaks_openai(kind: ProviderKind) -> bool {
    matches!(kind, ProviderKind::OpenAi | ProviderKind::OpenAiCompatible | ProviderKind::Xai)
}

fn options(target: &Target, call: &Call) -> ChatOptions {
    let mut options = ChatOptions::default().with_capture_usage(true);
    if speaks_openai(target.kind) {
        // Otherwise genai takes `-high` and the like off a model's name. A budget is not sent.
        options.reasoning_effort = Some(ReasoningEffort::Budget(0));
    }
    options.temperature = call.config.temperature;
    options.max_tokens = call.config.max_tokens;
    options
}

/// The prompt as every provider takes it: it begins and ends with the user's side, and the sides
/// alternate, since some models' templates refuse anything else. Who speaks stands before the text.
fn request(prompt: &Prompt) -> ChatRequest {
    let mut turns: Vec<(ChatRole, String)> = Vec::with_capacity(prompt.items.len() + 2);
    if prompt.items.first().is_none_or(|item| item.role == Role::Own) {
        turns.push((ChatRole::User, "(the conversation so far is not shown)".to_owned()));
    }
    for item in &prompt.items {
        let (role, text) = match (item.role, &item.speaker) {
            (Role::Own, _) => (ChatRole::Assistant, item.content.clone()),
            (_, Some(speaker)) => (ChatRole::User, format!("{speaker}: {}", item.content)),
            (_, None) => (ChatRole::User, item.content.clone()),
        };
        match turns.last_mut() {
            Some((last, said)) if *last == role => {
                said.push_str("\n\n");
                said.push_str(&text);
            }
            _ => turns.push((role, text)),
        }
    }
    if prompt.items.last().is_some_and(|item| item.role == Role::Own) {
        turns.push((ChatRole::User, "(please go on)".to_owned()));
    }
    let messages = turns.into_iter().map(|(role, text)| ChatMessage::new(role, text)).collect();
    let request = ChatRequest::new(messages);
    match &prompt.system {
        Some(system) if !system.is_empty() => request.with_system(system.as_str()),
        _ => request,
    }
}
