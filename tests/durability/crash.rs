//! `kill -9` of the real process at random points under load.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    program::Program,
    random::{Random, size},
    support::{Client, Frame, Host, Http},
    wire::Wire,
};

/// Kills in one world, until there is a new one.
const KILLS_OF_A_WORLD: u64 = 10;
const WRITERS: usize = 3;
/// Agents of the template `stage`, which all answer a message without a mention.
const AGENTS: usize = 2;

/// What clients were told before their connections broke.
#[derive(Default)]
struct Told {
    /// Content and message id of everything that was acknowledged.
    acknowledged: HashMap<String, String>,
    /// What was sent and not answered: key and content.
    open: Vec<(String, String)>,
    /// Durable frames by `seq`, as they came live.
    frames: BTreeMap<u64, String>,
}

impl Told {
    fn saw(&mut self, frame: &Frame) {
        if let Some(seq) = frame.seq() {
            let known = self.frames.entry(seq).or_insert_with(|| frame.text.clone());
            assert_eq!(*known, frame.text, "two connections saw different frames");
        }
    }
}

type Shared = Arc<Mutex<Told>>;

/// Sends messages with keys over WebSocket, a few at a time, until the connection breaks.
async fn write(mut client: Wire, name: String, told: Shared) {
    let mut open: HashMap<String, (String, String)> = HashMap::new();
    let mut number = 0;
    let mut last = 0;
    loop {
        while open.len() < 3 {
            number += 1;
            let (key, content) = (format!("{name}-{number}"), format!("{name} {number} WORDS"));
            let content = if number % 4 == 0 { content } else { format!("@human {content}") };
            let frame = json!({"id": key, "type": "chat_send", "idempotencyKey": key, "payload": {"content": content}});
            open.insert(key.clone(), (key.clone(), content.clone()));
            told.lock().expect("no panic").open.push((key, content));
            if !client.send(&frame).await {
                return;
            }
        }
        let Some(frame) = client.next().await else { return };
        let mut told = told.lock().expect("no panic");
        if let Some(seq) = frame.seq() {
            assert!(seq > last, "a seq came twice, or late, on one connection");
            last = seq;
        }
        told.saw(&frame);
        let Some((key, content)) = frame.json["replyTo"].as_str().and_then(|id| open.remove(id)) else { continue };
        told.open.retain(|(open, _)| *open != key);
        match frame.status("message_accepted") {
            Some(accepted) => drop(told.acknowledged.insert(content, id(accepted))),
            None => assert_eq!(frame.payload()["code"], "OVERLOADED", "{}", frame.text),
        }
    }
}

/// Asks over HTTP, one after the other, until nobody answers.
async fn ask(address: std::net::SocketAddr, token: String, world: String, name: String, told: Shared) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for number in 0.. {
        let (key, content) = (format!("{name}-{number}"), format!("@a1 {name} {number} WORDS"));
        told.lock().expect("no panic").open.push((key.clone(), content.clone()));
        let request = client.post(format!("http://{address}/worlds/{world}/chat")).bearer_auth(&token);
        let request = request.header("idempotency-key", &key).header("content-type", "application/json");
        let Ok(mut response) = request.body(json!({"message": content}).to_string()).send().await else { return };
        let refused = response.status() != 200;
        let mut text = String::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            text.push_str(&String::from_utf8_lossy(&bytes));
            // What is cut off is not a line.
            let accepted = text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n")).find_map(|event| {
                let frame: Value = serde_json::from_str(event.trim().strip_prefix("data: ")?).ok()?;
                (frame["payload"]["type"] == "message_accepted").then(|| id(&frame["payload"]["data"]))
            });
            if let Some(accepted) = accepted {
                let mut told = told.lock().expect("no panic");
                told.open.retain(|(open, _)| *open != key);
                told.acknowledged.insert(content.clone(), accepted);
            }
        }
        if refused {
            assert!(text.is_empty() || text.contains("OVERLOADED"), "{text}");
            told.lock().expect("no panic").open.retain(|(open, _)| *open != key);
        }
    }
}

fn id(value: &Value) -> String {
    value["messageId"].as_str().expect("an id").to_owned()
}

/// Subscribes to everything from the beginning, and reads on until nothing is open any more.
async fn history(host: &Host, token: &str, world: &str) -> Vec<Frame> {
    let mut wire = Wire::select(host, token, None, json!({"templateName": "stage", "worldName": world})).await;
    let start = format!("{}:0", wire.cursor.split(':').next().expect("an epoch"));
    let all = json!({"eventTypes": ["message", "world", "sse", "system"], "after": start});
    // What comes before the answer is of the subscription that ends with it.
    let (subscribed, _) = wire.ask("event_subscribe", all).await;
    assert_eq!(subscribed.kind(), "status", "{}", subscribed.text);
    let (mut frames, mut open, mut caught_up) = (Vec::new(), HashSet::new(), false);
    while !caught_up || !open.is_empty() {
        let frame = wire.next().await.expect("the connection is open");
        caught_up |= frame.status("caught_up").is_some();
        if let Some(message) = frame.event("message").filter(|message| message["messageId"] == message["rootId"]) {
            open.insert(message["rootId"].clone());
        }
        if let Some(settled) = frame.action("settled") {
            open.remove(&settled["rootId"]);
        }
        frames.push(frame);
    }
    frames
}

/// What must hold of a whole history, whatever happened to the process that wrote it. Returns the replies in it, and
/// how many were interrupted.
fn check(frames: &[Frame], told: &Told) -> (usize, usize) {
    let durable: BTreeMap<u64, &Frame> = frames.iter().filter_map(|frame| Some((frame.seq()?, frame))).collect();
    let seqs: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "each event once, in order");
    for (seq, text) in &told.frames {
        let now = durable.get(seq).unwrap_or_else(|| panic!("a client saw {seq}, and it is gone: {text}"));
        assert_eq!(now.text, *text, "a client saw other bytes");
    }
    let mut said: HashMap<&str, Vec<&str>> = HashMap::new();
    for message in frames.iter().filter_map(|frame| frame.event("message")) {
        if message["messageId"] == message["rootId"] {
            let (content, id) = (message["content"].as_str().unwrap(), message["messageId"].as_str().unwrap());
            said.entry(content).or_default().push(id);
        }
    }
    for (content, id) in &told.acknowledged {
        assert_eq!(said.get(content.as_str()), Some(&vec![id.as_str()]), "acknowledged, once: {content}");
    }
    assert!(said.values().all(|ids| ids.len() == 1), "a key was used once, and its content came twice");
    let mut replies: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut turns: HashMap<(&str, &str), usize> = HashMap::new();
    let mut interrupted = 0;
    for frame in frames {
        let Some(reply) = frame.reply().filter(|_| frame.seq().is_some()) else { continue };
        let counts = replies.entry(reply["messageId"].as_str().unwrap()).or_default();
        if frame.is_end() {
            assert_eq!(counts.0, 1, "an end without a start");
            counts.1 += 1;
            interrupted += usize::from(reply["finishReason"] == "interrupted");
        } else {
            counts.0 += 1;
            *turns.entry((reply["rootId"].as_str().unwrap(), reply["agentName"].as_str().unwrap())).or_default() += 1;
        }
    }
    assert!(replies.values().all(|counts| *counts == (1, 1)), "each start has one end: {replies:?}");
    assert!(turns.values().all(|count| *count == 1), "no turn runs twice");
    let (mut settled, mut woken, mut ran): (HashMap<&str, usize>, HashMap<&str, usize>, HashMap<&str, usize>) =
        Default::default();
    for (root, _) in turns.keys() {
        *ran.entry(root).or_default() += 1;
    }
    for frame in frames {
        if let Some(event) = frame.action("settled") {
            *settled.entry(event["rootId"].as_str().unwrap()).or_default() += 1;
        }
        if let Some(event) = frame.action("routed") {
            let answering = event["answering"].as_array().unwrap().len();
            woken.insert(event["messageId"].as_str().unwrap(), answering);
        }
        // Many waiting turns behind one message meet the turn limit: then the world says so instead.
        if let Some(message) = frame.event("message").filter(|_| frame.payload()["event"]["senderType"] == "world") {
            *ran.entry(message["rootId"].as_str().unwrap()).or_default() += 1;
        }
    }
    for root in said.values().map(|ids| ids[0]) {
        assert_eq!(settled.get(root), Some(&1), "a question is settled once");
        let (woken, ran) = (woken.get(root).copied().unwrap_or(0), ran.get(root).copied().unwrap_or(0));
        assert!(woken <= AGENTS && ran == woken, "{woken} were woken, {ran} ran or met the limit");
    }
    (replies.len(), interrupted)
}

/// The log as it is: no number is missing, and no event is there twice.
async fn dense(http: &Http, world: &str) -> u64 {
    let export = http.get(&format!("/worlds/{world}/export")).await.text;
    let mut ids = HashSet::new();
    let mut seq = 0;
    for line in export.lines().skip(1) {
        let record: Value = serde_json::from_str(line).expect("NDJSON");
        seq += 1;
        assert_eq!(record["seq"], seq, "dense");
        assert!(ids.insert(record["id"].to_string()), "an id came twice");
    }
    seq
}

/// Sends again what was not answered, under its key: it is there once, whether it had been stored or not.
async fn again(client: &mut Client, told: &mut Told, stored: &mut (usize, usize)) {
    for (key, content) in std::mem::take(&mut told.open) {
        let frame = json!({"type": "chat_send", "idempotencyKey": key, "payload": {"content": content}});
        let answer = client.request_frame(frame).await;
        if answer.payload()["code"] == "OVERLOADED" {
            told.open.push((key, content));
            continue;
        }
        let accepted = answer.status("message_accepted").unwrap_or_else(|| panic!("{}", answer.text));
        stored.0 += usize::from(accepted["duplicate"] == true);
        stored.1 += 1;
        told.acknowledged.insert(content, id(accepted));
    }
}

async fn start(data: &Path) -> Program {
    Program::start(data, &["--turns-per-user", "4", "--idle-unload", "1s"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_comes_twice_however_often_it_is_killed() {
    let kills = size("KILLS", 20);
    let mut random = Random::new("crash");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut server = start(&data).await;
    let token = server.session().await.token().to_owned();
    let mut told = Told::default();
    let (mut acknowledged, mut replies, mut interrupted, mut seen, mut records) = (0, 0, 0, 0, 0);
    let mut stored = (0, 0);
    for kill in 0..kills {
        let world = format!("w{}", kill / KILLS_OF_A_WORLD);
        let shared: Shared = Arc::new(Mutex::new(std::mem::take(&mut told)));
        let mut clients = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let select = json!({"templateName": "stage", "worldName": world, "persistent": true});
            let client = Wire::select(&server, &token, None, select).await;
            clients.spawn(write(client, format!("k{kill}c{writer}"), shared.clone()));
        }
        clients.spawn(ask(server.address, token.clone(), world.clone(), format!("k{kill}h"), shared.clone()));
        // Random points: from the first frames to well into the replies.
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        server.kill();
        while let Some(done) = clients.join_next().await {
            done.expect("no client saw anything wrong");
        }
        told = Arc::into_inner(shared).expect("the clients are gone").into_inner().expect("no panic");
        server = start(&data).await;
        let mut client = server.client_of(&token).await;
        client.select("stage", &world).await;
        again(&mut client, &mut told, &mut stored).await;
        let frames = history(&server, &token, &world).await;
        let counts = check(&frames, &told);
        if (kill + 1) % KILLS_OF_A_WORLD == 0 || kill + 1 == kills {
            records += dense(&server.http_of(&token), &world).await;
            acknowledged += told.acknowledged.len();
            seen += told.frames.len();
            (replies, interrupted) = (replies + counts.0, interrupted + counts.1);
            told = Told::default();
        }
    }
    server.stop().await;
    println!(
        "crash: {kills} kills, {acknowledged} acknowledged messages, {replies} replies ({interrupted} interrupted), \
         {seen} frames seen live, {records} records; of {} unanswered requests {} had been stored",
        stored.1, stored.0
    );
    assert!(acknowledged as u64 >= kills * 3 && interrupted as u64 >= kills / 4 && stored.1 as u64 >= kills);
}
