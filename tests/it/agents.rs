//! Who answers, and what the others hear (docs/PROTOCOL.md §6).

use serde_json::{Value, json};

use crate::support::{Client, Frame, TestServer};

/// The golden vectors: content, sender, and the agents of {a1, a2} that answer.
const ROUTING: &[(&str, &str, &[&str])] = &[
    ("hi", "HUMAN", &["a1", "a2"]),
    ("hi", "Human", &["a1", "a2"]),
    ("hi", "user", &["a1", "a2"]),
    ("hey @A1", "HUMAN", &["a1"]),
    ("@a1, @a2", "HUMAN", &["a1"]),
    ("@a1.", "HUMAN", &["a1"]),
    ("(@a1)", "HUMAN", &["a1"]),
    ("@@a1 hi", "HUMAN", &["a1", "a2"]),
    ("@1a hi", "HUMAN", &["a1", "a2"]),
    ("mail bob@example.com", "HUMAN", &["a1", "a2"]),
    ("@a2 @a1", "HUMAN", &["a2"]),
    ("@nobody @a1", "HUMAN", &[]),
    ("@a1-x", "HUMAN", &[]),
    ("@a1_", "HUMAN", &[]),
    ("@human yes", "HUMAN", &[]),
    ("hi", "a2", &[]),
    ("hi", "A1", &[]),
    ("@a1 hi", "a2", &["a1"]),
    ("@a1 hi", "a1", &[]),
    ("@A2 @a1", "a1", &["a2"]),
];

#[tokio::test]
async fn the_golden_vectors_of_routing() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    assert!(ROUTING.len() >= 20);
    for (content, sender, answering) in ROUTING {
        let accepted = client.ok("chat_send", json!({"content": content, "sender": sender})).await;
        assert_eq!(accepted["answering"], json!(answering), "{content:?} of {sender}");
        let root = accepted["messageId"].as_str().unwrap();
        let frames = client.until_settled(root).await;
        let mut woken: Vec<&str> =
            frames.iter().filter(|f| f.is_start() && f.payload()["inReplyTo"] == root).map(agent).collect();
        woken.sort_unstable();
        assert_eq!(woken, *answering, "{content:?} of {sender}");
    }
}

fn agent(frame: &Frame) -> &str {
    frame.payload()["agentName"].as_str().unwrap()
}

/// What was posted: who said what.
fn said(frames: &[Frame]) -> Vec<(String, String)> {
    let events = frames.iter().filter(|frame| frame.event("message").is_some()).map(|frame| &frame.payload()["event"]);
    events.map(|e| (e["sender"].as_str().unwrap().into(), e["payload"]["content"].as_str().unwrap().into())).collect()
}

fn pairs(said: &[(&str, &str)]) -> Vec<(String, String)> {
    said.iter().map(|(who, what)| ((*who).to_owned(), (*what).to_owned())).collect()
}

async fn duo(client: &mut Client) {
    client.select("duo", "w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"]})).await;
}

#[tokio::test]
async fn two_agents_talk_by_mention_until_one_turns_to_the_human() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    duo(&mut client).await;
    let frames = client.converse("@alice start").await;
    assert_eq!(
        said(&frames),
        pairs(&[
            ("human", "@alice start"),
            ("alice", "@bob what do you think?"),
            // Answering an agent without a mention, a reply is addressed to it.
            ("bob", "@alice I think so."),
            ("alice", "@human we agree."),
        ])
    );
    let messages: Vec<&Value> = frames.iter().filter_map(|frame| frame.event("message")).collect();
    for pair in messages.windows(2) {
        assert_eq!(pair[1]["inReplyTo"], pair[0]["messageId"]);
        assert_eq!(pair[1]["rootId"], messages[0]["messageId"]);
    }
    assert_eq!(messages[0].get("inReplyTo"), None);
    let ends: Vec<&str> =
        frames.iter().filter(|f| f.is_end()).map(|f| f.payload()["content"].as_str().unwrap()).collect();
    assert_eq!(
        ends,
        ["@bob what do you think?", "I think so.", "@human we agree."],
        "the reply itself stays as it was"
    );
    assert!(frames.iter().all(|frame| frame.action("no-recipient").is_none()), "@human is nobody's mistake");
}

#[tokio::test]
async fn the_turn_limit_hands_over_and_a_human_unlocks_the_agents() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    duo(&mut client).await;
    for _ in 0..2 {
        let frames = client.converse("@alice forever").await;
        assert_eq!(frames.iter().filter(|frame| frame.is_start()).count(), 6, "three calls each");
        let last = frames.iter().rev().find(|frame| frame.event("message").is_some()).unwrap();
        let event = &last.payload()["event"];
        assert_eq!((&event["sender"], &event["senderType"]), (&json!("system"), &json!("world")));
        let text = "@human Turn limit reached (3 LLM calls). Please take control of the conversation.";
        assert_eq!(event["payload"]["content"], text);
        let limit = frames.iter().find_map(|frame| frame.action("turn-limit")).unwrap();
        assert_eq!((&limit["agentName"], &limit["count"]), (&json!("alice"), &json!(3)));
    }
}

#[tokio::test]
async fn passing_tells_the_human_and_wakes_nobody() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"]})).await;
    let frames = client.converse("@a1 PASS").await;
    assert_eq!(said(&frames)[1..], pairs(&[("system", "@human a1 is passing control to you")]));
    assert_eq!(frames.iter().filter(|frame| frame.is_start()).count(), 1);
    assert_eq!(frames.iter().find_map(|frame| frame.action("pass")).unwrap()["agentName"], "a1");
    let (end, message) = (
        frames.iter().find(|frame| frame.is_end()).unwrap(),
        frames.iter().filter_map(|frame| frame.event("message")).next_back().unwrap(),
    );
    assert_eq!(end.payload()["content"], "I am done. <World>Pass</WORLD> @a2");
    assert_eq!(end.payload()["messageId"], message["messageId"]);
    // Only an agent's reply can pass.
    let frames = client.converse("<world>pass</world> @a1").await;
    assert_eq!(frames.iter().filter(|frame| frame.is_start()).count(), 1);
}

#[tokio::test]
async fn an_inactive_agent_remembers_and_does_not_answer() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    http.patch("/worlds/w/agents/a1", json!({"status": "inactive"})).await;
    for (payload, answering) in [
        (json!({"content": "hi"}), json!(["a2"])),
        (json!({"content": "@a1 hi"}), json!([])),
        (json!({"content": "hi", "targetAgent": "a1"}), json!([])),
    ] {
        assert_eq!(client.ok("chat_send", payload).await["answering"], answering);
    }
    http.patch("/worlds/w/agents/a1", json!({"status": "active"})).await;
    assert_eq!(client.say("hi").await["answering"], json!(["a1", "a2"]));
}

#[tokio::test]
async fn target_agent_overrides_mentions() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for (content, target, answering) in
        [("hi", "a2", json!(["a2"])), ("@a2 hi", "A1", json!(["a1"])), ("@human hi", "a1", json!(["a1"]))]
    {
        let accepted = client.ok("chat_send", json!({"content": content, "targetAgent": target})).await;
        assert_eq!(accepted["answering"], answering, "{content} → {target}");
    }
    let own = client.ok("chat_send", json!({"content": "hi", "sender": "a1", "targetAgent": "a1"})).await;
    assert_eq!(own["answering"], json!([]), "nobody answers themselves");
}

#[tokio::test]
async fn senders_are_stored_as_they_are_called() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for (sender, stored, kind) in
        [("HUMAN", "human", "human"), ("user", "human", "human"), ("USER", "human", "human"), ("A1", "a1", "agent")]
    {
        let payload = json!({"content": "@human note", "sender": sender, "displayName": "Zoë 世界"});
        let accepted = client.ok("chat_send", payload).await;
        let frames = client.until_settled(accepted["messageId"].as_str().unwrap()).await;
        let event = &frames[0].payload()["event"];
        assert_eq!((&event["sender"], &event["senderType"]), (&json!(stored), &json!(kind)), "{sender}");
        assert_eq!(event["payload"]["displayName"], "Zoë 世界");
        assert_eq!(frames[0].seq(), accepted["seq"].as_u64());
    }
}

#[tokio::test]
async fn system_events_say_why_an_agent_is_silent() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["system", "world"]})).await;
    for (content, action, detail) in [
        ("@a1 hi", "routed", json!(["a1"])),
        ("@nobody hi", "no-recipient", json!("nobody")),
        ("@human hi", "no-recipient", json!("human")),
    ] {
        let accepted = client.say(content).await;
        let frames = client.until_settled(accepted["messageId"].as_str().unwrap()).await;
        let payload = frames.iter().find_map(|f| f.action(action)).unwrap_or_else(|| panic!("{content}: {frames:#?}"));
        assert_eq!(payload["messageId"], accepted["messageId"]);
        let field = if action == "routed" { "answering" } else { "mention" };
        assert_eq!(payload[field], detail, "{content}");
    }
}

#[tokio::test]
async fn every_end_says_how_the_reply_ended() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for (word, reason, content, code, retryable, status) in [
        ("USAGE", "stop", "counted", None, false, "active"),
        ("LENGTH", "length", "cut off", None, false, "active"),
        ("FAIL", "error", "", Some("PROVIDER_ERROR"), false, "error"),
        ("CUT", "error", "half a", Some("PROVIDER_ERROR"), true, "error"),
        ("EMPTY", "error", "", Some("PROVIDER_ERROR"), true, "error"),
        ("fine again", "stop", "a1 heard you, call 6.", None, false, "active"),
    ] {
        let frames = client.converse(&format!("@a1 {word}")).await;
        let ends: Vec<_> = frames.iter().filter(|frame| frame.is_end()).collect();
        assert_eq!(ends.len(), 1, "{word}: one end for one start");
        let end = ends[0].payload();
        assert_eq!((&end["finishReason"], &end["content"]), (&json!(reason), &json!(content)), "{word}");
        assert_eq!(end["error"].get("code").and_then(Value::as_str), code, "{word}: {end}");
        if code.is_some() {
            assert_eq!(end["error"]["retryable"], retryable, "{word}: {end}");
        }
        let posted = said(&frames).iter().any(|(who, _)| who == "a1");
        assert_eq!(posted, code.is_none(), "{word}: only stop and length are posted");
        if word == "USAGE" {
            assert_eq!(end["usage"], json!({"inputTokens": 40, "outputTokens": 9}));
        }
        let reloaded = client.ok("world_reload", json!({})).await;
        assert_eq!(reloaded["agents"][0]["status"], status, "{word}");
    }
}

#[tokio::test]
async fn a_reply_of_more_than_256_kib_is_cut() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let frames = client.converse("@a1 BIG").await;
    let end = frames.iter().find(|frame| frame.is_end()).unwrap().payload();
    assert_eq!(end["finishReason"], "length");
    let length = end["content"].as_str().unwrap().len();
    assert!(length <= 256 * 1024 && length > 255 * 1024, "{length}");
}

#[tokio::test]
async fn offsets_count_code_points() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let frames = client.converse("@a1 UNICODE").await;
    let mut text = String::new();
    for frame in frames.iter().filter(|frame| frame.is_delta()) {
        let (offset, content) =
            (frame.payload()["offset"].as_u64().unwrap(), frame.payload()["content"].as_str().unwrap());
        if offset == 0 {
            text.clear();
        }
        assert_eq!(offset as usize, text.chars().count(), "{}", frame.text);
        text.push_str(content);
    }
    assert_eq!(text, "Grüße, 世界! 🌍 fine");
    assert_eq!(frames.iter().find(|frame| frame.is_end()).unwrap().payload()["content"], text);
}

#[tokio::test]
async fn an_agent_told_to_ask_another_wakes_it_and_settled_waits_for_both() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let frames = client.converse("@a1 ASK2").await;
    assert_eq!(
        said(&frames),
        pairs(&[("human", "@a1 ASK2"), ("a1", "@a2 a1 asks you"), ("a2", "@human a2 heard a1.")])
    );
    assert_eq!(frames.iter().filter(|frame| frame.action("settled").is_some()).count(), 1);
}
