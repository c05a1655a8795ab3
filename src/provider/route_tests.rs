//! Who answers: keys, addresses, models, and what `auto` means.

use super::{
    Account, BaseUrlPolicy, Call, Deadlines, Finish, ModelConfig, Prompt, PromptItem, Provider, ProviderError,
    ProviderKind, ProviderSettings, Providers, Role, Secret, Step, Usage,
    fake_upstream::{Act, FakeUpstream, chunk, event_stream, finish, head},
};
use ProviderKind::{Anthropic, Auto, Google, Ollama, OpenAi, OpenAiCompatible, Script, Xai};
use futures_util::StreamExt;
use std::{collections::BTreeMap, time::Duration};
use url::Url;

const NOWHERE: &str = "http://127.0.0.1:9/";

fn account(key: Option<&str>, base_url: &str) -> Account {
    Account { key: key.map(Secret::new), base_url: Some(Url::parse(base_url).unwrap()), model: None }
}

fn providers(accounts: impl IntoIterator<Item = (ProviderKind, Account)>) -> Providers {
    let mut accounts: BTreeMap<_, _> = accounts.into_iter().collect();
    // A test never asks an Ollama that happens to run on the machine.
    accounts.entry(Ollama).or_insert_with(|| account(None, NOWHERE));
    Providers::new(ProviderSettings {
        accounts,
        base_urls: BaseUrlPolicy { loopback: true, patterns: Vec::new() },
        deadlines: Deadlines { first: Duration::from_secs(5), ..Deadlines::default() },
        ..ProviderSettings::default()
    })
}

fn call(config: ModelConfig) -> Call {
    let item = PromptItem { role: Role::Human, speaker: None, name: None, content: "hi".to_owned() };
    let prompt = Prompt { system: None, items: vec![item], answered: None };
    Call { world: "w".to_owned(), agent: "a1".to_owned(), config, prompt, call_number: 1 }
}

/// Who was chosen.
async fn chosen(providers: &Providers, config: ModelConfig) -> Result<(ProviderKind, String), ProviderError> {
    match providers.call(call(config)).next().await {
        Some(Ok(Step::Resolved { provider, model, .. })) => Ok((provider, model)),
        Some(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

async fn upstream() -> FakeUpstream {
    FakeUpstream::start(vec![Act::Send([event_stream(), chunk("a"), finish("stop")].concat())]).await
}

async fn ollama(models: &str) -> FakeUpstream {
    let answer = format!(r#"{{"models": [{models}]}}"#);
    FakeUpstream::start(vec![Act::Send([head("200 OK", "content-type: application/json\r\n"), answer.into()].concat())])
        .await
}

#[tokio::test]
async fn the_script_may_speak_for_all() {
    let providers = Providers::new(ProviderSettings { script_all: true, ..ProviderSettings::default() });
    for provider in [Auto, Ollama, OpenAi, Script] {
        let config = ModelConfig::new(provider);
        assert_eq!(chosen(&providers, config).await.unwrap().0, Script, "{provider}");
    }
}

#[tokio::test]
async fn auto_takes_the_first_key_then_ollama_then_the_script() {
    let key = |kind| (kind, account(Some("k"), NOWHERE));
    let auto = || ModelConfig::new(Auto);
    for (kinds, expected) in [
        (vec![Xai, Google, Anthropic, OpenAi], OpenAi),
        (vec![Xai, Google, Anthropic], Anthropic),
        (vec![Xai, Google], Google),
        (vec![Xai], Xai),
    ] {
        assert_eq!(chosen(&providers(kinds.into_iter().map(key)), auto()).await.unwrap().0, expected);
    }

    let running = ollama(r#"{"name": "tiny:1b"}, {"name": "other"}"#).await;
    let with = |upstream: &FakeUpstream| providers([(Ollama, account(None, &format!("http://{}/", upstream.address)))]);
    assert_eq!(chosen(&with(&running), auto()).await, Ok((Ollama, "tiny:1b".to_owned())));

    for silent in [ollama("").await, FakeUpstream::start(vec![Act::Hang]).await] {
        assert_eq!(chosen(&with(&silent), auto()).await, Ok((Script, "demo".to_owned())));
    }
    assert_eq!(chosen(&providers([]), auto()).await, Ok((Script, "demo".to_owned())));
}

#[tokio::test]
async fn auto_asks_ollama_once_in_thirty_seconds() {
    let mut running = ollama(r#"{"name": "tiny"}"#).await;
    let providers = providers([(Ollama, account(None, &format!("http://{}/", running.address)))]);
    for _ in 0..3 {
        assert_eq!(chosen(&providers, ModelConfig::new(Auto)).await, Ok((Ollama, "tiny".to_owned())));
    }
    assert!(running.request().await.0.starts_with("get /api/tags "));
    assert!(running.saw.try_recv().is_err(), "asked again");
}

#[tokio::test]
async fn auto_with_an_address_is_that_address_and_with_a_key_alone_is_refused() {
    let mut config = ModelConfig::new(Auto);
    config.api_key = Some(Secret::new("k"));
    let error = chosen(&providers([]), config.clone()).await.unwrap_err();
    assert!(!error.retryable && error.message.contains("name the provider"), "{error:?}");
    config.base_url = Some(NOWHERE.to_owned());
    assert_eq!(chosen(&providers([]), config).await.unwrap().0, OpenAiCompatible);
}

#[tokio::test]
async fn keys_go_where_they_belong() {
    for (own, at_own_address, client_key, client_address, sent) in [
        (Some("env"), true, None, false, Some("env")),
        (Some("env"), false, None, true, None),
        (Some("env"), false, Some("mine"), true, Some("mine")),
        (None, false, Some("mine"), true, Some("mine")),
    ] {
        let mut upstream = upstream().await;
        let own_address = if at_own_address { format!("{}/", upstream.url()) } else { NOWHERE.to_owned() };
        let providers = providers([(OpenAi, account(own, &own_address))]);
        let mut config = ModelConfig::new(OpenAi);
        config.api_key = client_key.map(Secret::new);
        config.base_url = client_address.then(|| upstream.url());
        let steps: Vec<_> = providers.call(call(config)).collect().await;
        assert!(steps.iter().all(Result::is_ok), "{steps:?}");
        let (head, _) = upstream.request().await;
        let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: bearer "));
        assert_eq!(authorization, sent);
    }
}

#[tokio::test]
async fn an_agents_own_key_does_not_go_to_the_operators_address() {
    let mut upstream = upstream().await;
    let providers = providers([(OpenAiCompatible, account(Some("env"), &format!("{}/", upstream.url())))]);
    let mut config = ModelConfig::new(OpenAiCompatible);
    config.api_key = Some(Secret::new("mine"));
    // Of this one no address is known that is its own.
    let steps: Vec<_> = providers.call(call(config)).collect().await;
    let [Err(error)] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((error.message.as_str(), error.retryable), ("provider openai-compatible needs a baseUrl", false));
    assert!(upstream.saw.try_recv().is_err(), "it was called");
}

#[tokio::test]
async fn an_ollama_that_was_named_has_time_and_is_shown_the_key() {
    let tags = [head("200 OK", "content-type: application/json\r\n"), br#"{"models": [{"name": "tiny"}]}"#.to_vec()];
    let slow = || vec![Act::Wait(Duration::from_millis(900)), Act::Send(tags.concat())];
    let mut upstream = FakeUpstream::start(slow()).await;
    let mut config = ModelConfig::new(Ollama);
    config.base_url = Some(format!("http://{}", upstream.address));
    config.api_key = Some(Secret::new("k"));
    assert_eq!(chosen(&providers([]), config).await, Ok((Ollama, "tiny".to_owned())));
    let (head, _) = upstream.request().await;
    assert!(head.starts_with("get /api/tags ") && head.contains("\r\nauthorization: bearer k"), "{head}");

    // A guess is not worth waiting for.
    let upstream = FakeUpstream::start(slow()).await;
    let guessing = providers([(Ollama, account(None, &format!("http://{}/", upstream.address)))]);
    assert_eq!(chosen(&guessing, ModelConfig::new(Auto)).await, Ok((Script, "demo".to_owned())));
}

#[tokio::test]
async fn each_provider_is_spoken_to_in_its_own_way() {
    for (kind, line, key) in [
        (OpenAi, "post /v1/chat/completions ", Some("authorization: bearer k")),
        (OpenAiCompatible, "post /v1/chat/completions ", Some("authorization: bearer k")),
        (Xai, "post /v1/chat/completions ", Some("authorization: bearer k")),
        (Anthropic, "post /v1/messages ", Some("x-api-key: k")),
        (Google, "post /v1beta/models/m:streamgeneratecontent?alt=sse ", Some("x-goog-api-key: k")),
        (Ollama, "post /api/chat ", Some("authorization: bearer k")),
    ] {
        let mut upstream = FakeUpstream::start(vec![Act::Send(head("500 x", ""))]).await;
        let mut config = ModelConfig::new(kind);
        config.base_url = Some(format!("http://{}", upstream.address));
        config.api_key = Some(Secret::new("k"));
        config.model = Some("m".to_owned());
        config.temperature = Some(0.0);
        config.max_tokens = Some(5);
        let steps: Vec<_> = providers([]).call(call(config)).collect().await;
        assert!(steps.last().is_some_and(Result::is_err), "{steps:?}");
        let (head, body) = upstream.request().await;
        assert!(head.starts_with(line), "{kind}: {head}");
        assert!(key.is_none_or(|key| head.contains(key)), "{kind}: {head}");
        let text = body.to_string();
        assert!(text.contains(r#""temperature":0.0"#) && text.contains("hi"), "{kind}: {text}");
    }
}

#[tokio::test]
async fn each_providers_reply_is_understood() {
    let anthropic = concat!(
        "event: message_start\ndata: {\"type\": \"message_start\", \"message\": {\"usage\": {\"input_tokens\": 11, \"output_tokens\": 1}}}\n\n",
        "event: content_block_start\ndata: {\"type\": \"content_block_start\", \"index\": 0, \"content_block\": {\"type\": \"text\", \"text\": \"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\": \"content_block_delta\", \"index\": 0, \"delta\": {\"type\": \"text_delta\", \"text\": \"hello\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\": \"content_block_stop\", \"index\": 0}\n\n",
        "event: message_delta\ndata: {\"type\": \"message_delta\", \"delta\": {\"stop_reason\": \"max_tokens\"}, \"usage\": {\"output_tokens\": 3}}\n\n",
        "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n",
    );
    let google = concat!(
        "data: {\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": \"hel\"}]}}]}\n\n",
        "data: {\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": \"lo\"}]}, \"finishReason\": \"MAX_TOKENS\"}], ",
        "\"usageMetadata\": {\"promptTokenCount\": 11, \"candidatesTokenCount\": 3, \"totalTokenCount\": 14}}\n\n",
    );
    let ollama = concat!(
        "{\"message\": {\"role\": \"assistant\", \"content\": \"hello\"}, \"done\": false}\n",
        "{\"message\": {\"role\": \"assistant\", \"content\": \"\"}, \"done\": true, \"done_reason\": \"length\", ",
        "\"prompt_eval_count\": 11, \"eval_count\": 3}\n",
    );
    for (kind, reply) in [(Anthropic, anthropic), (Google, google), (Ollama, ollama)] {
        let upstream = FakeUpstream::start(vec![Act::Send([event_stream(), reply.into()].concat())]).await;
        let mut config = ModelConfig::new(kind);
        config.base_url = Some(format!("http://{}", upstream.address));
        config.api_key = Some(Secret::new("k"));
        config.model = Some("m".to_owned());
        let steps: Vec<_> = providers([]).call(call(config)).collect().await;
        let text: String = steps
            .iter()
            .filter_map(|step| match step {
                Ok(Step::Text(text)) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let usage = Some(Usage { input_tokens: 11, output_tokens: 3 });
        assert_eq!(text, "hello", "{kind}: {steps:?}");
        assert_eq!(steps.last(), Some(&Ok(Step::End { finish: Finish::Length, usage })), "{kind}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said() {
    for (kind, message) in [
        (OpenAi, "no API key for openai: set the agent's apiKey, or OPENAI_API_KEY where the server runs"),
        (Anthropic, "no API key for anthropic: set the agent's apiKey, or ANTHROPIC_API_KEY where the server runs"),
        (Google, "no API key for google: set the agent's apiKey, or GEMINI_API_KEY where the server runs"),
        (Xai, "no API key for xai: set the agent's apiKey, or XAI_API_KEY where the server runs"),
        (OpenAiCompatible, "provider openai-compatible needs a baseUrl"),
    ] {
        let error = chosen(&providers([]), ModelConfig::new(kind)).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), (message, false));
    }
    let error = chosen(&providers([]), ModelConfig::new(Ollama)).await.unwrap_err();
    assert!(error.retryable && error.message.contains("Ollama did not name a model"));
    assert_eq!(error.server.as_deref(), Some("http://127.0.0.1:9"));
}

#[tokio::test]
async fn addresses_of_clients_are_checked() {
    for base_url in
        ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://0.0.0.0:80/", "http://u:p@127.0.0.1/", "nonsense"]
    {
        let mut config = ModelConfig::new(OpenAiCompatible);
        config.base_url = Some(base_url.to_owned());
        let error = chosen(&providers([]), config).await.unwrap_err();
        assert!(!error.retryable && error.message.contains("base URL"), "{error:?}");
    }
    // A name goes the same way: to what it was resolved to.
    let mut upstream = upstream().await;
    let mut config = ModelConfig::new(OpenAiCompatible);
    config.base_url = Some(format!("http://localhost:{}", upstream.address.port()));
    let steps: Vec<_> = providers([]).call(call(config)).collect().await;
    assert!(steps.iter().all(Result::is_ok), "{steps:?}");
    upstream.request().await;
}

#[tokio::test]
async fn models_are_named_by_the_agent_then_the_operator_then_the_table() {
    let own = |model: Option<&str>| {
        providers([(OpenAi, Account { model: model.map(str::to_owned), ..account(Some("k"), NOWHERE) })])
    };
    let named = ModelConfig { model: Some("mine".to_owned()), ..ModelConfig::new(OpenAi) };
    assert_eq!(chosen(&own(Some("theirs")), named).await, Ok((OpenAi, "mine".to_owned())));
    assert_eq!(chosen(&own(Some("theirs")), ModelConfig::new(OpenAi)).await, Ok((OpenAi, "theirs".to_owned())));
    let default = chosen(&own(None), ModelConfig::new(OpenAi)).await.unwrap().1;
    assert_eq!(Some(default.as_str()), OpenAi.defaults().model);
}

#[tokio::test]
async fn a_models_name_does_not_lead_to_another_operation() {
    for model in ["../files", "m:countTokens?x=", "a/b", "a%2fb", "m#"] {
        let config = ModelConfig { model: Some(model.to_owned()), ..ModelConfig::new(Google) };
        let error = chosen(&providers([(Google, account(Some("k"), NOWHERE))]), config).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), ("google has no model of this name", false), "{model}");
    }
}

#[test]
fn names_of_providers_are_read_as_they_are_written() {
    for kind in ProviderKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("gpt".parse::<ProviderKind>().is_err());
}
