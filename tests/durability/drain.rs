//! Leaving in good order: everybody is told, nothing new begins, replies end, and what waits is done at the next start.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    program::Program,
    support::{Client, Frame, eventually},
};

fn id(value: &Value) -> String {
    value["messageId"].as_str().expect("an id").to_owned()
}

async fn everything(server: &Program, token: &str, world: &str) -> (Client, Vec<Frame>) {
    let mut client = server.client_of(token).await;
    client.select("stage", world).await;
    client.select_with(json!({"templateName": "stage", "worldName": world, "after": client.at(0)})).await;
    let frames = client.until(|frame| frame.status("caught_up").is_some()).await;
    (client, frames)
}

/// SIGTERM with replies of all kinds: one that finishes in time, one that never would, and turns that wait.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_tells_everybody_refuses_what_is_new_and_ends_what_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    // Long enough that a busy machine does not decide.
    let patience = Duration::from_secs(4);
    let mut server = Program::start(&data, &["--drain-timeout", "4s"]).await;
    let mut client = server.in_world("w").await;
    let mut other = server.in_world("w").await;
    let token = client.token().to_owned();
    let http = server.http_of(&token);
    let headers = [("accept", "text/event-stream")];
    let mut stream = http.stream("GET", "/worlds/w/events", &headers, None).await;
    let slow = id(&client.say("@a1 SLOW").await);
    let hangs = id(&client.say("@a2 HANG").await);
    let waits = id(&client.say("@a2 and then?").await);
    client.until(|frame| frame.is_delta() && frame.payload()["agentName"] == "a2").await;
    assert_eq!(server.health().await, "ok");
    server.terminate();
    let began = Instant::now();
    for frame in [
        client.expect(|frame| frame.status("draining").is_some()).await,
        other.expect(|frame| frame.status("draining").is_some()).await,
        stream.until(|frame| frame.status("draining").is_some()).await.pop().expect("it came").frame,
    ] {
        assert!(frame.status("draining").expect("it is one")["retryAfterMs"].is_u64());
    }
    assert_eq!(server.health().await, "draining");
    let refused = client.fails("chat_send", json!({"content": "@a1 more"}), "OVERLOADED").await;
    assert!(refused["retryAfterMs"].is_u64() && refused["retryable"] == true, "{refused}");
    let answer = http.post("/worlds/w/chat", Some(json!({"message": "@a1 more"}))).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.problem("OVERLOADED")["retryAfterMs"].is_u64() && !answer.header("retry-after").is_empty());
    let (code, frames) = client.closed().await;
    assert_eq!(code, Some(1001));
    let end_of = |frames: &[Frame], root: &str| {
        let ends: Vec<_> = frames.iter().filter(|f| f.is_end() && f.payload()["rootId"] == root).cloned().collect();
        assert_eq!(ends.len(), 1, "one end: {ends:#?}");
        ends[0].payload().clone()
    };
    let finished = end_of(&frames, &slow);
    assert_eq!(finished["finishReason"], "stop", "what can finish in time does");
    let stopped = end_of(&frames, &hangs);
    assert_eq!((&stopped["finishReason"], &stopped["content"]), (&json!("interrupted"), &json!("One moment")));
    let mut brought = Vec::new();
    while let Some(event) = stream.next().await {
        brought.push(event.frame);
    }
    assert_eq!(end_of(&brought, &hangs), stopped, "streams bring the end, too");
    assert_eq!(server.ended().await.code(), Some(0));
    let took = began.elapsed();
    assert!(took >= patience * 7 / 10 && took <= patience, "{took:?}");

    let server = Program::start(&data, &[]).await;
    eventually("what waited is done without anybody asking", || async {
        server.metric("replies_ended_total").await >= 1.0
    })
    .await;
    let (mut client, mut frames) = everything(&server, &token, "w").await;
    for root in [&slow, &hangs, &waits] {
        if !frames.iter().any(|frame| frame.settles(root)) {
            frames.extend(client.until_settled(root).await);
        }
    }
    assert_eq!((end_of(&frames, &slow), end_of(&frames, &hangs)), (finished, stopped));
    assert_eq!(end_of(&frames, &waits)["finishReason"], "stop", "what waited runs at the next start");
    println!("drain: 3 clients told, 2 refusals, stopped after {took:?} with a deadline of {patience:?}");
}

/// A stream that ends because the server leaves is no client that leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_not_cancelled_because_the_server_leaves() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut server = Program::start(&data, &["--drain-timeout", "300ms"]).await;
    let http = server.session().await;
    http.world("w").await;
    let mut busy = server.client_of(http.token()).await;
    busy.select("stage", "w").await;
    busy.say("@a1 HANG").await;
    busy.expect(|frame| frame.is_delta()).await;
    let mut stream = http.chat("w", "?onDisconnect=cancel", "@a1 and then?").await;
    let accepted = stream.until(|frame| frame.status("message_accepted").is_some()).await.pop().expect("it came");
    let waits = id(accepted.frame.status("message_accepted").expect("it is one"));
    server.stop().await;
    drop(stream);
    let server = Program::start(&data, &[]).await;
    let (mut client, mut frames) = everything(&server, http.token(), "w").await;
    if !frames.iter().any(|frame| frame.settles(&waits)) {
        frames.extend(client.until_settled(&waits).await);
    }
    let end = frames.iter().find(|frame| frame.is_end() && frame.payload()["rootId"] == waits.as_str());
    assert_eq!(end.expect("it ran").payload()["finishReason"], "stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_leaves_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Program::start(&dir.path().join("data"), &["--drain-timeout", "60s"]).await;
    let mut client = server.in_world("w").await;
    client.converse("@a1 hi").await;
    server.terminate();
    let began = Instant::now();
    assert_eq!(client.closed().await.0, Some(1001));
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
}
