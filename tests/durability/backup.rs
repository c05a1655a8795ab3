//! Backup beside a running server, restore elsewhere; export and import.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    program::Program,
    support::{Client, Frame, Host, run_to_end},
};

fn copy(command: &str, file: &Path, dir: &Path) -> (Option<i32>, String) {
    run_to_end(&[command, &file.to_string_lossy(), "--data-dir", &dir.to_string_lossy()])
}

fn done(outcome: (Option<i32>, String)) {
    assert_eq!(outcome, (Some(0), String::new()));
}

async fn history(client: &mut Client, world: &str) -> Vec<Frame> {
    client.select("stage", world).await;
    client.drain().await;
    let all = json!({"eventTypes": ["message", "world", "sse", "system"], "after": client.at(0)});
    client.ok("event_subscribe", all).await;
    let mut frames = client.until(|frame| frame.status("caught_up").is_some()).await;
    frames.pop();
    frames
}

fn texts(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.text.as_str()).collect()
}

async fn config(host: &Host, token: &str) -> Value {
    host.http_of(token).get("/worlds/w/agents/a2").await.json()["config"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_running_server_is_restored_with_new_epochs() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let server = Program::start(&path("data"), &[]).await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "stage", "worldName": "w", "persistent": true, "title": "T"})).await;
    for number in 0..5 {
        client.converse(&format!("hi {number}")).await;
    }
    let key = json!({"type": "chat_send", "idempotencyKey": "k", "payload": {"content": "@human once"}});
    assert_eq!(client.request_frame(key.clone()).await.status("message_accepted").unwrap()["duplicate"], false);
    client.ok("agent_update", json!({"agentName": "a2", "config": {"model": "m7", "apiKey": "sk-backup-5"}})).await;
    let before = history(&mut client, "w").await;
    let cursor = client.at(before.last().and_then(Frame::seq).expect("some"));
    done(copy("backup", &path("file"), &path("data")));
    assert_eq!(
        fs::metadata(path("file"))
            .map(|file| std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o777)
            .ok(),
        Some(0o600)
    );
    // The server goes on, and what comes now is not in the backup.
    client.converse("lost").await;
    let token = client.token().to_owned();
    let here = config(&server, &token).await;
    done(copy("restore", &path("file"), &path("elsewhere")));
    let restored = Program::start(&path("elsewhere"), &[]).await;
    let mut again = restored.client_of(&token).await;
    let frames = history(&mut again, "w").await;
    assert_eq!(texts(&frames), texts(&before), "as it was");
    let there = config(&restored, &token).await;
    assert_eq!((&there, &there["hasApiKey"]), (&here, &json!(true)));
    // No cursor of the other life.
    assert_ne!(cursor.split(':').next(), again.cursor.split(':').next());
    let error = again.fails("event_subscribe", json!({"after": cursor}), "UNRESUMABLE").await;
    assert_eq!(error["details"]["reason"], "epoch");
    let page = restored.http_of(&token).get(&format!("/worlds/w/events?after={cursor}")).await;
    assert_eq!(page.problem("UNRESUMABLE")["reason"], "epoch");
    // Keys counted in the other life.
    let accepted = again.request_frame(key).await;
    assert_eq!(accepted.status("message_accepted").expect("accepted")["duplicate"], false);
    // It lives.
    again.select("stage", "w").await;
    let frames = again.converse("@a1 hi").await;
    assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
    println!("backup: {} events restored byte-equal, with a new epoch", before.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_one_line_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let server = Program::start(&path("data"), &[]).await;
    server.in_world("w").await.converse("@a1 hi").await;
    done(copy("backup", &path("file"), &path("data")));
    fs::write(path("garbage"), "this is no backup").expect("a file");
    let mut torn = fs::read(path("file")).expect("a backup");
    torn.truncate(torn.len() / 2);
    fs::write(path("torn"), torn).expect("a file");
    let bytes = fs::read(path("file")).expect("a backup");
    let cases = [
        ("backup", "file", "data", "exists already"),
        ("backup", "new", "nowhere", "no database"),
        ("backup", "none/new", "data", "none/new"),
        ("restore", "file", "data", "exists already"),
        ("restore", "missing", "fresh", "missing"),
        ("restore", "garbage", "fresh", "garbage"),
        ("restore", "torn", "fresh", ""),
    ];
    for (command, file, data, says) in cases {
        let (code, text) = copy(command, &path(file), &path(data));
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{command} {file} {data}: {text}");
        assert!(text.contains(says), "{command} {file} {data}: {text}");
    }
    assert_eq!(fs::read(path("file")).expect("a backup"), bytes, "an existing file is left as it is");
    assert!(!path("new").exists(), "half a backup is none");
    // What failed leaves nothing in the way of what is right.
    done(copy("restore", &path("file"), &path("fresh")));
    println!("backup: {} refusals, each one line", cases.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_comes_back_by_import_and_holds_no_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Program::start(&dir.path().join("data"), &[]).await;
    let mut client = server.in_world("w").await;
    client.ok("agent_update", json!({"agentName": "a1", "config": {"apiKey": "sk-export-81"}})).await;
    for content in ["hi", "@a1 FAIL", "@a2 what? \u{1f30d}", "@nobody"] {
        client.converse(content).await;
    }
    let http = server.http_of(client.token());
    let export = http.get("/worlds/w/export").await.text;
    assert!(!export.contains("sk-export-81") && !export.contains(client.token()));
    let import = |name: &str| {
        let (http, path) = (http.clone(), format!("/worlds/import?worldName={name}"));
        let body = Some(export.clone().into_bytes());
        async move { http.call("POST", &path, &[("content-type", "application/x-ndjson")], body).await }
    };
    let answer = import("copy").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let again = http.get("/worlds/copy/export").await.text;
    let records = |export: &str| export.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let differ: Vec<_> = records(&export).into_iter().zip(records(&again)).filter(|(one, two)| one != two).collect();
    // That there was a key does not come along, as the key does not.
    assert!(
        differ.iter().all(|(one, two)| one.replace("\"hasApiKey\":true", "\"hasApiKey\":false") == *two),
        "{differ:#?}"
    );
    assert_eq!(records(&export).len(), records(&again).len());
    let frames = history(&mut client, "copy").await;
    assert!(frames.len() > 10);
    let lives = client.converse("@a2 hi").await;
    assert!(lives.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
    import("copy").await.problem("CONFLICT");
    println!("export: {} records, {} frames after the import", records(&export).len(), frames.len());
}
