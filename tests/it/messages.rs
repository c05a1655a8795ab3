//! Every client message: what answers it, and each of its errors that a client can provoke.

use serde_json::{Value, json};

use crate::support::{TestServer, schemas};

const NOBODY: &str = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";

#[tokio::test]
async fn without_a_world_every_message_says_so() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (kind, payload) in in_a_world() {
        let error = client.fails(kind, payload.clone(), "CONFLICT").await;
        assert!(error["message"].as_str().unwrap().contains("select a world"), "{kind}");
        client.fails(kind, named(payload, "w"), "WORLD_NOT_FOUND").await;
    }
    assert_eq!(client.ok("ping", json!({})).await, json!({}));
}

#[tokio::test]
async fn a_world_is_named_by_its_own_name_only() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select("stage", "other").await;
    client.select("stage", "My world").await;
    for (kind, payload) in in_a_world() {
        for name in ["other", "nowhere", "stage"] {
            client.fails(kind, named(payload.clone(), name), "WORLD_NOT_FOUND").await;
        }
        let answer = client.request(kind, named(payload, "my WORLD")).await;
        assert_ne!(answer.payload()["code"], "WORLD_NOT_FOUND", "{kind}");
    }
}

/// Every message that needs a world, with a payload for it.
fn in_a_world() -> Vec<(&'static str, Value)> {
    let all = vec![
        ("chat_send", json!({"content": "hi"})),
        ("chat_cancel", json!({})),
        ("chat_retry", json!({"messageId": NOBODY})),
        ("agent_update", json!({"agentName": "a1", "config": {}})),
        ("world_reload", json!({})),
        ("event_subscribe", json!({})),
        ("event_unsubscribe", json!({})),
    ];
    assert_eq!(all.len() + ["ping", "world_select"].len(), schemas().client_types().len(), "one of each");
    all
}

fn named(mut payload: Value, world: &str) -> Value {
    payload["worldName"] = json!(world);
    payload
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for (kind, payload, code) in [
        ("chat_send", json!({"content": "hi", "sender": "nobody"}), "AGENT_NOT_FOUND"),
        ("chat_send", json!({"content": "hi", "sender": "system"}), "AGENT_NOT_FOUND"),
        ("chat_send", json!({"content": "hi", "sender": "world"}), "AGENT_NOT_FOUND"),
        ("chat_send", json!({"content": "hi", "targetAgent": "nobody"}), "AGENT_NOT_FOUND"),
        ("chat_send", json!({"content": "hi", "targetAgent": "human"}), "AGENT_NOT_FOUND"),
        ("chat_cancel", json!({"messageId": NOBODY}), "MESSAGE_NOT_FOUND"),
        ("chat_retry", json!({"messageId": NOBODY}), "MESSAGE_NOT_FOUND"),
        ("agent_update", json!({"agentName": "nobody", "config": {}}), "AGENT_NOT_FOUND"),
        ("event_subscribe", json!({"after": "aaaaaaaaaaaaaaaa:0"}), "UNRESUMABLE"),
    ] {
        let error = client.fails(kind, payload, code).await;
        assert_eq!(error["retryable"], false);
    }
}

#[tokio::test]
async fn an_address_that_the_server_does_not_call_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for (url, allowed) in [
        ("http://127.0.0.1:9/v1", true),
        ("http://localhost:9/v1", true),
        ("https://93.184.216.34/v1", false),
        ("http://169.254.169.254/latest", false),
        ("http://10.0.0.1/v1", false),
        ("http://[fe80::1]/v1", false),
        ("http://user:pass@127.0.0.1:9/v1", false),
    ] {
        let payload = json!({"agentName": "a1", "config": {"provider": "openai-compatible", "baseUrl": url}});
        let answer = client.request("agent_update", payload).await;
        let refused = answer.payload()["details"]["errors"][0].clone();
        if allowed {
            assert_eq!(answer.kind(), "agent_updated", "{url}: {}", answer.text);
        } else {
            assert_eq!(refused["keyword"], "allowBaseUrl", "{url}: {}", answer.text);
            assert_eq!(refused["pointer"], "/payload/config/baseUrl");
        }
    }
}

#[tokio::test]
async fn an_agent_is_changed_by_a_merge_patch() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let steps = [
        (
            json!({"model": "m", "temperature": 0, "maxTokens": 5}),
            json!({"model": "m", "temperature": 0.0, "maxTokens": 5}),
        ),
        (json!({"temperature": 1.5}), json!({"model": "m", "temperature": 1.5, "maxTokens": 5})),
        (json!({"model": null, "maxTokens": null}), json!({"temperature": 1.5})),
        (json!({"systemPrompt": ""}), json!({"temperature": 1.5, "systemPrompt": ""})),
        (json!({"temperature": null, "systemPrompt": null}), json!({})),
        (json!({"apiKey": "sk-1"}), json!({"hasApiKey": true})),
        (json!({}), json!({"hasApiKey": true})),
        (json!({"apiKey": null}), json!({})),
    ];
    for (patch, after) in steps {
        let updated = client.ok("agent_update", json!({"agentName": "A1", "config": patch})).await;
        let mut expected = json!({"provider": "script", "hasApiKey": false});
        if after.get("systemPrompt").is_none() && !patch["systemPrompt"].is_null() {
            expected["systemPrompt"] = json!("You are a1.");
        }
        let mut config = updated["config"].clone();
        // The prompt of the template stays until it is named.
        if config["systemPrompt"] == "You are a1." {
            config.as_object_mut().unwrap().remove("systemPrompt");
        }
        expected.as_object_mut().unwrap().remove("systemPrompt");
        expected.as_object_mut().unwrap().extend(after.as_object().unwrap().clone());
        assert_eq!(config, expected, "after {patch}");
        assert_eq!(updated["agentName"], "a1");
        let event = client.expect(|frame| frame.action("agent-update").is_some()).await;
        assert_eq!(
            event.action("agent-update").unwrap()["agent"]["config"],
            updated["config"],
            "every subscriber hears of it"
        );
    }
}

#[tokio::test]
async fn a_world_is_reloaded_while_replies_go_on() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let root = client.say("@a1 SLOW").await["messageId"].as_str().unwrap().to_owned();
    client.expect(|frame| frame.is_delta()).await;
    let reloaded = client.ok("world_reload", json!({})).await;
    assert_eq!(reloaded["agents"][0]["llmCallCount"], 1);
    let frames = client.until_settled(&root).await;
    assert!(frames.iter().any(|frame| frame.action("world-reload").is_some()));
    let end = frames.iter().find(|frame| frame.ends("a1")).unwrap();
    assert_eq!(end.payload()["content"], "one two three four five six seven eight nine ten");
}

#[tokio::test]
async fn unsubscribing_stops_the_pushes_and_nothing_else() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for _ in 0..2 {
        assert_eq!(client.ok("event_unsubscribe", json!({})).await, json!({}));
    }
    let accepted = client.say("@a1 hi").await;
    let mut other = server.client_of(client.token()).await;
    other.select("stage", "w").await;
    other.ok("event_subscribe", json!({"after": client.at(0)})).await;
    other.until_settled(accepted["messageId"].as_str().unwrap()).await;
    assert!(client.drain().await.is_empty());
    client.ok("event_subscribe", json!({})).await;
    let root = client.say("@a1 hi").await["messageId"].as_str().unwrap().to_owned();
    client.until_settled(&root).await;
}
