//! A request with a key is done once, over whatever transport it comes again (docs/PROTOCOL.md §4).

use serde_json::{Value, json};

use crate::support::{Client, Http, TestServer};

async fn keyed(client: &mut Client, key: &str, kind: &str, payload: Value) -> Value {
    let answer = client.request_frame(json!({"type": kind, "idempotencyKey": key, "payload": payload})).await;
    match answer.kind() {
        "status" => answer.payload()["data"].clone(),
        _ => answer.payload().clone(),
    }
}

/// The acknowledgement of a chat over HTTP with a key, and the stream's end.
async fn keyed_chat(http: &Http, key: &str, body: Value) -> Result<(Value, Vec<String>), String> {
    let stream = http.try_stream("POST", "/worlds/w/chat", &[("idempotency-key", key)], Some(body)).await;
    let events = stream.map_err(|answer| answer.json()["code"].as_str().unwrap().to_owned())?.rest().await;
    let accepted = events[1].frame.status("message_accepted").expect("the second frame").clone();
    Ok((accepted, events[2..].iter().filter(|e| e.id.is_some()).map(|e| e.frame.text.clone()).collect()))
}

#[tokio::test]
async fn the_same_key_is_the_same_answer_and_nothing_happens_again() {
    let mut server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let first = keyed(&mut client, "k1", "chat_send", json!({"content": "@a1 hi"})).await;
    assert_eq!(first["duplicate"], false);
    let root = first["messageId"].as_str().unwrap().to_owned();
    client.until_settled(&root).await;
    let head = client.ok("event_subscribe", json!({})).await["head"].clone();

    let mut duplicate = first.clone();
    duplicate["duplicate"] = json!(true);
    let token = client.token().to_owned();
    let http = server.http_of(&token);
    // Defaults written out are the same request; so is HTTP.
    let explicit = json!({"content": "@a1 hi", "sender": "HUMAN"});
    assert_eq!(keyed(&mut client, "k1", "chat_send", explicit).await, duplicate);
    assert_eq!(keyed(&mut client, "k1", "chat_send", json!({"content": "@a1 hi", "worldName": "w"})).await, duplicate);
    let (accepted, replayed) = keyed_chat(&http, "k1", json!({"message": "@a1 hi"})).await.unwrap();
    assert_eq!(accepted, duplicate);
    assert!(replayed.last().unwrap().contains("settled"), "it ends where it was settled");
    assert!(replayed[0].contains(&root));

    for other in [
        json!({"content": "@a1 hi!"}),
        json!({"content": "@a1 hi", "displayName": "Zoë"}),
        json!({"content": "@a1 hi", "targetAgent": "a1"}),
        json!({"content": "@a1 hi", "sender": "a2"}),
    ] {
        assert_eq!(keyed(&mut client, "k1", "chat_send", other.clone()).await["code"], "CONFLICT", "{other}");
    }
    let update = json!({"agentName": "a1", "config": {}});
    assert_eq!(keyed(&mut client, "k1", "agent_update", update).await["code"], "CONFLICT");
    assert_eq!(keyed_chat(&http, "k1", json!({"message": "other"})).await.unwrap_err(), "CONFLICT");
    assert_eq!(client.ok("event_subscribe", json!({})).await["head"], head, "nothing was appended");

    server.restart().await;
    let mut client = server.client_of(&token).await;
    client.select("stage", "w").await;
    assert_eq!(keyed(&mut client, "k1", "chat_send", json!({"content": "@a1 hi"})).await, duplicate);
    assert_eq!(client.ok("event_subscribe", json!({})).await["head"], head);
}

#[tokio::test]
async fn an_agent_is_changed_once_over_both_transports() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let config = json!({"temperature": 0.5, "model": null});
    let first = keyed(&mut client, "up", "agent_update", json!({"agentName": "a1", "config": config})).await;
    assert_eq!((&first["success"], &first["duplicate"]), (&json!(true), &json!(false)));
    // Something changes it in between: the old answer stays the answer.
    client.ok("agent_update", json!({"agentName": "a1", "config": {"temperature": 1}})).await;
    let again = keyed(&mut client, "up", "agent_update", json!({"agentName": "a1", "config": config})).await;
    assert_eq!((&again["duplicate"], &again["config"]), (&json!(true), &first["config"]), "{again}");
    let patch = |key: &'static str, body: Value| {
        let http = http.clone();
        async move {
            let body = body.to_string().into_bytes();
            http.call("PATCH", "/worlds/w/agents/a1", &[("idempotency-key", key)], Some(body)).await
        }
    };
    let over_http = patch("up", json!({"config": config})).await;
    assert_eq!((over_http.status, over_http.header("idempotent-replayed")), (200, "true"), "{}", over_http.text);
    assert_eq!(over_http.json()["config"], first["config"]);
    patch("up", json!({"config": config, "status": "active"})).await.problem("CONFLICT");
    let fresh = patch("up-2", json!({"status": "inactive"})).await;
    assert_ne!(fresh.header("idempotent-replayed"), "true");
    assert_eq!(http.get("/worlds/w/agents/a1").await.json()["config"]["temperature"], 1.0);
}

#[tokio::test]
async fn a_retry_is_made_once() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let frames = client.converse("@a1 FAIL").await;
    let failed = frames.iter().find(|frame| frame.is_end()).unwrap().payload()["messageId"].clone();
    let first = keyed(&mut client, "r", "chat_retry", json!({"messageId": failed})).await;
    let again = keyed(&mut client, "r", "chat_retry", json!({"messageId": failed})).await;
    assert_eq!((&again["messageId"], &again["duplicate"]), (&first["messageId"], &json!(true)));
}

#[tokio::test]
async fn a_request_that_failed_is_not_remembered() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let refused = keyed(&mut client, "k", "chat_send", json!({"content": "hi", "targetAgent": "a3"})).await;
    assert_eq!(refused["code"], "AGENT_NOT_FOUND");
    let done = keyed(&mut client, "k", "chat_send", json!({"content": "@a1 hi"})).await;
    assert_eq!(done["duplicate"], false);
}

#[tokio::test]
async fn keys_of_two_worlds_and_of_two_users_are_apart() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let mut other = server.in_world("w").await;
    for content in ["one", "two"] {
        let said = keyed(&mut client, "k", "chat_send", json!({"content": content})).await;
        assert_eq!(said["duplicate"], false);
        client.select("stage", "another").await;
    }
    let said = keyed(&mut other, "k", "chat_send", json!({"content": "three"})).await;
    assert_eq!(said["duplicate"], false);
}

#[tokio::test]
async fn a_key_over_http_needs_a_user() {
    let server = TestServer::start().await;
    let body = json!({"message": "hi"});
    let refused = server.http().try_stream("POST", "/worlds/stage/chat", &[("idempotency-key", "k")], Some(body)).await;
    let Err(answer) = refused else { panic!("a stranger's key is taken") };
    answer.problem("UNAUTHENTICATED");
}
