//! Two users, the same names: nothing of one reaches the other.

use serde_json::{Value, json};

use crate::support::{TestServer, schemas};

#[tokio::test]
async fn worlds_of_the_same_name_are_two_worlds() {
    let server = TestServer::start().await;
    let mut alice = server.in_world("same").await;
    let mut bob = server.in_world("same").await;
    assert_ne!(alice.user, bob.user);
    assert_ne!(alice.cursor.split(':').next(), bob.cursor.split(':').next());
    alice.ok("agent_update", json!({"agentName": "a1", "config": {"systemPrompt": "alices-prompt"}})).await;
    let root = alice.say("alices-words SLOW").await["messageId"].as_str().unwrap().to_owned();
    let frames = bob.converse("@a1 hi").await;
    alice.until_settled(&root).await;
    let rest = bob.drain().await;
    for frame in frames.iter().chain(&rest) {
        assert!(!frame.text.contains("alices-") && !frame.text.contains(&root), "{}", frame.text);
    }
    let selected = bob.select("stage", "same").await;
    assert!(!selected.to_string().contains("alices-"));
    let (alices, bobs) = (server.http_of(alice.token()), server.http_of(bob.token()));
    bobs.delete("/worlds/same").await;
    assert_eq!(alices.get("/worlds/same").await.json()["kind"], "world");
    assert_eq!(alices.get("/session/worlds").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn no_message_reaches_another_user_s_world() {
    let server = TestServer::start().await;
    let mut alice = server.in_world("hers").await;
    let message = alice.say("@a1 HANG").await["messageId"].clone();
    let reply = alice.expect(|frame| frame.is_start()).await.payload()["messageId"].clone();
    let mut bob = server.in_world("his").await;
    for (kind, payload) in [
        ("chat_send", json!({"content": "hi"})),
        ("chat_cancel", json!({})),
        ("chat_retry", json!({"messageId": reply})),
        ("agent_update", json!({"agentName": "a1", "config": {"model": "stolen"}})),
        ("world_reload", json!({})),
        ("event_subscribe", json!({})),
        ("event_unsubscribe", json!({})),
    ] {
        let mut payload: Value = payload;
        payload["worldName"] = json!("hers");
        let error = bob.fails(kind, payload, "WORLD_NOT_FOUND").await;
        let mut nowhere = error.clone();
        nowhere["message"] = error["message"].clone();
        assert_eq!(error["details"], json!({"docs": "/docs#errors/WORLD_NOT_FOUND"}), "never a hint: {error}");
    }
    for id in [&message, &reply] {
        bob.fails("chat_cancel", json!({"messageId": id}), "MESSAGE_NOT_FOUND").await;
        bob.fails("chat_retry", json!({"messageId": id}), "MESSAGE_NOT_FOUND").await;
    }
    let error = bob.fails("event_subscribe", json!({"after": alice.cursor}), "UNRESUMABLE").await;
    assert_eq!(error["details"]["reason"], "epoch");
    // Naming it makes one of his own.
    let selected = bob.select("stage", "hers").await;
    assert_eq!(selected["agents"][0]["llmCallCount"], 0);
    alice.ok("chat_cancel", json!({"messageId": reply})).await;
}

#[tokio::test]
async fn no_route_reaches_another_user_s_world() {
    let server = TestServer::start().await;
    let mut alice = server.in_world("hers").await;
    let reply = alice.converse("@a1 hi").await.iter().find(|f| f.is_end()).unwrap().payload()["messageId"].clone();
    let bob = server.session().await;
    let mut tried = 0;
    for (file, schema) in schemas().files() {
        let route = &schema["x-route"];
        let Some(path) = route["path"].as_str().filter(|path| path.contains("{worldName}")) else { continue };
        if file == "http/createWorld.json" {
            continue;
        }
        let path = path
            .replace("{worldName}", "hers")
            .replace("{agentName}", "a1")
            .replace("{messageId}", reply.as_str().unwrap());
        let body = schema["x-examples"]["example"]["request"].clone();
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        let answer = bob.call(route["method"].as_str().unwrap(), &path, &[], body.clone()).await;
        answer.problem("WORLD_NOT_FOUND");
        let nowhere = path.replace("hers", "nowhere");
        let there_is_none = bob.call(route["method"].as_str().unwrap(), &nowhere, &[], body).await;
        assert_eq!(answer.text, there_is_none.text, "{file}: never a hint");
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
    assert_eq!(bob.get("/session/worlds").await.json(), &json!([]));
    assert!(alice.drain().await.is_empty());
}

#[tokio::test]
async fn no_stream_carries_another_user_s_events() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.session().await, server.session().await);
    alice.world("w").await;
    bob.world("w").await;
    let path = "/worlds/w/events?types=message,world,sse,system";
    let mut tail = bob.stream("GET", path, &[("accept", "text/event-stream")], None).await;
    alice.chat("w", "", "alices-words").await.rest().await;
    let own = bob.chat("w", "", "bobs-words").await.rest().await;
    let root = own[1].frame.status("message_accepted").unwrap()["messageId"].as_str().unwrap().to_owned();
    let seen = tail.until(|frame| frame.settles(&root)).await;
    assert!(seen.iter().chain(&own).all(|event| !event.frame.text.contains("alices-words")));
    assert_eq!(seen.iter().filter(|event| event.frame.event("message").is_some()).count(), 3, "his own, once");
    // The one's cursor is no place in the other's log.
    let cursor = alice.get(path).await.json()["cursor"].as_str().unwrap().to_owned();
    let headers = [("accept", "text/event-stream"), ("last-event-id", cursor.as_str())];
    let Err(answer) = bob.try_stream("GET", path, &headers, None).await else { panic!("it was resumed") };
    assert_eq!(answer.problem("UNRESUMABLE")["reason"], "epoch");
    assert!(!answer.text.contains(cursor.split(':').next().unwrap()));
}
