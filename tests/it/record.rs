//! `agent-world record`: what goes through the proxy is what would have come without it, and what is written down
//! holds no secret.

use std::{fs, net::SocketAddr, path::Path};

use agent_world::{
    frames::{
        Outcome, ToolError,
        record::{Edits, Options, Recorder},
        validate,
    },
    protocol::RecordedDirection,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::{Host, Opening, TestServer, program, run_to_end, schemas};

/// A proxy before a server, and the file that it writes.
pub struct Recording {
    pub host: Host,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<u64, ToolError>>,
    pub file: std::path::PathBuf,
}

impl Recording {
    pub async fn of(server: &Host, dir: &Path) -> Self {
        Self::editing(server, dir, None).await
    }

    pub async fn editing(server: &Host, dir: &Path, edits: Option<Edits>) -> Self {
        let file = dir.join("recording.ndjson");
        let options = Options {
            url: format!("ws://{}/ws", server.address),
            out: file.clone(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            force: false,
            once: false,
            broken: None,
        };
        let recorder = Recorder::bind(&options, edits).await.expect("it listens");
        let host = Host::new(recorder.local_addr());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(recorder.run(async {
            let _ = stopped.await;
        }));
        Self { host, stop, running, file }
    }

    /// Ends it; returns the text of the file.
    pub async fn end(self) -> String {
        let _ = self.stop.send(());
        let lines = self.running.await.expect("no panic").expect("it was written");
        let text = fs::read_to_string(&self.file).expect("the file is there");
        assert_eq!(text.lines().count() as u64, lines);
        text
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| {
            let line = serde_json::from_str(line).expect("JSON");
            schemas().hold("recording.json", &line, &text[..text.len().min(500)]);
            line
        })
        .collect()
}

#[tokio::test]
async fn a_conversation_is_written_down_as_it_was() {
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    let mut client = recording.host.client().await;
    assert_eq!(client.handshake.headers().get("sec-websocket-protocol").map(|name| name.as_bytes()), None);
    client.select("stage", "w").await;
    let frames = client.converse("hello").await;
    client.refused(r#"{"id":"x","type":"ping","extra":1}"#).await;
    client.refused("this is no frame").await;
    client.close().await;
    let heard = recording.host.wire.lock().expect("no panic").clone();
    let text = recording.end().await;
    let lines = lines(&text);
    let from = |side: RecordedDirection| lines.iter().filter(move |line| line["direction"] == side.as_str());
    // Every frame of the server, byte for byte but for the token.
    let written: Vec<String> = text
        .lines()
        .filter(|line| line.contains(r#""direction":"server""#))
        .filter_map(|line| line.split_once(r#""frame":"#).map(|(_, frame)| frame[..frame.len() - 1].to_owned()))
        .collect();
    assert_eq!(written.len(), heard.len());
    assert_eq!(written[1..], heard[1..], "the first brings the token");
    assert!(frames.iter().any(|frame| written.contains(&frame.text)));
    assert!(from(RecordedDirection::Client).any(|line| line["text"] == "this is no frame"));
    let closed: Vec<_> = lines.iter().filter(|line| line["closeCode"].is_u64()).collect();
    assert_eq!(closed.len(), 2, "both sides: {closed:?}");
    assert!(lines.iter().all(|line| line["connection"] == 1));
    // And what was written is what `validate` takes.
    let options = validate::Options {
        file: "-".into(),
        direction: validate::Side::Auto,
        strict: true,
        invalid: true,
        summary: false,
        json: true,
    };
    let mut verdicts = Vec::new();
    assert_eq!(validate::check(&options, text.as_bytes(), &mut verdicts).expect("frames"), Outcome::Ill);
    let verdicts = String::from_utf8(verdicts).expect("UTF-8");
    assert_eq!(verdicts.lines().count(), 2, "the two that the client got wrong: {verdicts}");
}

#[tokio::test]
async fn no_secret_is_ever_written() {
    const KEYS: [&str; 3] = ["sk-recorded-11111111", "sk-recorded-22222222", "sk-recorded-33333333"];
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    let mut first = recording.host.client().await;
    let token = first.token().to_owned();
    first.select_with(json!({"templateName": "stage", "worldName": "w", "persistent": true})).await;
    // A token as a browser sends it, as a header, and over HTTP.
    let protocols = Some(format!("agent-world.v1, bearer.{token}"));
    let mut browser = recording.host.open(Opening { protocols, ..Opening::default() }).await;
    let echoed = browser.handshake.headers().get("sec-websocket-protocol").expect("an echo");
    assert_eq!(echoed, "agent-world.v1");
    let mut other = recording.host.client_of(&token).await;
    assert_eq!(browser.user, other.user);
    let http = recording.host.session().await;
    let second = http.token.clone().expect("a token");
    assert_eq!(http.get("/session/worlds").await.status, 200);
    // Keys in their field, in a wrong place, in text, and in what is no JSON.
    let config = json!({"apiKey": KEYS[0], "provider": "openai", "model": "m"});
    other.select("stage", "w").await;
    other.ok("agent_update", json!({"agentName": "a1", "config": config})).await;
    other
        .refused(
            json!({"id": "x", "type": "agent_update", "payload": {"agentName": "a1", "config": {"api_key": KEYS[1]}}})
                .to_string(),
        )
        .await;
    other.refused(format!(r#"{{"id":"y","type":"agent_update","payload":{{"apiKey":"{}"#, KEYS[2])).await;
    browser.select("stage", "w").await;
    browser.say(&format!("@nobody my token is {token}, my key {}", KEYS[0])).await;
    browser.refused(format!("{second} and {}", KEYS[0])).await;
    for client in [first, browser, other] {
        client.close().await;
    }
    let text = recording.end().await;
    for secret in KEYS.iter().copied().chain([token.as_str(), second.as_str()]) {
        assert!(!text.contains(secret), "{secret} was written:\n{text}");
    }
    let lines = lines(&text);
    assert!(text.contains("redacted") && lines.len() >= 20);
    let connections: std::collections::BTreeSet<_> = lines.iter().map(|line| line["connection"].as_u64()).collect();
    assert_eq!(connections.len(), 3);
}

#[tokio::test]
async fn http_goes_through_streams_too() {
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    // Every answer is held to its route by the client of these tests.
    let http = recording.host.session().await;
    assert_eq!(http.get("/health").await.status, 200);
    let created = http.put("/worlds/w", json!({"templateName": "stage", "persistent": false})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(http.get("/worlds/nowhere").await.status, 404);
    let chat = http.post("/worlds/w/chat", Some(json!({"message": "hello"}))).await;
    assert!(chat.text.contains("settled"), "{}", chat.text);
    assert!(chat.header("content-type").starts_with("text/event-stream"));
    assert_eq!(recording.end().await, "");
}

#[tokio::test]
async fn refusals_and_closes_are_the_servers_own() {
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    let unknown = Opening { protocols: Some("chat.v9".to_owned()), ..Opening::default() };
    let mut client = crate::support::Client::open(&recording.host, unknown).await.expect("accepted");
    assert_eq!(client.closed().await.0, Some(4002));
    let elsewhere = Opening { headers: vec![("origin", "https://elsewhere.example".to_owned())], ..Opening::default() };
    assert!(crate::support::Client::open(&recording.host, elsewhere).await.is_err(), "another page is not let in");
    // A page that comes from the proxy's own address is one of the server's.
    let here = format!("http://{}", recording.host.address);
    recording.host.open(Opening { headers: vec![("origin", here)], ..Opening::default() }).await.close().await;
    let text = recording.end().await;
    assert!(text.contains(r#""closeCode":4002"#), "{text}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let (listener, address) = crate::support::free_port();
    drop(listener);
    let recording = Recording::of(&Host::new(address), dir.path()).await;
    assert!(crate::support::Client::open(&recording.host, Opening::default()).await.is_err());
    let answer = reqwest::get(format!("http://{}/health", recording.host.address)).await.expect("an answer");
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.expect("text").contains("no answer from"));
    // The file is not written over unseen.
    let again = Options {
        url: "ws://127.0.0.1:1/ws".to_owned(),
        out: recording.file.clone(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        force: false,
        once: false,
        broken: None,
    };
    assert!(Recorder::bind(&again, None).await.is_err_and(|error| error.to_string().contains("--force")));
    let wrong = Options { url: "wss://example.org/ws".to_owned(), ..again };
    assert!(Recorder::bind(&wrong, None).await.is_err_and(|error| error.to_string().contains("TLS")));
}

#[test]
fn the_ways_to_break_are_named_without_a_server() {
    let output = program().args(["record", "--break", "list"]).output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let all: Vec<Value> = serde_json::from_str(include_str!("../conformance/broken.json")).expect("JSON");
    let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(output.status.success() && names.len() >= 10, "{names:?}");
    assert_eq!(said.lines().collect::<Vec<_>>(), names);
    // Everything else needs both.
    for (arguments, words) in [
        (&["record"][..], "<URL>"),
        (&["record", "--break", "two answers"], "not provided"),
        (&["record", "ws://127.0.0.1:9/ws"], "<OUT>"),
        (&["record", "ws://127.0.0.1:9/ws", "-", "--break", "nothing"], "--break list"),
    ] {
        let (code, said) = run_to_end(arguments);
        assert!(code == Some(2) && said.contains(words), "{arguments:?}: {said}");
    }
}
