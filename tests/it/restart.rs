//! What a stop, a crash and a wrong start leave behind.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{Frame, Process, TestServer, ended, free_port, here, program, run_to_end, terminate};

fn id(value: &Value) -> String {
    value["messageId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_reply_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let mut server = Process::start(&data, &[]).await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "stage", "worldName": "w", "title": "T"})).await;
    let done = client.converse("@a2 before").await;
    let running = id(&client.say("@a1 HANG").await);
    client.expect(|frame| frame.is_delta()).await;
    let mut acknowledged = vec![running.clone()];
    for number in 0..5 {
        acknowledged.push(id(&client.say(&format!("@human note {number}")).await));
    }
    let waiting = id(&client.say("@a1 and then?").await);
    acknowledged.push(waiting.clone());
    let (token, start) = (client.token().to_owned(), client.at(0));
    server.kill();

    let server = Process::start(&data, &[]).await;
    let mut client = server.client_of(&token).await;
    let selected = client.select_with(json!({"templateName": "stage", "worldName": "w", "after": start})).await;
    assert_eq!(selected["title"], "T");
    let frames = client.until_settled(&waiting).await;
    for message in &acknowledged {
        assert!(
            frames.iter().any(|f| f.event("message").is_some_and(|m| m["messageId"] == **message)),
            "lost: {message}"
        );
    }
    for frame in done.iter().filter(|frame| frame.seq().is_some()) {
        assert!(frames.iter().any(|again| again.text == frame.text), "not the same bytes: {}", frame.text);
    }
    let end = frames.iter().find(|f| f.is_end() && f.payload()["rootId"] == running.as_str()).expect("an end");
    assert_eq!((&end.payload()["finishReason"], &end.payload()["content"]), (&json!("interrupted"), &json!("")));
    assert!(frames.iter().any(|frame| frame.settles(&running)));
    let after = frames.iter().find(|f| f.is_end() && f.payload()["rootId"] == waiting.as_str()).expect("it ran");
    assert_eq!(after.payload()["finishReason"], "stop");
    let starts = |root: &str| frames.iter().filter(|f| f.is_start() && f.payload()["rootId"] == root).count();
    assert_eq!((starts(&running), starts(&waiting)), (1, 1), "what had started is not run again by itself");
    // By hand it is.
    client.ok("chat_retry", json!({"messageId": end.payload()["messageId"]})).await;
    client.expect(|frame| frame.is_delta()).await;
}

#[tokio::test]
async fn sigterm_lets_replies_finish() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Process::start(&data.path().join("data"), &["--drain-timeout", "10s"]).await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    let root = id(&client.say("@a1 SLOW").await);
    client.expect(|frame| frame.is_delta()).await;
    server.terminate();
    let draining = client.expect(|frame| frame.status("draining").is_some()).await;
    assert!(draining.status("draining").unwrap()["retryAfterMs"].is_u64());
    let frames = client.until_settled(&root).await;
    assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
    assert_eq!(client.closed().await.0, Some(1001));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn at_the_drain_deadline_a_reply_ends_with_its_text_so_far() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let mut server = Process::start(&data, &["--drain-timeout", "300ms"]).await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    let root = id(&client.say("@a1 HANG").await);
    let waiting = id(&client.say("@a1 later").await);
    client.expect(|frame| frame.is_delta()).await;
    server.terminate();
    let (code, frames) = client.closed().await;
    assert_eq!(code, Some(1001));
    let end = frames.iter().find(|frame| frame.is_end()).expect("an end").payload();
    assert_eq!((&end["finishReason"], &end["content"]), (&json!("interrupted"), &json!("One moment")));
    assert_eq!(server.ended().await.code(), Some(0));

    let server = Process::start(&data, &[]).await;
    let token = client.token().to_owned();
    let mut again = server.client_of(&token).await;
    again.select_with(json!({"templateName": "stage", "worldName": "w", "after": client.at(0)})).await;
    let frames = again.until_settled(&waiting).await;
    assert!(frames.iter().any(|frame| frame.settles(&root)), "{frames:#?}");
    let ends: Vec<&Frame> = frames.iter().filter(|frame| frame.is_end()).collect();
    assert_eq!(ends.len(), 2, "{ends:#?}");
    assert_eq!(ends[1].payload()["finishReason"], "stop", "what waited runs at the next start");
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Process::start(&data.path().join("data"), &["--drain-timeout", "60s"]).await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    client.say("@a1 HANG").await;
    client.expect(|frame| frame.is_delta()).await;
    server.terminate();
    client.expect(|frame| frame.status("draining").is_some()).await;
    // Signals that come right after the first are not the second yet.
    let status = loop {
        server.terminate();
        if let Ok(status) = tokio::time::timeout(Duration::from_millis(100), server.ended()).await {
            break status;
        }
    };
    assert_eq!(status.code(), Some(1));
}

/// `timeout` and others signal a process and its group, which reaches it twice.
#[tokio::test]
async fn two_signals_at_once_are_one() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Process::start(&data.path().join("data"), &["--drain-timeout", "10s"]).await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    let root = id(&client.say("@a1 SLOW").await);
    client.expect(|frame| frame.is_delta()).await;
    server.terminate_doubly();
    let frames = client.until_settled(&root).await;
    assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_start_that_waits_for_its_log_is_stopped_by_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    // Takes connections like a NATS that hangs, and says nothing.
    let (silent, address) = free_port();
    silent.set_nonblocking(true).unwrap();
    let silent = tokio::net::TcpListener::from_std(silent).unwrap();
    let nats = format!("nats://{address}");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--nats", &nats, "--cluster-key", key.to_str().unwrap()];
    let mut starting = program().args(arguments).spawn().unwrap();
    let _asked = silent.accept().await.unwrap();
    terminate(&starting);
    assert_eq!(ended(&mut starting).await.code(), Some(0), "not the failure that follows");
}

/// Starts that must fail: what else is needed, and what the one line must say.
#[tokio::test]
async fn a_wrong_start_is_one_line_and_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let running = Process::start(&dir.path().join("used"), &[]).await;
    let (_taken, address) = free_port();
    let address = address.to_string();
    fs::create_dir(path("bad-template")).unwrap();
    fs::write(path("bad-template/world.json"), r#"{"name":"world","description":"","agents":[]}"#).unwrap();
    fs::create_dir(path("other-name")).unwrap();
    fs::write(path("other-name/world.json"), r#"{"name":"welt","description":"x","agents":[]}"#).unwrap();
    fs::write(path("bad-script.json"), r#"{"name":"x"}"#).unwrap();
    fs::write(path("file"), "").unwrap();
    fs::write(path("bad.toml"), "nothing = true").unwrap();
    fs::write(path("own.toml"), format!("templates = {:?}", path("absent"))).unwrap();
    let (data, used, file) = (path("data"), path("used"), path("file"));
    let (template, other, script) = (path("bad-template"), path("other-name"), path("bad-script.json"));
    let (absent, toml, own, below) = (path("absent"), path("bad.toml"), path("own.toml"), path("file/data"));
    let cases: [(&[&str], &[&str]); 13] = [
        (&["--listen", &address, "--data-dir", &data], &[&address, "taken"]),
        (&["--data-dir", &used], &[&used, "in use"]),
        (&["--data-dir", &file], &["data directory", &file, "not writable: not a directory"]),
        (&["--data-dir", &below], &["data directory", &below, "not writable: Not a directory"]),
        (&["--data-dir", &data, "--templates", &template], &["--templates: ", "world.json", "/description: "]),
        (&["--data-dir", &data, "--templates", &other], &["--templates: ", "world.json", "welt"]),
        (&["--data-dir", &data, "--templates", &absent], &["--templates: failed to read ", &absent]),
        (&["--data-dir", &data, "--config", &own], &["--templates: failed to read ", &absent]),
        (
            &["--data-dir", &data, "--script", &script],
            &["--script: ", "bad-script.json", "not valid: lacks the field \"otherwise\""],
        ),
        (&["--data-dir", &data, "--script", &absent], &["--script: failed to read ", &absent]),
        (&["--nats", "nats://127.0.0.1:9", "--cluster-key", &absent], &["--cluster-key: failed to read ", &absent]),
        (&["--data-dir", &data, "--grace", "soon"], &["--grace", "soon"]),
        (&["--config", &toml], &["bad.toml", "nothing"]),
    ];
    for (arguments, says) in cases {
        let mut all = vec!["serve"];
        all.extend(arguments);
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let (code, text) = run_to_end(&all);
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1, "one line: {text}");
        for word in says {
            assert!(lines[0].contains(word), "{arguments:?}: {text:?} does not say {word:?}");
        }
    }
    drop(running);
}

/// Agents of templates whose model server is not allowed are told at the start, with the option that allows it. (That the
/// templates of the program cause no such line is seen above, where one line is all there is.)
#[tokio::test]
async fn a_template_whose_model_server_is_not_allowed_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let agent = |name: &str, url: &str| json!({"name": name, "config": {"provider": "openai-compatible", "baseUrl": url, "model": "m"}});
    let agents = json!([agent("near", "http://127.0.0.1:8080/v1"), agent("far", "http://10.1.2.3:8080/secret")]);
    fs::create_dir(path("own")).unwrap();
    let template = json!({"name": "mine", "description": "Two machines.", "agents": agents});
    fs::write(path("own/mine.json"), template.to_string()).unwrap();
    // The port is taken, so that the program ends by itself.
    let told = |host: &str, more: &[&str]| {
        let taken = std::net::TcpListener::bind((host, 0)).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let (data, own) = (path("data"), path("own"));
        let all = ["serve", "--listen", &address, "--data-dir", &data, "--templates", &own];
        let (code, text) = run_to_end(&[&all[..], more].concat());
        assert!(code == Some(1) && text.contains("taken"), "{text}");
        text.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = told("127.0.0.1", &[]);
    let [line] = &warned[..] else { panic!("{warned:?}") };
    for words in ["mine", "far", "not allowed", "--allow-base-url http://10.1.2.3:8080 allows it"] {
        assert!(line.contains(words), "{line}");
    }
    assert!(!line.contains("secret"), "{line}");
    assert_eq!(told("127.0.0.1", &["--allow-base-url", "http://10.1.2.3:8080"]), Vec::<String>::new());
    // Who is heard by others may not be led to this machine.
    let warned = told("0.0.0.0", &[]);
    assert!(warned.len() == 2 && warned[0].contains("--allow-base-url http://127.0.0.1:8080"), "{warned:?}");
}

/// The directory of the built-in templates has the demo's script beside them.
#[test]
fn the_templates_of_the_checkout_are_a_directory_of_templates() {
    let data = tempfile::tempdir().unwrap();
    let (_taken, address) = free_port();
    let (address, data) = (address.to_string(), data.path().join("data").display().to_string());
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    let (_, text) = run_to_end(&["serve", "--listen", &address, "--data-dir", &data, "--templates", own]);
    assert!(text.contains("the port is taken"), "it got that far: {text}");
}

#[tokio::test]
async fn an_ephemeral_world_has_its_grace_again_after_a_restart() {
    let mut server = TestServer::with(|config| config.grace = Duration::from_secs(60)).await;
    let mut client = server.in_world("w").await;
    client.converse("@a1 hi").await;
    let token = client.token().to_owned();
    server.restart().await;
    let http = server.http_of(&token);
    assert_eq!(http.get("/worlds/w/agents/a1").await.json()["llmCallCount"], 1);
}

#[tokio::test]
async fn a_world_that_slept_is_as_it_was() {
    let server = TestServer::with(|config| config.idle_unload = Duration::from_millis(50)).await;
    let mut client = server.in_world("w").await;
    for call in 1..=3 {
        let frames = client.converse("@a1 hi").await;
        let end = frames.iter().find(|frame| frame.is_end()).unwrap();
        assert_eq!(end.payload()["content"], format!("a1 heard you, call {call}."));
        let metrics = server.http();
        crate::support::eventually("it sleeps", || async {
            let text = metrics.get("/metrics").await.text;
            text.lines().any(|line| line == "agent_world_worlds_loaded 0")
        })
        .await;
    }
}

#[test]
fn help_and_version_are_there() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["chat", "--help"], &["--version"]] {
        let (code, text) = run_to_end(arguments);
        assert_eq!((code, text.as_str()), (Some(0), ""), "{arguments:?}");
    }
    assert!(here("scripts/stage.json").is_file());
}
