//! Nothing lost, nothing twice: replay, live, and the seam between.

use serde_json::{Value, json};

use crate::support::{Client, Frame, TestServer};

fn durable(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.clone()).collect()
}

/// A world with some history; the frames that were seen live, of all kinds.
async fn history(client: &mut Client) -> Vec<Frame> {
    client.select("stage", "w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"]})).await;
    let mut frames = Vec::new();
    for content in ["hi", "@a1 ASK2", "@a2 FAIL", "@nobody", "@a1 UNICODE"] {
        frames.extend(client.converse(content).await);
    }
    client.ok("agent_update", json!({"agentName": "a1", "config": {"model": "m"}})).await;
    frames.push(client.expect(|frame| frame.action("agent-update").is_some()).await);
    frames
}

#[tokio::test]
async fn what_was_live_is_replayed_byte_for_byte_on_every_transport() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let live = durable(&history(&mut client).await);
    assert!(live.len() > 20);
    let start = client.cursor.clone();
    let all = json!({"eventTypes": ["message", "world", "sse", "system"], "after": start});

    let mut second = server.client_of(client.token()).await;
    second.select("stage", "w").await;
    second.ok("event_subscribe", all.clone()).await;
    let mut replayed = second.until(|frame| frame.status("caught_up").is_some()).await;
    let caught_up = replayed.pop().unwrap();
    assert_eq!(durable(&replayed), live);
    let last = replayed.last().unwrap().seq().unwrap();
    assert_eq!(caught_up.status("caught_up").unwrap()["cursor"], client.at(last));

    let http = server.http_of(client.token());
    let path = "/worlds/w/events?types=message,world,sse,system";
    let headers = [("accept", "text/event-stream"), ("last-event-id", start.as_str())];
    let mut stream = http.stream("GET", path, &headers, None).await;
    let events = stream.until(|frame| frame.status("caught_up").is_some()).await;
    let texts: Vec<_> =
        events.iter().filter(|event| event.id.is_some()).map(|event| event.frame.text.clone()).collect();
    assert_eq!(texts, live);

    let page = http.get(&format!("{path}&limit=500&after={start}")).await;
    for text in &live {
        assert!(page.text.contains(text.as_str()), "not the same bytes in a page: {text}");
    }
    assert_eq!(page.json()["events"].as_array().unwrap().len(), live.len());

    // From any of its events on, the rest follows and nothing else.
    for (at, frame) in replayed.iter().enumerate().step_by(5) {
        let after = client.at(frame.seq().unwrap());
        let mut payload = all.clone();
        payload["after"] = json!(after);
        let subscribed = second.ok("event_subscribe", payload).await;
        assert_eq!(subscribed["from"], after);
        let rest = second.until(|frame| frame.status("caught_up").is_some()).await;
        assert_eq!(durable(&rest), live[at + 1..], "after {after}");
    }
}

#[tokio::test]
async fn caught_up_comes_once_and_only_to_who_resumed() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    history(&mut client).await;
    let after = client.at(0);
    client.select_with(json!({"templateName": "stage", "worldName": "w", "after": after})).await;
    client.until(|frame| frame.status("caught_up").is_some()).await;
    let mut frames = client.converse("hi").await;
    frames.extend(client.converse("hi").await);
    client.ok("event_subscribe", json!({})).await;
    frames.extend(client.converse("hi").await);
    client.select("stage", "w").await;
    frames.extend(client.converse("hi").await);
    assert!(frames.iter().all(|frame| frame.status("caught_up").is_none()), "{frames:#?}");
}

#[tokio::test]
async fn a_replay_and_what_is_said_meanwhile_meet_without_a_gap_or_a_duplicate() {
    let server = TestServer::start().await;
    let mut writer = server.in_world("w").await;
    let token = writer.token().to_owned();
    let start = writer.at(0);
    let content = |number: u32| if number.is_multiple_of(3) { "@a1 hi" } else { "@human hi" };
    for number in 0..30 {
        writer.say(content(number)).await;
    }
    let mut reader = server.client_of(&token).await;
    reader.select("stage", "w").await;
    reader.send("event_subscribe", json!({"eventTypes": ["message"], "after": start})).await;
    for number in 0..30 {
        writer.say(content(number)).await;
    }
    let last = writer.ok("chat_send", json!({"content": "@human the end"})).await["messageId"].clone();
    let frames = reader.until(|frame| frame.event("message").is_some_and(|m| m["messageId"] == last)).await;
    let seqs: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "in order, once each: {seqs:?}");
    let humans = frames.iter().filter(|frame| frame.payload()["event"]["senderType"] == "human").count();
    assert_eq!(humans, 61);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_resumed_says_why_and_leaves_no_subscription() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.select("stage", "other").await;
    let foreign = client.at(0);
    client.select("stage", "w").await;
    let future = client.at(9_999);
    let http = server.http_of(client.token());
    for (after, reason) in [(foreign, "epoch"), ("aaaaaaaaaaaaaaaa:0".to_owned(), "epoch"), (future, "future")] {
        let before = client.ok("event_subscribe", json!({})).await["head"].clone();
        let error = client.fails("event_subscribe", json!({"after": after}), "UNRESUMABLE").await;
        assert_eq!((&error["details"]["reason"], &error["details"]["cursor"]), (&json!(reason), &before));
        let root = client.say("@a1 hi").await["messageId"].clone();
        let page = http.get(&format!("/worlds/w/events?after={after}")).await;
        assert_eq!(page.problem("UNRESUMABLE")["reason"], reason);
        let headers = [("accept", "text/event-stream"), ("last-event-id", after.as_str())];
        let Err(answer) = http.try_stream("GET", "/worlds/w/events", &headers, None).await else {
            panic!("a live tail")
        };
        assert_eq!((answer.status, &answer.problem("UNRESUMABLE")["reason"]), (410, &json!(reason)));
        // Wait for the answer elsewhere: nothing of it comes here.
        let mut other = server.client_of(client.token()).await;
        other.select_with(json!({"templateName": "stage", "worldName": "w", "after": before})).await;
        other.until_settled(root.as_str().unwrap()).await;
        assert!(client.drain().await.is_empty());
    }
}

#[tokio::test]
async fn who_joins_in_the_middle_of_a_reply_gets_its_text_so_far_in_one_piece() {
    let server = TestServer::start().await;
    let mut first = server.in_world("w").await;
    for resumes in [true, false] {
        let start = first.ok("event_subscribe", json!({})).await["head"].clone();
        let root = first.say("@a1 SLOW").await["messageId"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            first.expect(|frame| frame.is_delta()).await;
        }
        let mut second = server.client_of(first.token()).await;
        let mut payload = json!({"templateName": "stage", "worldName": "w"});
        if resumes {
            payload["after"] = start;
        }
        second.select_with(payload).await;
        let frames = second.until_settled(&root).await;
        let of_reply: Vec<&Frame> = frames.iter().filter(|frame| frame.reply().is_some()).collect();
        assert_eq!(of_reply[0].is_start(), resumes, "the start only to who asked for what was before");
        let deltas: Vec<&&Frame> = of_reply.iter().filter(|frame| frame.is_delta()).collect();
        assert_eq!(deltas[0].payload()["offset"], 0, "{deltas:#?}");
        assert!(deltas[0].payload()["content"].as_str().unwrap().starts_with("one two three"), "{}", deltas[0].text);
        assert!(deltas[1..].iter().all(|frame| frame.payload()["offset"] != 0), "once");
        let text: String = deltas.iter().map(|frame| frame.payload()["content"].as_str().unwrap()).collect();
        assert_eq!(text, "one two three four five six seven eight nine ten");
        first.until_settled(&root).await;
    }
}

#[tokio::test]
async fn filters_pass_what_they_say() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    history(&mut client).await;
    let kind = |frame: &Frame| match frame.kind() {
        "chat_response" => "sse".to_owned(),
        _ => frame.payload()["eventType"].as_str().unwrap_or("none").to_owned(),
    };
    for kinds in [
        json!(["message"]),
        json!(["world"]),
        json!(["sse"]),
        json!(["system"]),
        json!(["message", "sse"]),
        json!(["message", "world", "sse", "system"]),
    ] {
        client.ok("event_subscribe", json!({"eventTypes": kinds, "after": client.at(0)})).await;
        let mut frames = client.until(|frame| frame.status("caught_up").is_some()).await;
        frames.pop();
        let mut seen: Vec<Value> = frames.iter().map(|frame| json!(kind(frame))).collect();
        seen.sort_by_key(ToString::to_string);
        seen.dedup();
        let mut expected = kinds.as_array().unwrap().clone();
        expected.sort_by_key(ToString::to_string);
        assert_eq!(seen, expected);
    }
    client.ok("event_subscribe", json!({"agentFilter": ["A2"], "after": client.at(0)})).await;
    let frames = client.until(|frame| frame.status("caught_up").is_some()).await;
    let sender = |frame: &Frame| match frame.reply() {
        Some(reply) => reply["agentName"].as_str().unwrap().to_owned(),
        None => frame.payload()["event"]["sender"].as_str().unwrap_or_default().to_owned(),
    };
    let heard = |who: &str| frames.iter().any(|f| sender(f) == who && kind(f) != "world");
    assert!(heard("a2") && heard("human") && !heard("a1"));
    assert!(frames.iter().any(|frame| frame.action("agent-update").is_some()), "world events always pass");
}

#[tokio::test]
async fn a_connection_has_one_subscription_however_much_it_says() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for _ in 0..5 {
        client.converse("@a1 hi").await;
        client.ok("event_subscribe", json!({})).await;
    }
    let frames = client.converse("@a1 hi").await;
    let seqs: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}
