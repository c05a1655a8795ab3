//! Slow clients: what is held for one is bounded, the others do not notice, and it misses nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    program::{Program, metric, script},
    random::size,
    support::{Frame, Host, TestServer, eventually},
    wire::Wire,
};

/// The least that can be set.
const OUTBOX: usize = 64 * 1024;
const SEND_BUFFER: usize = 4 * 1024;
/// Of the kernel, for a slow client. Much smaller ones make TCP itself stall for minutes.
const RECEIVE_BUFFER: u32 = 32 * 1024;
const NOTES: usize = 400;

fn durable(frames: &[Frame]) -> Vec<&str> {
    frames.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.as_str()).collect()
}

fn select(world: &str) -> Value {
    json!({"templateName": "stage", "worldName": world})
}

fn settles(root: &Value) -> impl Fn(&Frame) -> bool {
    move |frame| frame.action("settled").is_some_and(|settled| settled["rootId"] == *root)
}

/// The text that the deltas of a reply amount to; each begins where the one before it ended, or anew.
fn text_of(frames: &[Frame], reply: &Value) -> (String, usize) {
    let (mut text, mut length, mut deltas) = (String::new(), 0, 0);
    for frame in frames.iter().filter(|frame| frame.is_delta() && frame.payload()["messageId"] == *reply) {
        let (offset, content) =
            (frame.payload()["offset"].as_u64().unwrap(), frame.payload()["content"].as_str().unwrap());
        if offset == 0 {
            text.clear();
            length = 0;
        }
        assert_eq!(length, offset, "a gap between deltas, or a duplicate");
        text.push_str(content);
        length += content.chars().count() as u64;
        deltas += 1;
    }
    (text, deltas)
}

/// Three clients in one world, on a server that holds little: one that will be slow, one that reads, and one that only
/// writes.
struct Meeting {
    server: TestServer,
    slow: Wire,
    reader: Wire,
    writer: Wire,
}

impl Meeting {
    async fn new() -> Self {
        let server = TestServer::with(|config| {
            config.script = Some(script());
            (config.outbox_bytes, config.send_buffer_bytes) = (OUTBOX, SEND_BUFFER);
            config.chat_burst = 1e6;
        })
        .await;
        let http = server.session().await;
        let token = http.token();
        let slow = Wire::select(&server, token, Some(RECEIVE_BUFFER), select("w")).await;
        let reader = Wire::select(&server, token, None, select("w")).await;
        let mut writer = Wire::select(&server, token, None, select("w")).await;
        let (unsubscribed, _) = writer.ask("event_unsubscribe", json!({})).await;
        assert_eq!(unsubscribed.kind(), "status");
        Self { server, slow, reader, writer }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_costs_a_bounded_amount_and_misses_nothing() {
    let Meeting { server, mut slow, mut reader, mut writer } = Meeting::new().await;
    // From here on `slow` takes nothing.
    let host: Host = server.host.clone();
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let watching = tokio::spawn(async move {
        let (mut most, mut looks) = (0.0_f64, 0);
        while stop.try_recv().is_err() {
            most = most.max(metric(&host, "outbox_bytes").await);
            looks += 1;
        }
        (most as usize, looks)
    });
    let writing = tokio::spawn(async move {
        let (mut last, mut sent) = (Value::Null, Vec::new());
        let note = "n".repeat(300);
        for number in 0..NOTES {
            let flood = number % 40 == 0;
            let content = if flood { format!("@a1 FLOOD {number}") } else { format!("@human FLOOD {number} {note}") };
            sent.push(Instant::now());
            let (accepted, _) = writer.ask("chat_send", json!({"content": content})).await;
            let data = accepted.status("message_accepted").unwrap_or_else(|| panic!("{}", accepted.text));
            last = if flood { data["messageId"].clone() } else { last };
        }
        (writer, last, sent)
    });
    let mut frames = Vec::new();
    let mut heard: Vec<Instant> = Vec::new();
    while heard.len() < NOTES {
        let frame = reader.next().await.expect("the connection is open");
        if frame.event("message").is_some_and(|message| message["messageId"] == message["rootId"]) {
            heard.push(Instant::now());
        }
        frames.push(frame);
    }
    let (mut writer, last, sent) = writing.await.expect("no panic");
    if !frames.iter().any(settles(&last)) {
        frames.extend(reader.until(settles(&last)).await);
    }
    let (most, looks) = {
        let _ = done.send(());
        watching.await.expect("no panic")
    };
    // Two subscribers are live, each with its own limit; one frame may be on the way over it.
    assert!(most <= 2 * OUTBOX + 8 * 1024, "{most} bytes are held");
    let mut latency: Vec<Duration> =
        sent.iter().zip(&heard).map(|(sent, heard)| heard.saturating_duration_since(*sent)).collect();
    latency.sort_unstable();
    let (mut deltas, mut whole) = (0, 0);
    let replies: Vec<&Frame> = frames.iter().filter(|frame| frame.is_end()).collect();
    for end in &replies {
        let (text, count) = text_of(&frames, &end.payload()["messageId"]);
        // Even a client that reads may fall behind for a moment; then the end brings the rest.
        let content = end.payload()["content"].as_str().expect("text");
        assert!(content.starts_with(&text), "the deltas are the reply");
        whole += usize::from(content == text);
        deltas += count;
    }
    assert_eq!(replies.len(), NOTES / 40);
    // It reads again: the same, and in the end it is as live as the others.
    let caught = slow.until(settles(&last)).await;
    let (ours, theirs) = (durable(&caught), durable(&frames));
    assert!(theirs.starts_with(&ours) || ours.starts_with(&theirs), "the same durable frames, in the same order");
    let merged = caught.iter().filter(|frame| frame.is_delta()).count();
    let (_, _) = writer.ask("chat_send", json!({"content": "@human are you there?"})).await;
    slow.until(|frame| frame.event("message").is_some_and(|m| m["content"] == "@human are you there?")).await;
    println!(
        "slow: {} durable frames byte-equal after catching up; {deltas} deltas for the one who reads ({whole} of {} replies \
         whole by them), {merged} for the one who did not; at most {most} bytes held ({looks} looks); the other's latency p50 {:?}, p99 {:?}, max {:?}",
        ours.len(),
        replies.len(),
        latency[NOTES / 2],
        latency[NOTES * 99 / 100],
        latency[NOTES - 1]
    );
    assert!(ours.len() >= NOTES * 3 / 2 && looks >= 5);
}

/// Events that did not go out at once, answers and pongs share one way out: whatever waits, each frame is whole, and an
/// event comes where it belongs.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_client_asks_is_answered_between_what_waits_for_it() {
    const ROUNDS: usize = 40;
    let Meeting { server: _server, mut slow, mut reader, mut writer } = Meeting::new().await;
    let (mut seen, mut meanwhile) = (Vec::new(), 0);
    let mut last = Value::Null;
    for round in 0..ROUNDS {
        // From what fits into the buffers to what does not fit into the outbox.
        for _ in 0..=round % 10 {
            let content = format!("@human {round} {}", "x".repeat(11_000));
            let (accepted, _) = writer.ask("chat_send", json!({"content": content})).await;
            last = accepted.status("message_accepted").expect("accepted")["messageId"].clone();
        }
        slow.ping().await;
        let (answer, before) = slow.ask("ping", json!({})).await;
        assert_eq!(answer.kind(), "pong");
        meanwhile += usize::from(!before.is_empty());
        seen.extend(before);
    }
    seen.extend(slow.until(settles(&last)).await);
    let all = reader.until(settles(&last)).await;
    assert!(durable(&seen) == durable(&all), "{} and {} events", durable(&seen).len(), durable(&all).len());
    println!("slow: {} events around {ROUNDS} answers, {meanwhile} of which came behind some", durable(&seen).len());
    assert_eq!(slow.pongs, ROUNDS);
    assert!(meanwhile >= ROUNDS / 4, "{meanwhile}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_byte_now_and_then_stays_and_who_takes_none_is_sent_away_with_4000() {
    let dir = tempfile::tempdir().expect("a directory");
    let buffer = SEND_BUFFER.to_string();
    let server =
        Program::start(&dir.path().join("data"), &["--stuck-timeout", "1500ms", "--send-buffer-bytes", &buffer]).await;
    let http = server.session().await;
    let token = http.token();
    let mut writer = Wire::select(&server, token, None, select("w")).await;
    let (root, _) = writer.ask("chat_send", json!({"content": "@a1 FLOOD"})).await;
    let root = root.status("message_accepted").expect("accepted")["messageId"].clone();
    writer.until(settles(&root)).await;
    let start = format!("{}:0", writer.cursor.split(':').next().expect("an epoch"));
    for number in 0..150 {
        writer.ask("chat_send", json!({"content": format!("@human {number} {}", "x".repeat(16_000))})).await;
    }
    // The end of the flood is in the log with its 100,000 bytes, and the notes: more than all buffers hold.
    let all = json!({"templateName": "stage", "worldName": "w", "after": start});
    let mut slow = Wire::select(&server, token, Some(RECEIVE_BUFFER), all.clone()).await;
    let began = Instant::now();
    let mut frames = 0;
    while began.elapsed() < Duration::from_millis(4_500) {
        // As much as makes TCP ask for more, several times within the limit.
        let mut bytes = 0;
        while bytes < 2 * RECEIVE_BUFFER as usize {
            bytes += slow.next().await.expect("sent away although it reads").text.len();
            frames += 1;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let code = |log: &Value| log["message"] == "disconnected" && log["code"] == 4000;
    assert!(!server.log().iter().any(code), "nobody was stuck so far");
    // From here on it would be one that does not read.
    drop(slow);
    let stuck = Wire::select(&server, token, Some(RECEIVE_BUFFER), all).await;
    let began = Instant::now();
    eventually("it is sent away", || async { server.log().iter().any(code) }).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_500), "{took:?}: too early");
    drop(stuck);
    println!("stuck: stayed for 4.5s with {frames} frames read, sent away after {took:?} without a byte (limit 1.5s)");
}

/// Makes a world with that many records, by importing it.
async fn long_world(host: &Host, token: &str, records: u64) {
    let text = "a message of some length, as people write them. ".repeat(2);
    let head = json!({"format": "agent-world.export", "version": 1, "worldName": "long", "templateName": "empty", "persistent": true});
    let mut source = Wire::select(host, token, None, json!({"templateName": "empty", "worldName": "source"})).await;
    source.ask("chat_send", json!({"content": "@human hi"})).await;
    let export = host.http_of(token).get("/worlds/source/export").await.text;
    let mut lines = export.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).expect("NDJSON"));
    let mut body = format!("{head}\n{}\n", lines.next().expect("a creation"));
    let said = lines.find(|line| line.to_string().contains("@human hi")).expect("a message");
    let template = said.to_string().replace("@human hi", &text);
    let old = said["id"].as_str().expect("an id");
    let message = said["event"]["messageId"].as_str().expect("an id");
    let template = template.replace(old, "EVENT-ID").replace(message, "EVENT-ID");
    let seq = format!("\"seq\":{}", said["seq"]);
    for number in 2..=records {
        let id = format!("0190f000-0000-7000-8000-{number:012}");
        body += &template.replace("EVENT-ID", &id).replace(&seq, &format!("\"seq\":{number}"));
        body.push('\n');
    }
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("http://{}/worlds/import", host.address)).bearer_auth(token);
    let request = request.header("content-type", "application/x-ndjson").body(Bytes::from(body));
    let response = request.send().await.expect("an answer");
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap_or_default());
    assert_eq!(status, 201, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_replay_over_a_slow_link_is_whole_and_holds_nothing_in_memory() {
    let records = size("EVENTS", 100_000);
    let dir = tempfile::tempdir().expect("a directory");
    let buffer = SEND_BUFFER.to_string();
    let server = Program::start(&dir.path().join("data"), &["--send-buffer-bytes", &buffer]).await;
    let http = server.session().await;
    long_world(&server, http.token(), records).await;
    let mut live =
        Wire::select(&server, http.token(), None, json!({"templateName": "empty", "worldName": "long"})).await;
    let start = format!("{}:0", live.cursor.split(':').next().expect("an epoch"));
    let after = json!({"templateName": "empty", "worldName": "long", "after": start});
    let before = resident(server.pid());
    let began = Instant::now();
    let mut slow = Wire::select(&server, http.token(), Some(RECEIVE_BUFFER), after).await;
    let (mut last, mut bytes, mut most, mut held) = (0, 0, before, 0.0_f64);
    loop {
        let frame = slow.next().await.expect("it goes on");
        bytes += frame.text.len();
        if let Some(seq) = frame.seq() {
            // Records of the server itself have numbers, too; the import has none.
            assert!(if seq <= records { seq == last + 1 } else { seq > last }, "{seq} after {last}");
            last = seq;
            if seq % 1_000 == 0 {
                // The link pauses, and meanwhile others go on.
                tokio::time::sleep(Duration::from_millis(20)).await;
                most = most.max(resident(server.pid()));
            }
            if seq % 10_000 == 0 {
                live.ask("chat_send", json!({"content": "@human meanwhile"})).await;
                held = held.max(server.metric("outbox_bytes").await);
            }
        }
        if frame.status("caught_up").is_some() {
            break;
        }
    }
    assert!(last > records, "{last}");
    println!(
        "replay: {last} events, {bytes} bytes, over a slow link in {:?}; resident memory {} → at most {} KiB, outboxes {held}",
        began.elapsed(),
        before / 1024,
        most / 1024
    );
    assert!(most < before + 32 * 1024 * 1024, "memory grows with the length of a replay: {before} → {most}");
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}
