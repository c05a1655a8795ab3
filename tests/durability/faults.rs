//! What a model can do wrong: each time one start, one end that says so, in time, and nothing left behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    model::{Call, Model, chunk, finish, world_with},
    program::Program,
    support::{Client, Frame},
};

/// What a model may take, as these tests set it.
const DEADLINES: [&str; 8] = [
    "--connect-timeout",
    "1s",
    "--first-token-timeout",
    "600ms",
    "--between-tokens-timeout",
    "600ms",
    "--reply-timeout",
    "4s",
];
/// Within this every fault must have ended: the deadline of a whole reply, and something for a slow machine.
const BUDGET: Duration = Duration::from_secs(8);
/// Longest reply, in bytes.
const LONGEST: usize = 256 * 1024;
/// Descriptors and tasks that may be there afterwards and were not before: the connection that `/metrics` is read
/// from, and connections to the model server that wait to be used again.
const SPARE: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(&'static str, &'static str),
    Hang,
    HangAfterHead,
    HangInTheMiddle,
    Cut,
    CutInsideAnEvent,
    NoAnswer,
    ByteByByte,
    DripForEver,
    Endless,
    SplitUtf8,
    InvalidUtf8,
    Empty,
    NotAStream,
}

/// The fault, the reason of the end, and whether its error is one to retry after.
const FAULTS: [(Fault, &str, Option<bool>); 16] = [
    (Fault::Status("500 Internal Server Error", ""), "error", Some(true)),
    (Fault::Status("429 Too Many Requests", "retry-after: 7\r\n"), "error", Some(true)),
    (Fault::Status("401 Unauthorized", ""), "error", Some(false)),
    (Fault::Hang, "error", Some(true)),
    (Fault::HangAfterHead, "error", Some(true)),
    (Fault::HangInTheMiddle, "error", Some(true)),
    (Fault::Cut, "error", Some(true)),
    (Fault::CutInsideAnEvent, "error", Some(true)),
    (Fault::NoAnswer, "error", Some(true)),
    (Fault::ByteByByte, "stop", None),
    (Fault::DripForEver, "error", Some(true)),
    (Fault::Endless, "length", None),
    (Fault::SplitUtf8, "stop", None),
    (Fault::InvalidUtf8, "", None),
    (Fault::Empty, "error", Some(true)),
    (Fault::NotAStream, "error", None),
];

async fn commit(fault: Fault, mut call: Call) {
    match fault {
        Fault::Status(status, headers) => {
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: 2\r\n\r\n{{}}"
            );
            call.send(head.as_bytes()).await;
        }
        Fault::Hang => call.closed().await,
        Fault::HangAfterHead => {
            call.stream().await;
            call.closed().await;
        }
        Fault::HangInTheMiddle => {
            call.stream().await;
            call.chunk("half").await;
            call.closed().await;
        }
        Fault::Cut => {
            call.stream().await;
            call.chunk("half").await;
        }
        Fault::CutInsideAnEvent => {
            call.stream().await;
            call.chunk("half").await;
            call.send(&chunk("the other half")[..20]).await;
        }
        Fault::NoAnswer => {}
        Fault::ByteByByte => {
            call.stream().await;
            let bytes = [chunk("drop "), chunk("by drop"), finish()].concat();
            for byte in bytes {
                call.send(&[byte]).await;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        Fault::DripForEver => {
            call.stream().await;
            while call.chunk(".").await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Fault::Endless => {
            call.stream().await;
            let text = chunk(&"0123456789abcde\u{e9}".repeat(64));
            while call.send(&text).await {}
        }
        Fault::SplitUtf8 => {
            call.stream().await;
            let bytes = [chunk("Gr\u{fc}\u{df}e \u{1f30d}"), finish()].concat();
            // Each byte on its own, so that every character is torn.
            for byte in bytes {
                call.send(&[byte]).await;
                tokio::task::yield_now().await;
            }
        }
        Fault::InvalidUtf8 => {
            call.stream().await;
            call.chunk("good ").await;
            let mut bytes = chunk("X");
            let at = bytes.iter().position(|byte| *byte == b'X').expect("it is there");
            bytes.splice(at..=at, [0xf0, 0x9f, b'"' ^ 0x80, 0xff]);
            let (first, second) = bytes.split_at(at + 2);
            call.send(first).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            call.send(second).await;
            call.finish().await;
        }
        Fault::Empty => {
            call.stream().await;
            call.finish().await;
        }
        Fault::NotAStream => {
            call.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n<html>Welcome</html>")
                .await;
        }
    }
}

/// All frames of a question, whose reply must have one start, and after that one end.
async fn outcome(client: &mut Client, text: &str) -> (Value, Duration) {
    let asked = Instant::now();
    let frames = client.converse(text).await;
    let took = asked.elapsed();
    let starts = frames.iter().filter(|frame| frame.is_start()).count();
    let ends: Vec<&Frame> = frames.iter().filter(|frame| frame.is_end()).collect();
    assert_eq!((starts, ends.len()), (1, 1), "{text}: one start, one end");
    let after = frames.iter().skip_while(|frame| !frame.is_end()).filter(|frame| frame.is_delta()).count();
    assert_eq!(after, 0, "{text}: no delta after the end");
    (ends[0].payload().clone(), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_model_is_one_end_in_time_and_leaves_nothing_behind() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Program::start(&data.path().join("data"), &DEADLINES).await;
    let mut model = Model::start().await;
    let mut client = server.client().await;
    let http = server.http_of(client.token());
    world_with(&model, &mut client, &http, "w").await;
    let before = server.holds().await;
    let mut slowest = Duration::ZERO;
    let rounds = 2;
    for _ in 0..rounds {
        for (fault, reason, retryable) in FAULTS {
            let accepted = client.say("@m1 go on").await;
            let asked = Instant::now();
            let call = model.call().await;
            let committing = tokio::spawn(commit(fault, call));
            let frames = client.until_settled(accepted["messageId"].as_str().expect("an id")).await;
            let took = asked.elapsed();
            slowest = slowest.max(took);
            assert!(took < BUDGET, "{fault:?} took {took:?}");
            let ends: Vec<&Frame> = frames.iter().filter(|frame| frame.is_end()).collect();
            let starts = frames.iter().filter(|frame| frame.is_start()).count();
            assert_eq!((starts, ends.len()), (1, 1), "{fault:?}");
            let after = frames.iter().skip_while(|frame| !frame.is_end()).filter(|frame| frame.is_delta()).count();
            assert_eq!(after, 0, "{fault:?}: no delta after the end");
            let end = ends[0].payload();
            assert!(reason.is_empty() || end["finishReason"] == reason, "{fault:?}: {end}");
            if let Some(retryable) = retryable {
                assert_eq!(
                    (&end["error"]["code"], &end["error"]["retryable"]),
                    (&json!("PROVIDER_ERROR"), &json!(retryable)),
                    "{fault:?}"
                );
            }
            let content = end["content"].as_str().expect("text");
            match fault {
                Fault::Status("429 Too Many Requests", _) => assert_eq!(end["error"]["retryAfterMs"], 7_000),
                Fault::ByteByByte => assert_eq!(content, "drop by drop"),
                Fault::SplitUtf8 => assert_eq!(content, "Gr\u{fc}\u{df}e \u{1f30d}"),
                Fault::Endless => assert!(content.len() <= LONGEST && content.len() > LONGEST - 4, "{}", content.len()),
                Fault::HangInTheMiddle | Fault::Cut | Fault::CutInsideAnEvent => assert_eq!(content, "half"),
                _ => {}
            }
            // Whatever happens at the other end, the connection does not stay.
            tokio::time::timeout(BUDGET, committing).await.expect("the model is let go").expect("no panic");
        }
    }
    // The script can do some of it, too.
    client.select("stage", "s").await;
    for (word, reason) in [
        ("FAIL", "error"),
        ("CUT", "error"),
        ("EMPTY", "error"),
        ("HANG", "error"),
        ("ENDLESS", "length"),
        ("hi", "stop"),
    ] {
        let (end, took) = outcome(&mut client, &format!("@a1 {word}")).await;
        assert_eq!(end["finishReason"], reason, "{word}: {end}");
        assert!(took < BUDGET, "{word} took {took:?}");
    }
    assert_eq!(model.calls_waiting(), 0, "nothing is asked twice");
    let held = || async {
        let after = server.holds().await;
        after.0 <= before.0 + SPARE && after.1 <= before.1 + SPARE
    };
    crate::support::eventually("descriptors and tasks go back", held).await;
    let after = server.holds().await;
    println!(
        "faults: {} of a model, {} kinds, and 6 of the script; slowest {slowest:?}; descriptors {} → {}, tasks {} → {}",
        rounds * FAULTS.len(),
        FAULTS.len(),
        before.0,
        after.0,
        before.1,
        after.1
    );
}
