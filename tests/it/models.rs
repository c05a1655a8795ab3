//! What a model is sent, and what becomes of its answer: against a server that speaks as OpenAI's does.

use serde_json::{Value, json};

use crate::support::{Client, Process, TestServer, Upstream};

/// The world `w` in which a1 asks the upstream.
async fn modelled(server: &TestServer, upstream: &Upstream, config: Value) -> Client {
    let mut client = server.in_world("w").await;
    let mut all = json!({"provider": "openai-compatible", "model": "tiny", "baseUrl": upstream.url()});
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    client.ok("agent_update", json!({"agentName": "a1", "config": all})).await;
    client
}

fn texts(body: &Value) -> Vec<String> {
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    body["messages"].as_array().expect("messages").iter().map(text).collect()
}

#[tokio::test]
async fn the_current_message_is_sent_once_and_the_prompt_first() {
    let server = TestServer::start().await;
    let mut upstream = Upstream::start().await;
    let mut client = modelled(&server, &upstream, json!({})).await;
    let frames = client.converse("@a1 the-only-one").await;
    let end = frames.iter().find(|frame| frame.is_end()).unwrap().payload();
    assert_eq!((&end["content"], &end["finishReason"]), (&json!("Understood."), &json!("stop")), "{end}");
    assert_eq!(end["usage"], json!({"inputTokens": 7, "outputTokens": 2}));
    let (_, body) = upstream.call().await;
    assert_eq!((&body["model"], &body["stream"]), (&json!("tiny"), &json!(true)));
    assert_eq!(body["messages"][0]["role"], "system");
    let texts = texts(&body);
    assert!(texts[0].contains("You are a1."), "{texts:?}");
    assert_eq!(texts.iter().filter(|text| text.contains("the-only-one")).count(), 1, "{texts:?}");
    assert_eq!(upstream.calls_waiting(), 0);
}

#[tokio::test]
async fn the_prompt_holds_the_last_ten_and_says_who_said_what() {
    let server = TestServer::start().await;
    let mut upstream = Upstream::start().await;
    let mut client = modelled(&server, &upstream, json!({})).await;
    for number in 0..12 {
        client.converse(&format!("@human note-{number:02}")).await;
    }
    client.converse("@a2 ask").await;
    client.converse("@a1 now").await;
    let (_, body) = upstream.call().await;
    let texts = texts(&body)[1..].join("\n");
    // Ten items: @a1 now, a2's answer, @a2 ask, and seven notes.
    for number in 0..12 {
        assert_eq!(texts.contains(&format!("note-{number:02}")), number >= 5, "{number}: {texts}");
    }
    assert!(texts.contains("a2 heard you, call 1.") && texts.contains("@a2 ask"), "it hears the others: {texts}");
    assert!(texts.contains("a2"), "{texts}");
}

#[tokio::test]
async fn clearing_the_memory_forgets() {
    let server = TestServer::start().await;
    let mut upstream = Upstream::start().await;
    let mut client = modelled(&server, &upstream, json!({})).await;
    client.converse("@human the-secret-word").await;
    let http = server.http_of(client.token());
    http.patch("/worlds/w/agents/a1", json!({"clearMemory": true})).await;
    client.expect(|frame| frame.action("memory-cleared").is_some()).await;
    client.converse("@a1 what was it?").await;
    let (_, body) = upstream.call().await;
    assert!(!body.to_string().contains("the-secret-word"), "{body}");
}

#[tokio::test]
async fn settings_are_sent_as_they_are() {
    let server = TestServer::start().await;
    let mut upstream = Upstream::start().await;
    let config = json!({"temperature": 0, "maxTokens": 17, "apiKey": "sk-of-mine"});
    let mut client = modelled(&server, &upstream, config).await;
    client.converse("@a1 hi").await;
    let (headers, body) = upstream.call().await;
    assert_eq!(body["temperature"].as_f64(), Some(0.0), "{body}");
    let limit = body.get("max_tokens").or_else(|| body.get("max_completion_tokens"));
    assert_eq!(limit, Some(&json!(17)), "{body}");
    assert_eq!(headers["authorization"], "Bearer sk-of-mine");
    // A key never follows an agent to another address.
    let mut other = Upstream::start().await;
    let updated = client.ok("agent_update", json!({"agentName": "a1", "config": {"baseUrl": other.url()}})).await;
    assert_eq!(updated["config"]["hasApiKey"], false);
    client.converse("@a1 hi").await;
    let (headers, _) = other.call().await;
    let sent = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert!(!sent.contains("sk-of-mine"), "{sent}");
    assert_eq!(upstream.calls_waiting(), 0);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_one_error() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let config = json!({"provider": "openai-compatible", "model": "m", "baseUrl": "http://127.0.0.1:9/v1/"});
    client.ok("agent_update", json!({"agentName": "a1", "config": config})).await;
    client.drain().await;
    let frames = client.converse("@a1 hi").await;
    let ends: Vec<_> = frames.iter().filter(|frame| frame.is_end()).collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].payload()["error"]["code"], "PROVIDER_ERROR");
    let updates: Vec<_> = frames.iter().filter_map(|frame| frame.action("agent-update")).collect();
    assert_eq!(updates.len(), 1, "its status");
    assert_eq!(updates[0]["agent"]["status"], "error");
}

#[tokio::test]
async fn auto_says_what_it_became() {
    let data = tempfile::tempdir().unwrap();
    let server = Process::start(&data.path().join("data"), &[]).await;
    let mut client = server.client().await;
    client.select("default-world", "w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"]})).await;
    let frames = client.converse("@guide hi").await;
    let provider = frames.iter().find_map(|frame| frame.action("provider")).expect("a provider event");
    assert_eq!(provider["agentName"], "guide");
    assert!(provider["model"].is_string() && provider["provider"] != "auto", "{provider}");
}
