//! `agent-world replay` and `mock`: what was recorded can be played again, against any server that says the same, and
//! against one that is made of the recording itself.

use std::{fs, net::SocketAddr, path::Path};

use agent_world::{
    Server,
    frames::{
        ToolError, mock,
        replay::{Options, Report, replay},
    },
};
use serde_json::{Value, json};

use crate::{
    record::Recording,
    support::{Frame, Host, TestServer, here, program, run_to_end},
};

async fn play(file: &Path, server: &Host, patience: f64) -> Result<Report, ToolError> {
    let url = format!("ws://{}/ws", server.address);
    replay(&Options { file: file.to_owned(), url, token: None, patience, json: false }).await
}

/// Everything that a client can do, as far as it can be repeated: two users, resume, agents that talk to each other, a
/// cancelled and a retried reply, errors, and what is no frame.
async fn talk(host: &Host) {
    let mut first = host.client().await;
    first.ok("ping", json!({})).await;
    first.fails("chat_send", json!({"content": "too early"}), "CONFLICT").await;
    let cursor = first.select("stage", "w").await["cursor"].as_str().expect("a cursor").to_owned();
    first.converse("hello").await;
    first.converse("@a1 ASK2").await;
    // Stopped when something of it has been heard.
    let accepted = first.say("@a1 HANG").await;
    let root = accepted["messageId"].as_str().expect("an id").to_owned();
    first.expect(Frame::is_delta).await;
    first.ok("chat_cancel", json!({"messageId": root})).await;
    first.until_settled(&root).await;
    let frames = first.converse("@a1 FAIL").await;
    let failed = frames.iter().find(|frame| frame.is_end()).expect("an end").payload()["messageId"].clone();
    let retried = first.ok("chat_retry", json!({"messageId": failed})).await;
    assert!(retried["messageId"].is_string());
    first.expect(|frame| frame.ends("a1")).await;
    first.expect(|frame| frame.action("settled").is_some()).await;
    first
        .ok(
            "agent_update",
            json!({"agentName": "a2", "config": {"temperature": 0.5, "apiKey": "sk-replayed-12345678"}}),
        )
        .await;
    first.refused("{").await;
    first.refused(r#"{"id":"typo","type":"chat_send","payload":{"contents":"x"}}"#).await;
    // The same user comes back, and reads everything again.
    let token = first.token().to_owned();
    first.close().await;
    let mut again = host.client_of(&token).await;
    let after = json!({"templateName": "stage", "worldName": "w", "after": cursor});
    again.select_with(after).await;
    again.expect(|frame| frame.status("caught_up").is_some()).await;
    again.ok("event_unsubscribe", json!({})).await;
    let mut other = host.client().await;
    other.fails("chat_send", json!({"content": "x", "worldName": "w"}), "WORLD_NOT_FOUND").await;
    other.select("duo", "d").await;
    other.converse("@alice start").await;
    other.close().await;
    // Agents of which each server chooses who speaks for them, and with settings of their own.
    let mut guest = host.client().await;
    guest.select("default-world", "d").await;
    guest.ok("event_subscribe", json!({"eventTypes": ["message", "sse", "world", "system"]})).await;
    guest.converse("hello").await;
    guest.close().await;
    again.close().await;
}

async fn recorded(server: &TestServer) -> std::path::PathBuf {
    let recording = Recording::of(server, server.dir.path()).await;
    talk(&recording.host).await;
    let file = recording.file.clone();
    assert!(recording.end().await.lines().count() > 100);
    file
}

#[tokio::test]
async fn what_was_recorded_comes_again() {
    let server = TestServer::start().await;
    let file = recorded(&server).await;
    let valid = program().arg("validate").arg(&file).args(["--strict", "--summary"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&valid.stdout).into_owned();
    assert!(said.contains(" 2 invalid"), "the two that were meant to be: {said}");
    // Against the same server, whose users are others now, and against a new one.
    let fresh = TestServer::start().await;
    for host in [&server.host, &fresh.host] {
        let report = play(&file, host, 20.0).await.expect("it can be played");
        assert_eq!(report.differences, [], "{:#?}", report.differences);
        assert!(report.compared >= 90 && report.connections == 4 && report.sent >= 17, "{report:?}");
    }
}

#[tokio::test]
async fn another_word_is_a_difference() {
    let server = TestServer::start().await;
    let file = recorded(&server).await;
    let script = fs::read_to_string(here("scripts/stage.json")).expect("the script");
    let path = server.dir.path().join("changed.json");
    fs::write(&path, script.replace("{agent} heard {from}.", "{agent} was told by {from}.")).expect("written");
    let changed = TestServer::with(|config| config.script = Some(path)).await;
    let report = play(&file, &changed, 20.0).await.expect("it can be played");
    let is_it = |difference: &agent_world::frames::replay::Difference| {
        difference.pointer == "/payload/content"
            && difference.expected == Some(json!("@human a2 heard a1."))
            && difference.got == Some(json!("@human a2 was told by a1."))
    };
    assert!(report.differences.iter().any(is_it), "{:#?}", report.differences);
    // Nothing else is: the end of the reply and its message, each time that it was heard.
    let elsewhere: Vec<_> = report.differences.iter().filter(|one| !one.pointer.ends_with("/content")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

/// The lines of a recording with something done to them.
fn change(file: &Path, change: impl Fn(&mut Vec<Value>)) {
    let text = fs::read_to_string(file).expect("the recording");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    change(&mut lines);
    fs::write(file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("written");
}

#[tokio::test]
async fn what_does_not_come_is_said_and_what_came_too_much() {
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    let mut client = recording.host.client().await;
    client.select("stage", "w").await;
    client.converse("@a1 hello").await;
    client.close().await;
    let file = recording.file.clone();
    let text = recording.end().await;
    let ends = |line: &Value| line["frame"]["payload"]["complete"] == true;

    change(&file, |lines| lines.retain(|line| !ends(line)));
    let report = play(&file, &server, 10.0).await.expect("played");
    let notes: Vec<_> = report.differences.iter().map(|one| (one.frame.as_str(), one.note.as_deref())).collect();
    assert_eq!(notes, [("end of the reply of a1 to human's “@a1 hello”", Some("was not expected"))]);

    fs::write(&file, &text).expect("written");
    change(&file, |lines| {
        let at = lines.iter().position(ends).expect("an end");
        let mut twice = lines[at].clone();
        twice["frame"]["payload"]["agentName"] = json!("a2");
        twice["frame"]["payload"]["messageId"] = json!("019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b13");
        lines.insert(at + 1, twice);
    });
    let report = play(&file, &server, 0.5).await.expect("played");
    let first = report.differences.first().expect("a difference");
    assert_eq!(first.frame, "end of the reply of a2 to human's “@a1 hello”");
    assert!(first.note.as_ref().is_some_and(|note| note.starts_with("did not come within 0.5 s")), "{first:?}");
    assert_eq!(report.differences.len(), 1, "{:#?}", report.differences);
}

#[tokio::test]
async fn the_exit_code_says_how_it_went() {
    let server = TestServer::start().await;
    let recording = Recording::of(&server, server.dir.path()).await;
    let mut client = recording.host.client().await;
    client.ok("ping", json!({})).await;
    client.close().await;
    let file = recording.file.clone();
    recording.end().await;
    let url = format!("http://{}", server.address);
    let run = |file: &Path, url: &str| {
        let (file, url) = (file.to_owned(), url.to_owned());
        tokio::task::spawn_blocking(move || {
            let output = program().arg("replay").arg(&file).args([&url, "--json", "--patience", "1"]).output();
            let output = output.expect("it runs");
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            (output.status.code(), said)
        })
    };
    let (code, said) = run(&file, &url).await.expect("no panic");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON")["differences"], json!([]));
    change(&file, |lines| {
        let pong = lines.iter_mut().find(|line| line["frame"]["type"] == "pong").expect("a pong");
        pong["frame"]["payload"] = json!({"more": 1});
    });
    let (code, said) = run(&file, &url).await.expect("no panic");
    assert!(code == Some(1) && said.contains("/payload/more"), "{said}");
    let (code, said) = run(&file, "ws://127.0.0.1:1/ws").await.expect("no panic");
    assert!(code == Some(2) && said.contains("no server answers"), "{said}");
    fs::write(&file, r#"{"id":"1","type":"ping"}"#).expect("written");
    let (code, said) = run(&file, &url).await.expect("no panic");
    assert!(code == Some(2) && said.contains("no recording"), "{said}");
}

/// A mock in this process.
async fn mocked(source: Option<&Path>) -> (Host, mock::Mock, tokio::task::JoinHandle<()>) {
    let options = mock::Options {
        source: source.map(Path::to_owned),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        templates: None,
        allow_origin: vec!["*".to_owned()],
        print: false,
    };
    let mock = mock::prepare(&options).unwrap_or_else(|error| panic!("{error}"));
    let server = Server::bind(mock.config.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    let host = Host::new(server.local_addr());
    let running = tokio::spawn(async move { server.run(std::future::pending()).await.expect("it runs") });
    (host, mock, running)
}

#[tokio::test]
async fn a_mock_says_what_was_recorded() {
    let server = TestServer::start().await;
    let file = recorded(&server).await;
    let (host, mock, running) = mocked(Some(&file)).await;
    let report = play(&file, &host, 20.0).await.expect("it can be played");
    assert_eq!(report.differences, [], "{:#?}", report.differences);
    assert!(report.compared >= 90, "{report:?}");
    // It is a server like any other: it goes on where the recording ends.
    let mut client = host.client().await;
    client.select("stage", "new").await;
    let frames = client.converse("@a1 something else").await;
    let end = frames.iter().find(|frame| frame.is_end()).expect("an end").payload()["content"].clone();
    assert_eq!(end, "(The recording has no reply to this.) human said: @a1 something else");
    client.select("debate", "built-in").await;
    let dir = mock.config.data_dir.clone();
    assert!(dir.exists());
    running.abort();
    let _ = running.await;
    drop(mock);
    assert!(!dir.exists(), "nothing is kept");
}

#[tokio::test]
async fn a_mock_plays_a_script() {
    let (host, _mock, running) = mocked(Some(&here("scripts/stage.json"))).await;
    let mut client = host.client().await;
    client.select("default-world", "w").await;
    let frames = client.converse("UNICODE").await;
    assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["content"] == "Grüße, 世界! 🌍 fine"));
    running.abort();
    let (host, _mock, running) = mocked(None).await;
    let mut client = host.client().await;
    client.select("default-world", "w").await;
    assert!(client.converse("Hello").await.iter().any(Frame::is_end));
    running.abort();
}

/// Of 64 tokens one begins with a hyphen.
#[test]
fn a_token_may_begin_with_a_hyphen() {
    let arguments = ["replay", "no-such-file", "ws://127.0.0.1:9/ws", "--token", "-i8B"];
    let (code, said) = run_to_end(&arguments);
    assert!(code == Some(2) && said.starts_with("agent-world: failed to read no-such-file"), "{said}");
}

#[test]
fn what_is_neither_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.json");
    // It would be a file, and nothing is written elsewhere because a recording says so.
    let elsewhere = json!({"at": "2026-01-15T10:00:00.000Z", "direction": "server", "frame": {
        "id": "1", "type": "world_selected", "payload": {"templateName": "../../elsewhere"}}});
    for (text, words) in [
        (&*format!("\n{elsewhere}\n"), "x.json, line 2: /frame/payload/templateName"),
        (r#"{"name":"x"}"#, r#"x.json is no script: lacks the field "otherwise""#),
        ("", "holds no frame"),
        ("{\"id\":\"1\",\"type\":\"ping\"}\n{\"id\":\"2\",\"type\":\"ping\"}\n", "no recording"),
    ] {
        fs::write(&file, text).expect("written");
        let output = program().arg("mock").arg(&file).arg("--print").output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{text}: {said}");
    }
    let output = program().arg("mock").arg(here("scripts/stage.json")).arg("--print").output().expect("it runs");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["name"], "stage");
}

#[test]
fn a_mock_without_a_source_prints_what_it_would_play() {
    let output = program().args(["mock", "--print"]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let demo: Value = serde_json::from_str(include_str!("../../templates/demo.script.json")).expect("JSON");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), demo);
}
