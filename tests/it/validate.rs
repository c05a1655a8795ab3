//! `agent-world validate`: a verdict on every line, and constant memory however many there are.

use std::{
    fs,
    io::{BufReader, Read, Write},
    process::{Command, Stdio},
};

use agent_world::frames::{
    Outcome, ToolError,
    validate::{Options, Side, check},
};
use serde_json::{Value, json};

use crate::support::{program, schemas};

const PING: &str = r#"{"id":"1","type":"ping"}"#;
const PONG: &str = r#"{"id":"019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12","type":"pong","timestamp":"2026-01-15T10:00:00.000Z","replyTo":"1","payload":{}}"#;

fn options() -> Options {
    Options { file: "-".into(), direction: Side::Auto, strict: false, invalid: false, summary: false, json: true }
}

fn run(options: &Options, input: &str) -> (Result<Outcome, ToolError>, String) {
    let mut out = Vec::new();
    let outcome = check(options, input.as_bytes(), &mut out);
    (outcome, String::from_utf8(out).expect("UTF-8"))
}

/// The verdict on one line.
fn verdict(options: &Options, line: &str) -> Value {
    let (outcome, text) = run(options, line);
    let verdict: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {text}"));
    assert_eq!(verdict["valid"] == true, matches!(outcome, Ok(Outcome::Well)), "{line}: {text}");
    verdict
}

fn recorded(direction: &str, frame: &str) -> String {
    format!(r#"{{"at":"2026-01-15T10:00:00.000Z","direction":"{direction}","frame":{frame}}}"#)
}

#[test]
fn every_violation_is_named_with_its_place() {
    let start = r#"{"id":"019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12","type":"chat_response","timestamp":"2026-01-15T10:00:00.000Z","payload":{"worldName":"w","agentName":"a","messageId":"019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b13","inReplyTo":"019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b14","rootId":"019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b14","content":"","offset":0,"complete":false}}"#;
    let unknown_field = PONG.replace(r#""payload":{}"#, r#""payload":{"new":1},"more":2"#);
    let cases: &[(String, &str, &[(&str, &str)])] = &[
        (PING.to_owned(), "client ping", &[]),
        (PONG.to_owned(), "server pong", &[]),
        (recorded("client", PING), "client ping", &[]),
        (recorded("server", PONG), "server pong", &[]),
        (unknown_field, "server pong", &[]),
        (r#"{"type":"ping","extra":1}"#.to_owned(), "client ping", &[("", "required"), ("", "additionalProperties")]),
        (r#"{"id":"1","id":"2","type":"ping"}"#.to_owned(), "client ping", &[("", "duplicateKey")]),
        (recorded("client", PONG), "client ", &[("/type", "enum"), ("", "additionalProperties")]),
        (recorded("server", PING), "server ", &[("/type", "enum")]),
        (PONG.replace("2026-01-15T10:00:00.000Z", "yesterday"), "server pong", &[("/timestamp", "format")]),
        (PONG.replace("00.000Z", "00Z"), "server pong", &[("/timestamp", "format")]),
        // An id is written in one way; capital letters are its schema's business.
        (
            PONG.replace("019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", "019bc0d17a127c3e9f213a5d8c6e1b12"),
            "server pong",
            &[("/id", "format")],
        ),
        (PONG.replace("019bc0d1-", "urn:uuid:019bc0d1-"), "server pong", &[("/id", "format")]),
        (PONG.replace("019bc0d1", "019BC0D1"), "server pong", &[]),
        (
            PONG.replace("pong", "status").replace("{}", r#"{"type":"new"}"#),
            "server status",
            &[("/payload/type", "enum")],
        ),
        // A start without `seq`: no schema sees that.
        (start.to_owned(), "server chat_response", &[("/seq", "coherence")]),
        (start.replace(r#""offset":0"#, r#""offset":0,"new":true"#), "server chat_response", &[("/seq", "coherence")]),
        (r#"{"type":"nonsense"}"#.to_owned(), " ", &[("/type", "enum")]),
        ("{".to_owned(), " ", &[("", "syntax")]),
        (recorded("sideways", PING), " ", &[("/direction", "enum")]),
        (r#"{"at":"2026-01-15T10:00:00.000Z","direction":"client"}"#.to_owned(), " ", &[("", "oneOf")]),
        (
            r#"{"at":"2026-01-15T10:00:00.000Z","direction":"client","text":"hello"}"#.to_owned(),
            "client ",
            &[("", "syntax")],
        ),
    ];
    for (line, name, expected) in cases {
        let verdict = verdict(&options(), line);
        let found = |field: &str| verdict[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(format!("{} {}", found("direction"), found("type")), *name, "{line}");
        let errors = verdict["errors"].as_array().cloned().unwrap_or_default();
        for (pointer, keyword) in *expected {
            let is_it = |error: &Value| error["pointer"] == *pointer && error["keyword"] == *keyword;
            assert!(errors.iter().any(is_it), "{line}: {verdict}");
        }
        assert_eq!(errors.is_empty(), expected.is_empty(), "{line}: {verdict}");
    }
}

#[test]
fn strict_refuses_what_a_client_must_ignore() {
    let more = PONG.replace(r#""payload":{}"#, r#""payload":{"new":1},"more":2"#);
    assert_eq!(verdict(&options(), &more)["valid"], true);
    let strict = verdict(&Options { strict: true, ..options() }, &more);
    let errors = strict["errors"].as_array().expect("errors");
    let pointers: std::collections::BTreeSet<_> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(pointers, ["", "/payload"].into(), "{strict}");
}

#[test]
fn every_example_of_the_schemas_is_valid() {
    let mut lines = String::new();
    let mut expected = 0;
    for (path, file) in schemas().files() {
        let Some((side, name)) = path.strip_suffix(".json").and_then(|path| path.split_once('/')) else { continue };
        if !["client", "server"].contains(&side) {
            continue;
        }
        for payload in file["examples"].as_array().into_iter().flatten() {
            let mut frame = json!({"id": "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", "type": name, "payload": payload});
            if side == "server" {
                frame["timestamp"] = json!("2026-01-15T10:00:00.000Z");
                // An event says again what its frame says.
                for field in ["id", "timestamp"].iter().filter(|_| name == "event_stream") {
                    frame[field] = payload["event"][field].clone();
                }
                let whole = payload["complete"] == true || payload["content"] == "" || name == "event_stream";
                if file["x-durable"] == true && whole {
                    frame["seq"] = json!(7);
                }
            }
            lines += &format!("{frame}\n");
            expected += 1;
        }
    }
    assert!(expected >= 40, "{expected}");
    let (outcome, text) = run(&Options { summary: true, strict: true, ..options() }, &lines);
    let summary: Value = serde_json::from_str(&text).expect("one summary");
    assert!(matches!(outcome, Ok(Outcome::Well)), "{text}");
    assert_eq!((&summary["frames"], &summary["invalid"]), (&json!(expected), &json!(0)));
    assert_eq!(summary["types"].as_object().map(serde_json::Map::len), Some(17), "{summary}");
}

#[test]
fn the_exit_code_says_what_was_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let cases = [
        (file("well", format!("{PING}\n\n{PONG}\n").as_bytes()), 0, "2 frames: 2 valid, 0 invalid"),
        (file("ill", format!("{PING}\n{{\"type\":\"ping\"}}\n").as_bytes()), 1, "     2  INVALID  client ping"),
        (file("bytes", &[0xff, 0xfe, b'\n']), 1, "is not UTF-8"),
        (file("empty", b"\n"), 2, "holds no frame"),
        ("no-such-file".to_owned(), 2, "failed to read no-such-file"),
    ];
    for (path, code, words) in cases {
        let output = program().args(["validate", &path]).output().expect("the program runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{path}: {said}");
        assert!(said.contains(words), "{path}: {said}");
    }
}

#[test]
fn an_endless_line_is_passed_over() {
    let long = format!("{PING}\n{}\n{PING}\n", "x".repeat(9 << 20));
    let (outcome, text) = run(&options(), &long);
    let verdicts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a verdict")).collect();
    assert!(matches!(outcome, Ok(Outcome::Ill)));
    let valid: Vec<_> = verdicts.iter().map(|verdict| (verdict["line"].as_u64(), verdict["valid"] == true)).collect();
    assert_eq!(valid, [(Some(1), true), (Some(2), false), (Some(3), true)]);
}

/// The most memory that a process ever had, in KiB.
#[cfg(target_os = "linux")]
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_lines_take_no_more_memory_than_a_thousand() {
    let child = Command::new(env!("CARGO_BIN_EXE_agent-world"))
        .args(["validate", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    // Its verdicts are counted as they come, so that it never waits for its reader.
    let counting = std::thread::spawn(move || {
        let (mut valid, mut invalid) = (0, 0);
        for line in std::io::BufRead::lines(output) {
            match line.expect("UTF-8").contains(r#""valid":true"#) {
                true => valid += 1,
                false => invalid += 1,
            }
        }
        (valid, invalid)
    });
    let block: String = (0..1_000)
        .map(|index| match index % 100 {
            0 => "{\"type\":\"ping\"}\n".to_owned(),
            index if index % 2 == 0 => format!("{PING}\n"),
            _ => format!("{}\n", recorded("server", PONG)),
        })
        .collect();
    let pid = child.id();
    input.write_all(block.as_bytes()).expect("it reads");
    let early = peak(pid);
    for _ in 0..99 {
        input.write_all(block.as_bytes()).expect("it reads");
    }
    let late = peak(pid);
    drop(input);
    assert_eq!(counting.join().expect("no panic"), (99_000, 1_000));
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(late < early + 8 * 1_024, "{early} KiB after a thousand lines, {late} KiB after a hundred thousand");
}

#[test]
fn help_says_how() {
    let mut help = String::new();
    let mut child = program().args(["validate", "--help"]).spawn().expect("the program starts");
    child.stdout.take().expect("a pipe").read_to_string(&mut help).expect("UTF-8");
    child.wait().expect("it ends");
    for words in ["--direction", "--strict", "--summary", "Exit code"] {
        assert!(help.contains(words), "{help}");
    }
}
