//! A disk that is full, read-only, or held by somebody else: typed errors, no false acknowledgement, and service again
//! without a restart.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    program::Program,
    support::{Client, Frame, eventually, run_to_end},
};

/// What was acknowledged and what was refused, by content.
#[derive(Default)]
struct Said {
    acknowledged: HashMap<String, Value>,
    refused: Vec<String>,
}

impl Said {
    /// Says something that needs `bytes` on the disk. Whether it was acknowledged.
    async fn say(&mut self, client: &mut Client, bytes: usize) -> bool {
        let number = self.acknowledged.len() + self.refused.len();
        let content = format!("@human {number} {}", "x".repeat(bytes));
        let answer = client.request("chat_send", json!({"content": content})).await;
        if let Some(accepted) = answer.status("message_accepted") {
            self.acknowledged.insert(content, accepted["messageId"].clone());
            return true;
        }
        let error = answer.payload();
        assert_eq!((&error["code"], &error["retryable"]), (&json!("STORAGE_ERROR"), &json!(true)), "{}", answer.text);
        assert!(error["retryAfterMs"].is_u64());
        self.refused.push(content);
        false
    }

    /// The history has exactly what was acknowledged; what was refused did not happen.
    async fn check(&self, server: &Program, token: &str) {
        let mut reader = server.client_of(token).await;
        reader.select("stage", "w").await;
        reader.select_with(json!({"templateName": "stage", "worldName": "w", "after": reader.at(0)})).await;
        let frames = reader.until(|frame| frame.status("caught_up").is_some()).await;
        let there: Vec<&Value> = frames.iter().filter_map(|frame| frame.event("message")).collect();
        for (content, id) in &self.acknowledged {
            let found = there.iter().filter(|message| message["content"] == content.as_str()).collect::<Vec<_>>();
            assert!(found.len() == 1 && found[0]["messageId"] == *id, "acknowledged: {}", &content[..12]);
        }
        for content in &self.refused {
            assert!(!there.iter().any(|message| message["content"] == content.as_str()), "refused, and there");
        }
    }
}

/// Until the disk refuses, through the trouble, and out of it again; with a reply that runs all the while. `more`
/// messages are refused besides the first.
async fn through(server: &Program, what: &str, more: usize, breaks: impl AsyncFnOnce(), mends: impl AsyncFnOnce()) {
    let mut client = server.in_world("w").await;
    let token = client.token().to_owned();
    let mut said = Said::default();
    assert!(said.say(&mut client, 10).await);
    let root = client.say("@a1 HANG").await["messageId"].as_str().expect("an id").to_owned();
    client.expect(Frame::is_delta).await;
    breaks().await;
    let began = Instant::now();
    while said.say(&mut client, 30_000).await {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: it never fails");
    }
    eventually("/health says so", || async { server.health().await == "degraded" }).await;
    eventually("/metrics say so", || async { server.metric("degraded").await == 1.0 }).await;
    // What was there can be read, where that needs no write.
    assert_eq!(server.http_of(&token).get("/worlds/w/events?limit=1").await.status, 200);
    for _ in 0..more {
        said.say(&mut client, 30_000).await;
    }
    let over_http = server.http_of(&token).post("/worlds/w/chat", Some(json!({"message": "x".repeat(30_000)}))).await;
    over_http.problem("STORAGE_ERROR");
    // The end of a reply must not be lost, although it cannot be stored now.
    let stopped = client.request("chat_cancel", json!({"messageId": root})).await;
    mends().await;
    eventually("it serves again", || async { server.health().await == "ok" }).await;
    if stopped.kind() == "error" {
        assert_eq!(stopped.payload()["code"], "STORAGE_ERROR");
        client.ok("chat_cancel", json!({"messageId": root})).await;
    }
    let frames = client.until_settled(&root).await;
    let ends = frames.iter().filter(|frame| frame.is_end()).count();
    assert_eq!(ends, 1, "{what}: one end");
    assert!(said.say(&mut client, 30_000).await, "{what}: service again without a restart");
    let frames = client.converse("@a1 hi").await;
    assert!(frames.iter().any(|frame| frame.is_end() && frame.payload()["finishReason"] == "stop"));
    said.check(server, &token).await;
    println!(
        "disk, {what}: {} acknowledged and there, {} refused and not there",
        said.acknowledged.len(),
        said.refused.len()
    );
    assert!(said.refused.len() > more);
}

/// A small disk of its own, if this process may mount one.
struct Disk<'d>(&'d Path);

impl<'d> Disk<'d> {
    fn mount(at: &'d Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("a directory");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("disk");
    let Some(_disk) = Disk::mount(&at, "4m") else {
        println!("disk, full: not tried, as this user may not mount one; the limit on file sizes stands for it");
        return;
    };
    let server = Program::start(&at.join("data"), &["--grace", "400ms", "--max-frame-bytes", "65536"]).await;
    let ballast = at.join("ballast");
    let fill = async || {
        // All the room that is left.
        let mut bytes = 1024 * 1024;
        let mut held = Vec::new();
        while bytes >= 4096 {
            held.resize(held.len() + bytes, 0_u8);
            if fs::write(&ballast, &held).is_err() {
                held.truncate(held.len() - bytes);
                bytes /= 2;
            }
        }
        let _ = fs::write(&ballast, &held);
    };
    through(&server, "full", 3, fill, async || fs::remove_file(&ballast).expect("it is there")).await;
}

/// Every write beyond a size fails, in whatever file: an I/O error, after which the outcome of a commit is not known.
#[tokio::test(flavor = "multi_thread")]
async fn an_io_error_is_an_error_until_it_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    // The signal that would come with it is ignored, as a disk sends none.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 2000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_agent-world")]);
    let server = Program::behind(shell, &dir.path().join("data"), &["--grace", "400ms"]).await;
    let limit = |value: &str| {
        let pid = server.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={value}")]).status();
        assert!(set.expect("prlimit runs").success());
    };
    let mend = async || limit("unlimited");
    through(&server, "i/o error", 3, async || {}, mend).await;
}

/// Another process holds the database's own lock, as somebody who looks into it with SQLite's shell may.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_held_by_another_process_is_an_error_until_it_is_released() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let server = Program::start(&data, &["--grace", "400ms"]).await;
    let holder = std::cell::RefCell::new(None);
    let hold = async || {
        let conn = rusqlite::Connection::open(data.join("log.db")).expect("the database");
        conn.busy_timeout(Duration::from_secs(5)).expect("a setting");
        conn.execute_batch("BEGIN IMMEDIATE").expect("a lock");
        *holder.borrow_mut() = Some(conn);
    };
    // A lock is waited for, so each refusal takes some seconds.
    through(&server, "held", 0, hold, async || drop(holder.borrow_mut().take())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_or_used_directory_stops_the_start_with_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = |data: &Path| run_to_end(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy()]);
    let used = dir.path().join("used");
    let running = Program::start(&used, &[]).await;
    let (code, text) = start(&used);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("in use by another process"), "{text}");
    drop(running);
    let at = dir.path().join("disk");
    match Disk::mount(&at, "4m") {
        Some(_disk) => {
            let mut server = Program::start(&at.join("data"), &[]).await;
            server.in_world("w").await.converse("@a1 hi").await;
            server.stop().await;
            let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(&at).status();
            assert!(read_only.expect("mount runs").success());
            let (code, text) = start(&at.join("data"));
            assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
            assert!(text.contains("not writable"), "{text}");
            println!("disk, read-only: one line");
        }
        None => {
            // Not the owner of the machine: modes hold.
            let closed = dir.path().join("closed");
            fs::create_dir(&closed).expect("a directory");
            fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).expect("a mode");
            let (code, text) = start(&closed.join("data"));
            assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
            assert!(text.contains("not writable"), "{text}");
            println!("disk, read-only: one line, by modes");
        }
    }
}

/// Sends a request, and leaves before it is answered.
async fn ask_and_leave(server: &Program, token: &str, method: &str, path: &str, body: &str) {
    let mut socket = tokio::net::TcpStream::connect(server.address).await.expect("the server");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    let before = server.metric("http_requests_total").await;
    socket.write_all(request.as_bytes()).await.expect("it is sent");
    // Each look is a request too.
    let looks = std::cell::Cell::new(0.0);
    eventually("the server has begun it", || async {
        looks.set(looks.get() + 1.0);
        server.metric("http_requests_total").await > before + looks.get()
    })
    .await;
}

/// What a request has begun is done when its client leaves: to its end, not up to where it waited for storage.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_of_a_request_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let server = Program::start(&data, &["--grace", "400ms"]).await;
    let mut client = server.in_world("kept").await;
    client.select("stage", "gone").await;
    let mut other = server.client_of(client.token()).await;
    other.select("stage", "kept").await;
    let token = client.token().to_owned();
    let conn = rusqlite::Connection::open(data.join("log.db")).expect("the database");
    conn.busy_timeout(Duration::from_secs(5)).expect("a setting");
    conn.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let keep = r#"{"templateName": "stage", "persistent": true}"#;
    ask_and_leave(&server, &token, "PUT", "/worlds/kept", keep).await;
    ask_and_leave(&server, &token, "DELETE", "/worlds/gone", "").await;
    ask_and_leave(&server, &token, "PUT", "/worlds/made", r#"{"templateName": "stage"}"#).await;
    drop(conn);
    assert_eq!(client.closed().await.0, Some(4004), "who was in the world that was deleted is told");
    other.close().await;
    // One that nobody asked for is deleted after its grace, and so is the one that nobody knows is there.
    eventually("what is not kept is gone", || async {
        let worlds = server.http_of(&token).get("/session/worlds").await;
        let names: Vec<_> = worlds.json().as_array().expect("worlds").iter().map(|world| &world["worldName"]).collect();
        names == ["kept"]
    })
    .await;
    let kept = server.http_of(&token).get("/worlds/kept").await;
    assert_eq!((kept.status, &kept.json()["persistent"]), (200, &json!(true)));
}

/// A deletion that storage refuses stops what runs in the world, and nothing else: what was cut off ends, and what waits
/// runs, without anybody asking.
#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_could_not_be_deleted_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let server = Program::start(&data, &[]).await;
    let mut client = server.in_world("w").await;
    client.say("@a1 HANG").await;
    client.expect(Frame::is_start).await;
    client.say("@a1 hi").await;
    let conn = rusqlite::Connection::open(data.join("log.db")).expect("the database");
    conn.busy_timeout(Duration::from_secs(5)).expect("a setting");
    conn.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let http = server.http_of(client.token());
    http.delete("/worlds/w").await.problem("STORAGE_ERROR");
    drop(conn);
    eventually("both replies end", || async {
        // A page of the log asks nothing of the world.
        let page = http.get("/worlds/w/events?limit=500").await;
        let events = page.json()["events"].as_array().expect("events").clone();
        let ends = events.iter().filter(|event| event["payload"]["complete"] == true);
        ends.map(|end| end["payload"]["finishReason"].clone()).collect::<Vec<_>>() == ["interrupted", "stop"]
    })
    .await;
}
