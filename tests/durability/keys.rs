//! Idempotency: whatever the transport, the race, or the restart, the effect of a key comes once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    program::script,
    random::{Random, size},
    support::{Client, Frame, Host, Http, TestServer, eventually},
};

const RACERS: usize = 8;

async fn send(client: &mut Client, key: &str, content: &str) -> Frame {
    client.request_frame(json!({"type": "chat_send", "idempotencyKey": key, "payload": {"content": content}})).await
}

/// What `message_accepted` says when the same is asked over HTTP.
async fn post(http: &Http, key: &str, content: &str) -> Value {
    let headers = [("idempotency-key", key)];
    let mut stream = http.stream("POST", "/worlds/w/chat", &headers, Some(json!({"message": content}))).await;
    let accepted = stream.until(|frame| frame.status("message_accepted").is_some()).await.pop().expect("it came");
    accepted.frame.status("message_accepted").expect("it is one").clone()
}

fn accepted(frame: &Frame) -> Value {
    frame.status("message_accepted").unwrap_or_else(|| panic!("refused: {}", frame.text)).clone()
}

/// How often that content was said in the whole history.
async fn said(host: &Host, token: &str, content: &str) -> usize {
    let mut reader = host.client_of(token).await;
    reader.select("stage", "w").await;
    reader.select_with(json!({"templateName": "stage", "worldName": "w", "after": reader.at(0)})).await;
    let frames = reader.until(|frame| frame.status("caught_up").is_some()).await;
    frames.iter().filter(|frame| frame.event("message").is_some_and(|message| message["content"] == content)).count()
}

/// One answer that did it, and all others the same, as a duplicate.
fn one_did_it(answers: &[Value], what: &str) {
    let did = answers.iter().filter(|answer| answer["duplicate"] == false).count();
    assert_eq!(did, 1, "{what}: {answers:#?}");
    for answer in answers {
        for field in ["messageId", "seq", "answering"] {
            assert_eq!(answer[field], answers[0][field], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_races_itself_over_both_transports_has_one_effect() {
    let mut server = TestServer::with(|config| config.script = Some(script())).await;
    let first = server.in_world("w").await;
    let token = first.token().to_owned();
    let rounds = size("TRIALS", 10_000) / 400;
    let mut random = Random::new("keys");
    let mut effects = Vec::new();
    for restart in 0..2 {
        let http = server.http_of(&token);
        let mut clients = Vec::new();
        for _ in 0..RACERS {
            let mut client = server.client_of(&token).await;
            client.select("stage", "w").await;
            clients.push(client);
        }
        for round in 0..rounds {
            let (key, content) = (format!("race-{restart}-{round}"), format!("@human race {restart} {round}"));
            let mut racing = tokio::task::JoinSet::new();
            for mut client in clients.drain(..) {
                let (key, content) = (key.clone(), content.clone());
                let yields = random.below(30);
                racing.spawn(async move {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    let answer = accepted(&send(&mut client, &key, &content).await);
                    (Some(client), answer)
                });
            }
            for _ in 0..RACERS / 2 {
                let (http, key, content) = (http.clone(), key.clone(), content.clone());
                racing.spawn(async move { (None, post(&http, &key, &content).await) });
            }
            let mut answers = Vec::new();
            while let Some(done) = racing.join_next().await {
                let (client, answer) = done.expect("no panic");
                clients.extend(client);
                answers.push(answer);
            }
            one_did_it(&answers, &key);
            effects.push((key, content, answers.swap_remove(0)));
        }
        for client in clients {
            client.close().await;
        }
        first_again(&mut server, &token, &effects).await;
    }
    for (_, content, _) in effects.iter().step_by(7) {
        assert_eq!(said(&server, &token, content).await, 1, "{content}");
    }
    println!("keys: {} keys, each raced by {} requests over both transports", effects.len(), RACERS + RACERS / 2);
}

/// After a restart every key is known, on both transports, and guards its payload.
async fn first_again(server: &mut TestServer, token: &str, effects: &[(String, String, Value)]) {
    server.restart().await;
    let http = server.http_of(token);
    let mut client = server.client_of(token).await;
    client.select("stage", "w").await;
    for (key, content, answer) in effects {
        let mut expected = answer.clone();
        expected["duplicate"] = json!(true);
        assert_eq!(accepted(&send(&mut client, key, content).await), expected);
        assert_eq!(post(&http, key, content).await, expected);
        let other = send(&mut client, key, "@human something else").await;
        assert_eq!(other.payload()["code"], "CONFLICT", "{}", other.text);
        let body = json!({"message": "@human else"}).to_string().into_bytes();
        let refused = http.call("POST", "/worlds/w/chat", &[("idempotency-key", key)], Some(body)).await;
        refused.problem("CONFLICT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_over_messages_and_routes_and_counts_within_its_user_and_world() {
    let server = TestServer::with(|config| config.script = Some(script())).await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let update = json!({"type": "agent_update", "idempotencyKey": "k1",
        "payload": {"agentName": "a1", "config": {"model": "m7"}}});
    let updated = client.request_frame(update.clone()).await;
    assert_eq!(updated.payload()["duplicate"], false);
    // The same over HTTP: nothing happens again, as the log shows.
    client.drain().await;
    let body = json!({"config": {"model": "m7"}}).to_string().into_bytes();
    let answer = http.call("PATCH", "/worlds/w/agents/a1", &[("idempotency-key", "k1")], Some(body)).await;
    assert_eq!((answer.status, &answer.json()["config"]["model"]), (200, &json!("m7")), "{}", answer.text);
    assert_eq!(client.request_frame(update).await.payload()["duplicate"], true);
    assert!(client.drain().await.is_empty(), "no event of it");
    // Another operation under the key is another request.
    assert_eq!(send(&mut client, "k1", "@human hi").await.payload()["code"], "CONFLICT");
    // Retry has keys, too.
    let frames = client.converse("@a1 FAIL").await;
    let failed = frames.iter().find(|frame| frame.is_end()).expect("an end").payload()["messageId"].clone();
    let retry = json!({"type": "chat_retry", "idempotencyKey": "k2", "payload": {"messageId": failed}});
    let (one, two) =
        (accepted(&client.request_frame(retry.clone()).await), accepted(&client.request_frame(retry).await));
    assert_eq!(
        (&one["duplicate"], &two["duplicate"], &one["messageId"]),
        (&json!(false), &json!(true), &two["messageId"])
    );
    // A refused request is not remembered: the key is free.
    assert_eq!(send(&mut client, "k3", "@human fine").await.kind(), "status");
    let unknown =
        json!({"type": "chat_send", "idempotencyKey": "k4", "payload": {"content": "x", "targetAgent": "nobody"}});
    assert_eq!(client.request_frame(unknown).await.payload()["code"], "AGENT_NOT_FOUND");
    assert_eq!(accepted(&send(&mut client, "k4", "@human x").await)["duplicate"], false);
    // Another world and another user have keys of their own.
    client.select("stage", "other").await;
    assert_eq!(accepted(&send(&mut client, "k3", "@human something else").await)["duplicate"], false);
    let mut stranger = server.in_world("w").await;
    assert_eq!(accepted(&send(&mut stranger, "k3", "@human something else").await)["duplicate"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_its_time() {
    let server = TestServer::with(|config| {
        config.key_retention = Duration::from_millis(1_500);
        config.script = Some(script());
    })
    .await;
    let client = tokio::sync::Mutex::new(server.in_world("w").await);
    let first = accepted(&send(&mut *client.lock().await, "k", "@human one").await);
    let again = accepted(&send(&mut *client.lock().await, "k", "@human one").await);
    assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &first["seq"]));
    // While it is known it refuses; once it is forgotten it is new.
    eventually("the key is forgotten", || async {
        send(&mut *client.lock().await, "k", "@human two").await.kind() == "status"
    })
    .await;
    let third = accepted(&send(&mut *client.lock().await, "k", "@human two").await);
    assert_eq!(third["duplicate"], true);
    assert_ne!(third["messageId"], first["messageId"]);
}
