//! Resume: the same bytes on every way, one delta in the middle of a reply, and never a silent live tail.

use serde_json::{Value, json};

use crate::{
    model::{Model, world_with},
    program::{Program, script},
    random::Random,
    support::{Client, Frame, Http, TestServer, eventually},
};

const ALL: [&str; 4] = ["message", "world", "sse", "system"];

fn durable(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.clone()).collect()
}

async fn replay(client: &mut Client, after: &str) -> Vec<String> {
    let subscribed = client.ok("event_subscribe", json!({"eventTypes": ALL, "after": after})).await;
    assert_eq!(subscribed["from"], after);
    durable(&client.until(|frame| frame.status("caught_up").is_some()).await)
}

async fn stream(http: &Http, after: &str) -> Vec<String> {
    let headers = [("accept", "text/event-stream"), ("last-event-id", after)];
    let path = format!("/worlds/w/events?types={}", ALL.join(","));
    let events = http.stream("GET", &path, &headers, None).await.until(|f| f.status("caught_up").is_some()).await;
    durable(&events.into_iter().map(|event| event.frame).collect::<Vec<_>>())
}

/// All pages after a cursor, of a random size each.
async fn pages(http: &Http, after: &str, random: &mut Random) -> Vec<String> {
    let (mut events, mut after) = (Vec::new(), after.to_owned());
    loop {
        let limit = 1 + random.below(60);
        let path = format!("/worlds/w/events?types={}&limit={limit}&after={after}", ALL.join(","));
        let page = http.get(&path).await;
        let text: &str = &page.text;
        // The frames as they stand in the page, byte for byte.
        let frames: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str::<Page>(text)
            .map(|page| page.events)
            .unwrap_or_else(|error| panic!("{error}: {text}"));
        events.extend(frames.iter().map(|frame| frame.get().to_owned()));
        match page.json()["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return events,
        }
    }
}

#[derive(serde::Deserialize)]
struct Page {
    events: Vec<Box<serde_json::value::RawValue>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn from_every_cursor_every_way_brings_the_same_bytes() {
    let mut server = TestServer::with(|config| {
        config.script = Some(script());
        // With snapshots on the way, and a world that sleeps and comes back.
        (config.snapshot_every, config.idle_unload) = (7, std::time::Duration::from_millis(30));
    })
    .await;
    let mut client = server.in_world("w").await;
    let start = client.cursor.clone();
    client.ok("event_subscribe", json!({"eventTypes": ALL})).await;
    let mut random = Random::new("resume");
    let mut live = Vec::new();
    for _ in 0..30 {
        let content = ["hi", "@a1 WORDS", "@a2 FAIL", "@nobody", "@a1 CUT", "@a2 gr\u{fc}\u{df} \u{1f30d} \"\\\u{7}"];
        live.extend(client.converse(content[random.below(6) as usize]).await);
    }
    let live = durable(&live);
    let http = server.http_of(client.token());
    let seqs: Vec<u64> =
        live.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()["seq"].as_u64().unwrap()).collect();
    let mut reader = server.client_of(client.token()).await;
    reader.select("stage", "w").await;
    assert_eq!(replay(&mut reader, &start).await, live);
    let mut checked = 0;
    for _ in 0..25 {
        let at = random.below(seqs.len() as u64) as usize;
        let after = client.at(seqs[at]);
        for brought in
            [replay(&mut reader, &after).await, stream(&http, &after).await, pages(&http, &after, &mut random).await]
        {
            assert_eq!(brought, live[at + 1..], "after {after}");
            checked += brought.len();
        }
    }
    server.restart().await;
    let http = server.http_of(client.token());
    let mut reader = server.client_of(client.token()).await;
    reader.select("stage", "w").await;
    for brought in
        [replay(&mut reader, &start).await, stream(&http, &start).await, pages(&http, &start, &mut random).await]
    {
        assert_eq!(brought, live, "after a restart");
        checked += brought.len();
    }
    println!("resume: {} events live; {checked} frames byte-equal from 26 cursors on three ways", live.len());
    assert!(live.len() >= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_reply_at_any_chunk_gets_its_text_so_far_once() {
    const CHUNKS: usize = 6;
    let server = TestServer::start().await;
    let mut model = Model::start().await;
    let mut client = server.client().await;
    let http = server.http_of(client.token());
    world_with(&model, &mut client, &http, "w").await;
    let text = |number: usize| format!("chunk \u{1f30d} {number}; ");
    for joined_at in 0..=CHUNKS {
        let before = client.ok("event_subscribe", json!({})).await["head"].as_str().expect("a cursor").to_owned();
        let root = client.say("@m1 go").await["messageId"].as_str().expect("an id").to_owned();
        let mut call = model.call().await;
        call.stream().await;
        for number in 0..joined_at {
            call.chunk(&text(number)).await;
            client.until(|frame| frame.is_delta()).await;
        }
        let mut joining = server.client_of(client.token()).await;
        joining.select_with(json!({"templateName": "empty", "worldName": "w", "after": before})).await;
        let mut over_sse = http
            .stream("GET", "/worlds/w/events", &[("accept", "text/event-stream"), ("last-event-id", &before)], None)
            .await;
        let mut frames = joining.until(|frame| frame.status("caught_up").is_some()).await;
        let mut events: Vec<Frame> = Vec::new();
        for event in over_sse.until(|frame| frame.status("caught_up").is_some()).await {
            events.push(event.frame);
        }
        for number in joined_at..CHUNKS {
            call.chunk(&text(number)).await;
        }
        call.finish().await;
        frames.extend(joining.until_settled(&root).await);
        events.extend(over_sse.until(|frame| frame.settles(&root)).await.into_iter().map(|event| event.frame));
        let so_far: String = (0..joined_at).map(text).collect();
        let whole: String = (0..CHUNKS).map(text).collect();
        for frames in [&frames, &events] {
            let of_reply: Vec<&Frame> = frames.iter().filter(|frame| frame.reply().is_some()).collect();
            assert!(of_reply[0].is_start() && of_reply.last().expect("some").is_end());
            let deltas: Vec<&Value> = of_reply.iter().filter(|f| f.is_delta()).map(|f| f.payload()).collect();
            assert_eq!(deltas.iter().filter(|delta| delta["offset"] == 0).count(), 1, "{deltas:#?}");
            let first = deltas[0]["content"].as_str().expect("text");
            assert!(first.starts_with(&so_far) && deltas[0]["offset"] == 0, "{deltas:#?}");
            let (mut text, mut length) = (String::new(), 0);
            for delta in deltas {
                assert_eq!(delta["offset"], length, "no gap, no overlap");
                text += delta["content"].as_str().expect("text");
                length = text.chars().count();
            }
            assert_eq!(text, whole);
            assert_eq!(of_reply.last().expect("some").payload()["content"], whole);
        }
        joining.close().await;
    }
    println!("resume: joined at each of 0..={CHUNKS} chunks, over WebSocket and SSE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_log_says_what_has_expired() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = ["--log-records", "40", "--snapshot-every", "10", "--idle-unload", "50ms"];
    let mut server = Program::start(&dir.path().join("data"), &settings).await;
    let mut client = server.in_world("w").await;
    let start = client.cursor.clone();
    let token = client.token().to_owned();
    for number in 0..60 {
        client.say(&format!("@human {number}")).await;
    }
    for round in 0..2 {
        let http = server.http_of(&token);
        let mut client = server.client_of(&token).await;
        let head = client.select("stage", "w").await["cursor"].as_str().expect("a cursor").to_owned();
        let error = client.fails("event_subscribe", json!({"after": start}), "UNRESUMABLE").await;
        assert_eq!((&error["details"]["reason"], &error["details"]["cursor"]), (&json!("expired"), &json!(head)));
        let select = json!({"templateName": "stage", "worldName": "w", "after": start});
        let error = client.fails("world_select", select, "UNRESUMABLE").await;
        assert_eq!(error["details"]["reason"], "expired");
        let page = http.get(&format!("/worlds/w/events?after={start}")).await;
        assert_eq!((page.status, &page.problem("UNRESUMABLE")["reason"]), (410, &json!("expired")));
        let headers = [("accept", "text/event-stream"), ("last-event-id", start.as_str())];
        let Err(answer) = http.try_stream("GET", "/worlds/w/events", &headers, None).await else {
            panic!("a live tail")
        };
        assert_eq!(answer.problem("UNRESUMABLE")["reason"], "expired");
        let before = http.get(&format!("/worlds/w/events?before={start}")).await;
        assert_eq!((before.status, &before.problem("UNRESUMABLE")["reason"]), (410, &json!("expired")));
        // What is within the bound is there, and the agents know all that they knew.
        let seq: u64 = head.split(':').nth(1).and_then(|seq| seq.parse().ok()).expect("a seq");
        let after = client.at(seq - 40);
        let kept = replay(&mut client, &after).await;
        assert!(kept.len() >= 20);
        // A page of what was before ends where the log begins.
        let first = http.get("/worlds/w/events?limit=500&types=message,world,sse,system").await;
        let events = first.json()["events"].as_array().expect("a list").len();
        assert!(events <= 40 + 10 + 4, "{events} are kept");
        let lines = http.get("/worlds/w/export").await.text.lines().count();
        assert!(lines <= 1 + 40 + 10 + 4, "{lines} lines");
        client.ok("event_subscribe", json!({})).await;
        let frames = client.converse("@a1 hi").await;
        assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
        eventually("the world sleeps", || async { server.metric("worlds_loaded").await == 0.0 }).await;
        if round == 0 {
            server.stop().await;
            server = Program::start(&dir.path().join("data"), &settings).await;
        }
    }
    println!("resume: a log bounded to 40 records refuses what is older on five ways, before and after a restart");
}
