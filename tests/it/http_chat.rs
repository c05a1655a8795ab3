//! Asking over HTTP: a stream that ends when the question is settled.

use serde_json::json;

use crate::support::{Frame, SseEvent, TestServer, eventually};

fn accepted(events: &[SseEvent]) -> &serde_json::Value {
    events[1].frame.status("message_accepted").expect("the second frame")
}

#[tokio::test]
async fn a_stranger_asks_and_becomes_a_user() {
    let server = TestServer::start().await;
    let stream = server.http().chat("stage", "", "hi").await;
    let token = stream.header("agent-world-token").to_owned();
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert!(stream.header("cache-control").contains("no-cache"));
    assert_eq!(stream.header("x-accel-buffering"), "no");
    let events = stream.rest().await;
    let connected = events[0].frame.status("connected").expect("the first frame");
    assert_eq!(connected["sessionToken"], token);
    let data = accepted(&events);
    let root = data["messageId"].as_str().unwrap();
    assert_eq!(events[2].frame.seq(), data["seq"].as_u64(), "from the message's own seq on");
    assert!(events.last().unwrap().frame.settles(root), "it ends with the end of the question");
    assert_eq!(events.iter().filter(|event| event.frame.is_end()).count(), 2);
    let seqs: Vec<u64> = events.iter().filter_map(|event| event.frame.seq()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
    assert!(events[..2].iter().all(|event| event.id.is_none() && event.frame.json.get("replyTo").is_none()));

    // The token is that user; the world is there, and another question continues it.
    let http = server.http_of(&token);
    let world = http.get("/worlds/stage").await;
    assert_eq!((&world.json()["kind"], &world.json()["persistent"]), (&json!("world"), &json!(false)));
    let more = http.chat("stage", "", "@a1 again").await;
    assert_eq!(more.header("agent-world-token"), "", "only a new user gets one");
    let events = more.rest().await;
    assert!(
        events.iter().any(|event| event.frame.is_end() && event.frame.payload()["content"] == "a1 heard you, call 2.")
    );
    assert_eq!(events[0].frame.status("connected").unwrap().get("sessionToken"), None);
}

#[tokio::test]
async fn refusals_before_acceptance_are_problems_and_make_no_user() {
    let server = TestServer::start().await;
    let counts = async || {
        let health = server.http().get("/health").await;
        (health.json()["sessions"].clone(), health.json()["worlds"].clone())
    };
    let before = counts().await;
    for (path, body, code) in [
        ("/worlds/nowhere/chat", json!({"message": "hi"}), "WORLD_NOT_FOUND"),
        ("/worlds/stage/chat", json!({"message": ""}), "INVALID_MESSAGE"),
        ("/worlds/stage/chat", json!({"content": "hi"}), "INVALID_MESSAGE"),
        ("/worlds/stage/chat", json!({"message": "hi", "targetAgent": "a9"}), "AGENT_NOT_FOUND"),
        ("/worlds/stage/chat", json!({"message": "hi", "sender": "a9"}), "AGENT_NOT_FOUND"),
    ] {
        let Err(answer) = server.http().try_stream("POST", path, &[], Some(body)).await else { panic!("{path}") };
        answer.problem(code);
    }
    assert_eq!(counts().await, before);
    let http = server.session().await;
    for (body, code) in [
        (json!({"message": "hi", "targetAgent": "a9"}), "AGENT_NOT_FOUND"),
        (json!({"message": "hi", "sender": "a9"}), "AGENT_NOT_FOUND"),
    ] {
        let Err(answer) = http.try_stream("POST", "/worlds/stage/chat", &[], Some(body)).await else {
            panic!("{code}")
        };
        answer.problem(code);
    }
    assert_eq!(http.get("/session/worlds").await.json(), &json!([]));
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_too() {
    let server = TestServer::start().await;
    let events = server.http().chat("stage", "", "@human note to self").await.rest().await;
    assert_eq!(accepted(&events)["answering"], json!([]));
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(events[3].frame.action("settled").is_some());
}

#[tokio::test]
async fn a_conversation_between_agents_is_one_question() {
    let server = TestServer::start().await;
    let events = server.http().chat("duo", "", "@alice start").await.rest().await;
    assert_eq!(events.iter().filter(|event| event.frame.is_end()).count(), 3);
}

/// A stream that stays shows all that the log holds, also what stands right behind the end of its question.
#[tokio::test]
async fn until_never_leaves_nothing_out() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let ask = async || {
        let (path, key) = ("/worlds/stage/chat?until=never", [("idempotency-key", "k")]);
        http.stream("POST", path, &key, Some(json!({"message": "@human one"}))).await
    };
    ask().await.until(|frame| frame.action("settled").is_some()).await;
    for message in ["@human two", "@human three"] {
        http.chat("stage", "", message).await.rest().await;
    }
    let said = |frame: &Frame| frame.json["payload"]["event"]["payload"]["content"].as_str().map(str::to_owned);
    let events = ask().await.until(|frame| said(frame).is_some_and(|said| said == "@human three")).await;
    let heard: Vec<_> = events.iter().filter_map(|event| said(&event.frame)).collect();
    assert_eq!(heard, ["@human one", "@human two", "@human three"]);
}

#[tokio::test]
async fn until_never_stays() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let mut stream = http.chat("stage", "?until=never", "@a1 hi").await;
    stream.until(|frame| frame.action("settled").is_some()).await;
    let other = http.chat("stage", "", "@a2 SLOW").await.rest().await;
    let root = accepted(&other)["messageId"].as_str().unwrap().to_owned();
    let seen = stream.until(|frame| frame.settles(&root)).await;
    assert!(seen.iter().any(|event| event.frame.ends("a2")));
}

#[tokio::test]
async fn leaving_cancels_only_when_asked() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select("stage", "stage").await;
    let http = server.http_of(client.token());
    let mut kept = http.chat("stage", "?onDisconnect=continue", "@a1 HANG").await;
    kept.until(|frame| frame.is_delta()).await;
    let mut dropped = http.chat("stage", "?onDisconnect=cancel", "@a2 HANG").await;
    dropped.until(|frame| frame.is_start() && frame.payload()["agentName"] == "a2").await;
    drop(kept);
    drop(dropped);
    let frames = client.until(|frame| frame.action("settled").is_some()).await;
    let ends: Vec<_> = frames.iter().filter(|frame| frame.is_end()).collect();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    assert_eq!(
        (&ends[0].payload()["agentName"], &ends[0].payload()["finishReason"]),
        (&json!("a2"), &json!("cancelled"))
    );
    // One that was settled cancels nothing: it asks for its own question only.
    http.chat("stage", "?onDisconnect=cancel", "@human hi").await.rest().await;
    let cancelled = client.ok("chat_cancel", json!({})).await;
    assert_eq!(cancelled["messageIds"].as_array().unwrap().len(), 1, "a1 still runs");
}

#[tokio::test]
async fn an_open_stream_holds_an_ephemeral_world() {
    let server = TestServer::with(|config| config.grace = std::time::Duration::from_millis(200)).await;
    let http = server.session().await;
    let mut stream = http.chat("stage", "?until=never", "@human hi").await;
    stream.until(|frame| frame.action("settled").is_some()).await;
    for _ in 0..3 {
        let second = server.session().await;
        second.chat("stage", "", "@a1 SLOW").await.rest().await;
    }
    assert_eq!(http.get("/session/worlds").await.json().as_array().unwrap().len(), 1);
    drop(stream);
    eventually("it is deleted", || async { http.get("/session/worlds").await.json() == &json!([]) }).await;
}

#[tokio::test]
async fn a_stream_ends_when_its_world_is_deleted_or_the_server_stops() {
    let mut server = TestServer::start().await;
    let http = server.session().await;
    for stop in [false, true] {
        let mut stream = http.chat("stage", "?until=never", "@human hi").await;
        stream.until(|frame| frame.action("settled").is_some()).await;
        let following = http.stream("GET", "/worlds/stage/events", &[("accept", "text/event-stream")], None).await;
        if stop {
            server.ask_to_stop();
        } else {
            assert_eq!(http.delete("/worlds/stage").await.status, 204);
        }
        for stream in [stream, following] {
            let rest = stream.rest().await;
            let errors: Vec<_> = rest.iter().filter(|event| event.frame.kind() == "error").collect();
            let why = |event: &&SseEvent| event.frame.payload()["code"] == "WORLD_NOT_FOUND";
            assert!(errors.len() == usize::from(!stop) && errors.iter().all(why), "{rest:#?}");
        }
    }
    server.stopped().await;
}
