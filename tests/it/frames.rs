//! What is no frame: each gets one error, and the connection lives.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{TestServer, schemas};

/// A frame, and the pointer and keyword of a violation that must be named, and the `replyTo`.
fn malformed() -> Vec<(String, &'static str, &'static str, Option<&'static str>)> {
    let deep = format!(
        r#"{{"id":"d","type":"ping","payload":{}{}}}"#,
        r#"{"a":"#.repeat(40),
        "1".to_owned() + &"}".repeat(40)
    );
    let select = |payload: &str| format!(r#"{{"id":"s","type":"world_select","payload":{payload}}}"#);
    vec![
        ("".into(), "", "syntax", None),
        ("no json".into(), "", "syntax", None),
        (r#"{"id":"1","type":"ping""#.into(), "", "syntax", None),
        (r#"{"id":"1","type":"ping"} {}"#.into(), "", "syntax", None),
        ("[]".into(), "", "type", None),
        (r#"[{"id":"1","type":"ping"}]"#.into(), "", "type", None),
        ("null".into(), "", "type", None),
        ("17".into(), "", "type", None),
        ("{}".into(), "", "required", None),
        (r#"{"type":"ping"}"#.into(), "", "required", None),
        (r#"{"id":"1"}"#.into(), "", "required", Some("1")),
        (r#"{"id":1,"type":"ping"}"#.into(), "/id", "type", None),
        (r#"{"id":"","type":"ping"}"#.into(), "/id", "minLength", None),
        (format!(r#"{{"id":"{}","type":"ping"}}"#, "x".repeat(129)), "/id", "maxLength", None),
        (r#"{"id":"1","type":null}"#.into(), "/type", "enum", Some("1")),
        (r#"{"id":"1","type":"ping","payload":null}"#.into(), "/payload", "type", Some("1")),
        (r#"{"id":"1","type":"ping","payload":[]}"#.into(), "/payload", "type", Some("1")),
        (r#"{"id":"1","type":"ping","payload":{"x":1}}"#.into(), "/payload", "additionalProperties", Some("1")),
        (r#"{"id":"1","type":"ping","extra":1}"#.into(), "", "additionalProperties", Some("1")),
        (r#"{"id":"1","type":"ping","timestamp":5}"#.into(), "/timestamp", "type", Some("1")),
        (r#"{"id":"1","type":"ping","idempotencyKey":"k"}"#.into(), "", "additionalProperties", Some("1")),
        (r#"{"id":"1","id":"2","type":"ping"}"#.into(), "", "duplicateKey", Some("2")),
        (r#"{"id":"1","type":"chat_send"}"#.into(), "", "required", Some("1")),
        (r#"{"id":"1","type":"chat_send","payload":{}}"#.into(), "/payload", "required", Some("1")),
        (
            r#"{"id":"1","type":"chat_send","payload":{"content":""}}"#.into(),
            "/payload/content",
            "minLength",
            Some("1"),
        ),
        (
            r#"{"id":"1","type":"chat_send","payload":{"content":"a","content":"b"}}"#.into(),
            "/payload",
            "duplicateKey",
            Some("1"),
        ),
        (
            r#"{"id":"1","type":"chat_send","payload":{"content":"a","displayName":null}}"#.into(),
            "/payload/displayName",
            "type",
            Some("1"),
        ),
        (
            r#"{"id":"1","type":"chat_send","idempotencyKey":"a b","payload":{"content":"a"}}"#.into(),
            "/idempotencyKey",
            "pattern",
            Some("1"),
        ),
        (
            r#"{"id":"1","type":"chat_send","payload":{"content":"a","contnet":"b"}}"#.into(),
            "/payload",
            "additionalProperties",
            Some("1"),
        ),
        (select(r#"{"templateName":"stage","worldName":"../../../x"}"#), "/payload/worldName", "pattern", Some("s")),
        (select(r#"{"templateName":"../etc","worldName":"x"}"#), "/payload/templateName", "pattern", Some("s")),
        (select(r#"{"templateName":"stage","worldName":"a/b"}"#), "/payload/worldName", "pattern", Some("s")),
        (select(r#"{"templateName":"stage","worldName":" a"}"#), "/payload/worldName", "pattern", Some("s")),
        (select(r#"{"templateName":"stage","worldName":"a "}"#), "/payload/worldName", "pattern", Some("s")),
        (select(r#"{"templateName":"stage","worldName":"."}"#), "/payload/worldName", "pattern", Some("s")),
        (select(r#"{"templateName":"stage","worldName":"welt\u0000"}"#), "/payload/worldName", "pattern", Some("s")),
        (
            select(r#"{"templateName":"stage","worldName":"w","persistent":"yes"}"#),
            "/payload/persistent",
            "type",
            Some("s"),
        ),
        (select(r#"{"templateName":"stage","worldName":"w","after":"abc:1"}"#), "/payload/after", "pattern", Some("s")),
        (
            r#"{"id":"1","type":"event_subscribe","payload":{"eventTypes":["message","message"]}}"#.into(),
            "/payload/eventTypes",
            "uniqueItems",
            Some("1"),
        ),
        (
            r#"{"id":"1","type":"event_subscribe","payload":{"agentFilter":[]}}"#.into(),
            "/payload/agentFilter",
            "minItems",
            Some("1"),
        ),
        (deep, "", "depth", None),
    ]
}

#[tokio::test]
async fn malformed_frames_get_one_error_each_and_the_connection_lives() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let cases = malformed();
    assert!(cases.len() >= 40);
    for (text, pointer, keyword, reply_to) in cases {
        let answer = client.refused(text.as_str()).await;
        let errors = answer.payload()["details"]["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let named = errors.iter().any(|error| error["pointer"] == pointer && error["keyword"] == keyword);
        assert!(named, "{text}\nlacks {pointer:?} {keyword}: {}", answer.text);
        assert_eq!(answer.json.get("replyTo").and_then(Value::as_str), reply_to, "{text}\n{}", answer.text);
        assert_eq!(answer.payload()["retryable"], false);
        assert!(client.drain().await.is_empty(), "one error each: {text}");
    }
    assert_eq!(agent_world::protocol::codec::disagreements(), 0);
}

/// The counter-examples of the schema, over the wire.
#[tokio::test]
async fn every_counter_example_is_refused_where_it_says() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut seen = 0;
    for kind in schemas().client_types() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/client/{kind}.invalid.json"));
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for case in cases {
            let frame = json!({"id": "x", "type": kind, "payload": case["payload"]});
            let answer = client.refused(frame.to_string()).await;
            let pointer = format!("/payload{}", case["pointer"].as_str().unwrap());
            let errors = answer.payload()["details"]["errors"].as_array().unwrap();
            let at = errors.iter().any(|e| e["pointer"].as_str().unwrap().starts_with(&pointer));
            assert!(at, "{kind}: {case}\n{}", answer.text);
            assert_eq!(answer.json["replyTo"], "x");
            seen += 1;
        }
    }
    assert!(seen >= 100, "{seen}");
}

#[tokio::test]
async fn an_unknown_type_names_the_known_ones() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for kind in ["chat", "PING", "world_selected", ""] {
        let answer = client.refused(json!({"id": "u", "type": kind, "payload": {}}).to_string()).await;
        assert_eq!(answer.json["replyTo"], "u");
        let known: Vec<&str> =
            answer.payload()["details"]["known"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
        let mut expected = schemas().client_types();
        expected.sort_unstable();
        let mut sorted = known.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
    }
}

#[tokio::test]
async fn more_than_32_violations_are_cut_short() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (count, truncated) in [(32, false), (33, true), (60, true)] {
        let filter: Vec<Value> = (0..count).map(Value::from).collect();
        let frame = json!({"id": "v", "type": "event_subscribe", "payload": {"agentFilter": filter}});
        let answer = client.refused(frame.to_string()).await;
        let details = &answer.payload()["details"];
        let named = details["errors"].as_array().unwrap().len();
        assert!(named <= 32, "{named}");
        if count <= 60 {
            assert_eq!(named, 32);
        }
        assert_eq!(details["truncated"] == true, truncated, "{count}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_violation_never_repeats_what_was_sent() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for text in [
        json!({"id": "v", "type": "chat_send", "payload": {"content": 1, "hush-hush": "s3cret-text"}}).to_string(),
        json!({"id": "v", "type": "world_select", "payload": {"templateName": "s3cret text!", "worldName": "w"}})
            .to_string(),
        r#"{"id":"v","type":"agent_update","payload":{"agentName":"a1","config":{"apiKey":"s3cret text"}}}"#.to_owned(),
        r#"{"id":"v","type":"ping", s3cret"#.to_owned(),
    ] {
        let answer = client.refused(text).await;
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_binary_frame_is_refused_and_the_connection_lives() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send_message(Message::binary(br#"{"id":"1","type":"ping"}"#.to_vec())).await;
    let answer = client.next().await;
    assert_eq!(answer.payload()["code"], "INVALID_MESSAGE");
    assert!(client.drain().await.is_empty());
}

#[tokio::test]
async fn the_largest_frame_is_read_and_one_byte_more_closes_1009() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let frame = |bytes: usize| {
        let empty = r#"{"id":"1","type":"ping","payload":{}}"#;
        format!("{empty}{}", " ".repeat(bytes - empty.len()))
    };
    client.send_raw(frame(64 * 1024)).await;
    assert_eq!(client.next().await.kind(), "pong");
    client.send_raw(frame(64 * 1024 + 1)).await;
    assert_eq!(client.closed().await.0, Some(1009));
}

#[tokio::test]
async fn bad_utf_8_closes_1007_and_a_broken_frame_1002() {
    let server = TestServer::start().await;
    let text = OpCode::Data(Data::Text);
    for (frame, code) in [
        (Frame::message(vec![b'"', 0xff, b'"'], text, true), 1007),
        (Frame::message(vec![b'x'], OpCode::Data(Data::Continue), true), 1002),
    ] {
        let mut client = server.client().await;
        client.send_message(Message::Frame(frame)).await;
        assert_eq!(client.closed().await.0, Some(code));
    }
}

#[tokio::test]
async fn a_frame_may_come_in_fragments_and_with_a_ping_between() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (head, tail) = (br#"{"id":"1","#.to_vec(), br#""type":"ping"}"#.to_vec());
    client.send_message(Message::Frame(Frame::message(head, OpCode::Data(Data::Text), false))).await;
    client.send_message(Message::Ping("x".into())).await;
    client.send_message(Message::Frame(Frame::message(tail, OpCode::Data(Data::Continue), true))).await;
    assert_eq!(client.next().await.kind(), "pong");
}
