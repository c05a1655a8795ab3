//! Rates, queues, silence and slowness (docs/PROTOCOL.md §8).

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Frame, Host, Opening, PATIENCE, Process, Received, TestServer, eventually};

#[tokio::test]
async fn more_messages_than_the_rate_allows_are_refused_for_a_while() {
    let server = TestServer::with(|config| {
        // Slow enough that the test, however slow, is faster.
        config.chat_rate = 0.5;
        config.chat_burst = 3.0;
    })
    .await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let mut refused = None;
    for _ in 0..5 {
        let answer = client.request("chat_send", json!({"content": "@human hi"})).await;
        if answer.kind() == "error" {
            refused = Some(answer.payload().clone());
            break;
        }
    }
    let refused = refused.expect("the rate holds");
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("RATE_LIMITED"), &json!(true)));
    let after = refused["retryAfterMs"].as_u64().unwrap();
    assert!((1..=2_000).contains(&after), "{after}");
    // The same bucket over HTTP and on another connection of the user; another user has one of its own.
    let Err(answer) = http.try_stream("POST", "/worlds/w/chat", &[], Some(json!({"message": "@human hi"}))).await
    else {
        panic!("HTTP is another bucket")
    };
    answer.problem("RATE_LIMITED");
    assert!(["1", "2"].contains(&answer.header("retry-after")), "{}", answer.header("retry-after"));
    server.in_world("w").await.say("@human hi").await;
    client.ok("ping", json!({})).await;
    tokio::time::sleep(Duration::from_millis(after)).await;
    client.say("@human hi").await;
}

#[tokio::test]
async fn beyond_this_machine_new_connections_have_a_rate() {
    let server = TestServer::with(|config| {
        config.listen = ([0, 0, 0, 0], 0).into();
        config.connection_rate = 0.01;
        config.connection_burst = 2.0;
    })
    .await;
    let host = Host::new(([127, 0, 0, 1], server.address.port()).into());
    let first = host.http();
    for _ in 0..5 {
        assert_eq!(first.get("/health").await.status, 200, "one connection, however many requests");
    }
    let mut client = host.client().await;
    let answer = host.http().get("/health").await;
    answer.problem("RATE_LIMITED");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(Client::open(&host, Opening::default()).await.is_err());
    client.ok("ping", json!({})).await;
}

#[tokio::test]
async fn the_33rd_waiting_turn_is_refused_whole() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.say("@a1 HANG").await;
    client.expect(|frame| frame.is_start()).await;
    for _ in 0..32 {
        client.say("@a1 HANG").await;
    }
    let http = server.http_of(client.token());
    let head = client.ok("event_subscribe", json!({})).await["head"].clone();
    for content in ["@a1 one more", "both of you"] {
        let error = client.fails("chat_send", json!({"content": content}), "OVERLOADED").await;
        assert_eq!(error["retryable"], true);
        assert!(error["retryAfterMs"].as_u64().unwrap() > 0);
        let Err(answer) = http.try_stream("POST", "/worlds/w/chat", &[], Some(json!({"message": content}))).await
        else {
            panic!("HTTP takes it")
        };
        answer.problem("OVERLOADED");
    }
    assert_eq!(client.ok("event_subscribe", json!({})).await["head"], head, "nothing was appended");
    client.converse("@a2 and you?").await;
    let cancelled = client.ok("chat_cancel", json!({})).await;
    assert_eq!((cancelled["messageIds"].as_array().unwrap().len(), &cancelled["dropped"]), (1, &json!(32)));
}

#[tokio::test]
async fn an_agent_whose_queue_is_full_is_not_woken_by_another() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"]})).await;
    for _ in 0..33 {
        client.say("@a2 HANG").await;
    }
    let frames = client.converse("@a1 ASK2").await;
    let full = frames.iter().find_map(|frame| frame.action("queue-full")).expect("it says so");
    assert_eq!(full["agentName"], "a2");
    assert!(
        frames.iter().any(|f| f.event("message").is_some_and(|m| m["messageId"] == full["messageId"])),
        "posted all the same"
    );
}

#[tokio::test]
async fn a_user_s_turns_wait_for_each_other_and_none_is_refused() {
    let server = TestServer::with(|config| config.turns_per_user = 1).await;
    let mut client = server.in_world("w").await;
    let mut running: i32 = 0;
    for frame in client.converse("SLOW").await {
        running += i32::from(frame.is_start()) - i32::from(frame.is_end());
        assert!(running <= 2, "a start may wait for its place");
        if frame.is_delta() {
            assert!(frame.payload()["content"] != "", "{}", frame.text);
        }
    }
    let frames = client.converse("hi").await;
    assert_eq!(frames.iter().filter(|frame| frame.is_end()).count(), 2);
}

#[tokio::test]
async fn the_server_s_places_are_shared_by_all_users_and_given_back() {
    let server = TestServer::with(|config| config.turns = 1).await;
    let (mut first, mut second) = (server.in_world("w").await, server.in_world("w").await);
    let held = first.say("@a1 HANG").await["messageId"].as_str().unwrap().to_owned();
    first.expect(|frame| frame.is_delta()).await;
    let waiting = second.say("@a1 hi").await;
    assert_eq!(waiting["answering"], json!(["a1"]), "nobody is refused");
    assert!(second.drain().await.iter().all(|frame| !frame.is_delta()), "it waits for the one place");
    first.ok("chat_cancel", json!({"messageId": held})).await;
    second.until_settled(waiting["messageId"].as_str().unwrap()).await;
}

#[tokio::test]
async fn who_answers_no_ping_is_closed_4003() {
    let server = TestServer::with(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.pong_timeout = Duration::from_millis(1_000);
    })
    .await;
    let mut alive = server.client().await;
    let mut silent = server.client().await;
    let http = server.http();
    // The one is read, so that its library answers pings; the other is not.
    let watch = async {
        loop {
            alive.ok("ping", json!({})).await;
            if http.get("/health").await.json()["connections"]["active"] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let since = Instant::now();
    // The server waits for the closing handshake before it lets go.
    tokio::time::timeout(crate::support::PATIENCE, watch).await.expect("the silent one is sent away");
    assert!(since.elapsed() >= Duration::from_millis(1_000));
    assert_eq!(silent.closed().await.0, Some(4003));
    alive.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_pong_is_enough_to_stay() {
    let server = TestServer::with(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.pong_timeout = Duration::from_millis(500);
    })
    .await;
    let mut client = server.client().await;
    let quiet = tokio::time::timeout(Duration::from_millis(1_500), client.receive()).await;
    assert!(quiet.is_err(), "it only answered pings, and stays");
    client.ok("ping", json!({})).await;
}

#[tokio::test]
async fn who_says_nothing_for_the_idle_time_is_closed_4003() {
    let server = TestServer::with(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.pong_timeout = Duration::from_millis(500);
        config.idle_timeout = Some(Duration::from_millis(900));
    })
    .await;
    let mut client = server.client().await;
    let since = Instant::now();
    for _ in 0..6 {
        client.ok("ping", json!({})).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(since.elapsed() > Duration::from_millis(900), "a message keeps it");
    // It goes on answering the server's pings, which say nothing.
    let since = Instant::now();
    assert_eq!(client.closed().await.0, Some(4003));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

/// A client that stops reading while more comes than any buffer holds.
async fn slow(server: &Host, stuck: Duration) -> (Result<Vec<Frame>, (Option<u16>, usize)>, Vec<Frame>) {
    let mut writer = server.in_world("w").await;
    let opening = Opening { token: writer.token.clone(), receive_buffer: Some(4 * 1024), ..Opening::default() };
    let mut reader = server.open(opening).await;
    reader.select("stage", "w").await;
    let mut root = String::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        root = writer.say("@a1 BIG").await["messageId"].as_str().unwrap().to_owned();
        seen.extend(writer.until_settled(&root).await);
    }
    tokio::time::sleep(stuck).await;
    let mut frames = Vec::new();
    loop {
        match reader.receive().await {
            Received::Frame(frame) => {
                let last = frame.settles(&root);
                frames.push(frame);
                if last {
                    return (Ok(frames), seen);
                }
            }
            Received::Closed(code) => return (Err((code, frames.len())), seen),
        }
    }
}

#[tokio::test]
async fn a_slow_client_gets_everything_late_with_deltas_merged() {
    let server = TestServer::with(|config| {
        config.send_buffer_bytes = 4 * 1024;
        config.outbox_bytes = 64 * 1024;
        config.stuck_timeout = Duration::from_secs(30);
    })
    .await;
    let (outcome, seen) = slow(&server, Duration::from_millis(300)).await;
    let frames = outcome.expect("it is not closed");
    let durable = |frames: &[Frame]| -> Vec<String> {
        frames.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.clone()).collect()
    };
    assert_eq!(durable(&frames), durable(&seen), "nothing lost, nothing twice");
    let deltas = |frames: &[Frame]| frames.iter().filter(|frame| frame.is_delta()).count();
    assert!(deltas(&frames) < deltas(&seen), "{} deltas of {}", deltas(&frames), deltas(&seen));
}

#[tokio::test]
async fn a_client_that_takes_no_byte_is_closed_4000_and_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let settings = ["--send-buffer-bytes", "4096", "--outbox-bytes", "65536", "--stuck-timeout", "2s"];
    // Pings do not end it before: while bytes wait, only the one deadline runs.
    let pings = ["--ping-interval", "100ms", "--pong-timeout", "1s"];
    let server = Process::start(&data.path().join("data"), &[&settings[..], &pings].concat()).await;
    let (outcome, seen) = slow(&server, Duration::from_millis(3_500)).await;
    assert_eq!(seen.iter().filter(|frame| frame.is_end()).count(), 3, "the other connection had everything");
    let Err((code, _)) = outcome else { panic!("it was never closed") };
    assert!(matches!(code, Some(4000) | None), "{code:?}: the code itself may not get through any more");
    let said = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap_or_default()["code"] == 4000;
    eventually("it was closed with 4000", || async { server.log().lines().any(said) }).await;
}

/// Sends the head of a request and a piece of its body, and reads what the server says until it hangs up.
async fn half_a_request(server: &TestServer, head: &str) -> String {
    let head = format!("POST {head}\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{\"mess");
    said_to(server, &head).await
}

/// Sends these bytes, and reads what the server says until it hangs up.
async fn said_to(server: &TestServer, bytes: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await;
    read.expect("the server hangs up").unwrap();
    answer
}

#[tokio::test]
async fn who_does_not_finish_the_head_of_a_request_is_hung_up_on() {
    let server = TestServer::with(|config| config.handshake_timeout = Duration::from_millis(200)).await;
    for head in ["", "GET /he", "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"] {
        let began = Instant::now();
        assert_eq!(said_to(&server, head).await, "", "{head:?}");
        assert!(began.elapsed() >= Duration::from_millis(200), "{head:?}");
    }
    // A request that is finished in time is answered, and the connection may be used again for as long.
    let answer = said_to(&server, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn who_sends_half_a_body_is_sent_away() {
    let server = TestServer::with(|config| config.stuck_timeout = Duration::from_millis(200)).await;
    let answer = half_a_request(&server, "/worlds/stage/chat HTTP/1.1\r\nContent-Type: application/json").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("nothing of the body came"), "{answer}");
}

#[tokio::test]
async fn nobody_unknown_is_listened_to_for_the_length_of_an_import() {
    let server = TestServer::with(|config| config.stuck_timeout = Duration::from_secs(60)).await;
    let token = "x".repeat(43);
    let head =
        format!("/worlds/import HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer {token}");
    let answer = half_a_request(&server, &head).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
