//! Stopping replies, and trying them again.

use serde_json::{Value, json};

use crate::support::{Frame, TestServer};

fn id(value: &Value) -> String {
    value["messageId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_cancelled_reply_ends_with_its_text_so_far() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for by_reply in [true, false] {
        let root = id(&client.say("@a1 HANG").await);
        let delta = client.expect(|frame| frame.is_delta()).await;
        let reply = id(delta.payload());
        let cancelled = client.ok("chat_cancel", json!({"messageId": if by_reply { &reply } else { &root }})).await;
        assert_eq!(cancelled, json!({"messageIds": [reply], "dropped": 0}));
        let frames = client.until_settled(&root).await;
        let end = frames.iter().find(|frame| frame.is_end()).unwrap().payload();
        assert_eq!((&end["finishReason"], &end["content"]), (&json!("cancelled"), &json!("One moment")));
        assert!(frames.iter().all(|frame| frame.event("message").is_none_or(|m| m["messageId"] == root.as_str())));
        // Nothing left to cancel is no error.
        let again = client.ok("chat_cancel", json!({"messageId": reply})).await;
        assert_eq!(again, json!({"messageIds": [], "dropped": 0}));
    }
}

#[tokio::test]
async fn waiting_turns_vanish_without_a_start() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let first = id(&client.say("@a1 HANG").await);
    let second = id(&client.say("@a1 HANG").await);
    let third = id(&client.say("@a1 HANG").await);
    client.expect(|frame| frame.is_delta()).await;
    let dropped = client.ok("chat_cancel", json!({"messageId": second})).await;
    assert_eq!(dropped, json!({"messageIds": [], "dropped": 1}));
    let rest = client.ok("chat_cancel", json!({})).await;
    assert_eq!((rest["messageIds"].as_array().unwrap().len(), &rest["dropped"]), (1, &json!(1)));
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.extend(client.until(|frame| frame.action("settled").is_some()).await);
    }
    let settled: Vec<&Value> = frames.iter().filter_map(|f| f.action("settled")).map(|s| &s["rootId"]).collect();
    assert_eq!(settled.len(), 3);
    assert!([&first, &second, &third].iter().all(|root| settled.contains(&&json!(root))));
    let count = |is_it: fn(&Frame) -> bool| frames.iter().filter(|frame| is_it(frame)).count();
    assert_eq!((count(Frame::is_start), count(Frame::is_end)), (1, 1), "the dropped ones never started");
}

#[tokio::test]
async fn a_failed_reply_can_be_tried_again() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let root = id(&client.say("@a1 ONCE").await);
    let frames = client.until_settled(&root).await;
    let end = frames.iter().find(|frame| frame.is_end()).unwrap().payload();
    assert_eq!((&end["finishReason"], &end["content"]), (&json!("error"), &json!("I was about to")));
    assert_eq!(end["error"]["retryAfterMs"], 1500);
    let failed = id(end);
    let accepted = client.ok("chat_retry", json!({"messageId": failed})).await;
    assert_eq!((&accepted["answering"], &accepted["duplicate"]), (&json!(["a1"]), &json!(false)));
    let reply = id(&accepted);
    assert_ne!(reply, failed);
    // The root is busy again, and settles once more.
    let frames = client.until_settled(&root).await;
    let end = frames.iter().find(|frame| frame.is_end()).unwrap().payload();
    assert_eq!(end["finishReason"], "stop");
    assert_eq!((id(end), &end["inReplyTo"], &end["rootId"]), (reply.clone(), &json!(root), &json!(root)));
    for (message, why) in [(&reply, "it ended well"), (&root, "a chat message")] {
        let error = client.fails("chat_retry", json!({"messageId": message}), "CONFLICT").await;
        assert_eq!(error["retryable"], false, "{why}");
    }
}

#[tokio::test]
async fn a_running_reply_and_one_of_an_inactive_or_deleted_agent_cannot_be_tried_again() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    client.say("@a1 HANG").await;
    let running = id(client.expect(|frame| frame.is_start()).await.payload());
    client.fails("chat_retry", json!({"messageId": running}), "CONFLICT").await;
    client.ok("chat_cancel", json!({})).await;
    http.patch("/worlds/w/agents/a1", json!({"status": "inactive"})).await;
    client.fails("chat_retry", json!({"messageId": running}), "CONFLICT").await;
    assert_eq!(http.delete("/worlds/w/agents/a1").await.status, 204);
    client.fails("chat_retry", json!({"messageId": running}), "AGENT_NOT_FOUND").await;
}

#[tokio::test]
async fn deleting_an_agent_ends_its_reply_and_settles() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let root = id(&client.say("@a1 HANG").await);
    client.expect(|frame| frame.is_delta()).await;
    assert_eq!(http.delete("/worlds/w/agents/A1").await.status, 204);
    let frames = client.until(|frame| frame.action("agent-deleted").is_some()).await;
    let end = frames.iter().find(|frame| frame.is_end()).unwrap();
    assert_eq!(end.payload()["finishReason"], "cancelled");
    assert!(frames.iter().any(|frame| frame.settles(&root)));
    client.fails("agent_update", json!({"agentName": "a1", "config": {}}), "AGENT_NOT_FOUND").await;
}

#[tokio::test]
async fn setting_an_agent_inactive_drops_what_waits_and_leaves_what_runs() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let running = id(&client.say("@a1 SLOW").await);
    let waiting = id(&client.say("@a1 hi").await);
    client.expect(|frame| frame.is_start()).await;
    http.patch("/worlds/w/agents/a1", json!({"status": "inactive"})).await;
    let mut frames = client.until_settled(&waiting).await;
    frames.extend(client.until_settled(&running).await);
    let ends: Vec<&Frame> = frames.iter().filter(|frame| frame.is_end()).collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].payload()["finishReason"], "stop");
    let reloaded = client.ok("world_reload", json!({})).await;
    assert_eq!(reloaded["agents"][0]["status"], "inactive", "a good end does not wake it up");
}
