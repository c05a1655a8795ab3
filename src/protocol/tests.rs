//! What a client is told about a frame that is refused, and how frames are read and written.

use super::*;

/// The violations of `text` as `pointer keyword limit`, sorted: their order means nothing.
fn violations(text: &str) -> Vec<String> {
    let rejection = decode_client(text).expect_err("it is refused");
    let line = |violation: &Violation| {
        format!("{} {} {}", violation.pointer, violation.keyword, violation.limit.as_deref().unwrap_or("-"))
    };
    let mut lines: Vec<String> = rejection.violations().iter().map(line).collect();
    lines.sort();
    lines
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(violations(text), expected, "{text}");
}

#[test]
fn refusals_name_every_place() {
    check("", &[" syntax -"]);
    check("{", &[" syntax -"]);
    check(r#"{"id":"1","type":"ping"} x"#, &[" syntax -"]);
    check("[]", &[" type object"]);
    check("null", &[" type object"]);
    check(&"[".repeat(40), &[" depth 32"]);
    check("{}", &[" required id", " required type"]);
    check(r#"{"id":"","type":"ping"}"#, &["/id minLength 1"]);
    check(r#"{"id":"1","type":7}"#, &["/type enum -"]);
    check(r#"{"type":"chat_send","payload":{}}"#, &[" required id", "/payload required content"]);
    check(r#"{"id":"1","type":"chat_send"}"#, &[" required payload"]);
    check(r#"{"id":"1","type":"ping","payload":null}"#, &["/payload type object"]);
    check(r#"{"id":"1","type":"ping","idempotencyKey":"k"}"#, &[" additionalProperties -"]);
    check(r#"{"id":"1","id":"1","type":"ping"}"#, &[" duplicateKey -"]);
    check(r#"{"id":"1","type":"chat_send","payload":{"content":"a","content":"b"}}"#, &["/payload duplicateKey -"]);
    check(
        r#"{"payload":{"content":"","sender":"!","contnet":1,"worldName":null},"type":"chat_send","id":"1"}"#,
        &[
            "/payload additionalProperties -",
            "/payload/content minLength 1",
            "/payload/sender pattern ^[A-Za-z][A-Za-z0-9_-]{0,63}$",
            "/payload/worldName type string",
        ],
    );
    check(
        r#"{"id":"1","type":"agent_update","payload":{"agentName":"a","config":{"temperature":3,"maxTokens":1.5}}}"#,
        &["/payload/config/maxTokens type integer", "/payload/config/temperature maximum 2"],
    );
}

#[test]
fn an_unknown_type_names_the_known_ones() {
    let rejection = decode_client(r#"{"id":"7","type":"chat","payload":{}}"#).expect_err("it is refused");
    assert_eq!(rejection.id.as_deref(), Some("7"));
    assert!(rejection.known.contains(&"chat_send") && rejection.known.len() == ClientMessageType::ALL.len());
    assert_eq!(rejection.violations()[0].pointer, "/type");
}

#[test]
fn the_id_is_kept_whenever_it_can_be_read() {
    for (text, id) in [
        (r#"{"type":"chat_send","payload":{},"id":"a"}"#, Some("a")),
        (r#"{"id":"a","type":"ping","payload":{"x":1}}"#, Some("a")),
        (r#"{"id":7,"type":"ping"}"#, None),
        (r#"{"id":"a","type":"ping""#, None),
    ] {
        assert_eq!(decode_client(text).expect_err("it is refused").id.as_deref(), id, "{text}");
    }
}

#[test]
fn no_refusal_repeats_what_was_sent() {
    let secret = "hunter2";
    for text in [
        format!(r#"{{"id":"1","type":"{secret}","payload":{{}}}}"#),
        format!(r#"{{"id":"1","type":"ping","{secret}":1,"payload":"{secret}"}}"#),
        format!(
            r#"{{"id":"1","type":"agent_update","payload":{{"agentName":"{secret} ","config":{{"apiKey":"{secret} ","{secret}":1}}}}}}"#
        ),
        format!(r#"{{"id":"1","type":"ping",{secret}}}"#),
    ] {
        let rejection = decode_client(&text).expect_err("it is refused");
        for violation in rejection.violations() {
            assert!(!format!("{violation:?}").contains(secret), "{violation:?}");
        }
    }
}

#[test]
fn secrets_are_not_printed() {
    let text = r#"{"id":"1","type":"agent_update","payload":{"agentName":"a","config":{"apiKey":"hunter2"}}}"#;
    let frame = decode_client(text).expect("it is valid");
    let printed = format!("{frame:?} {frame:#?}");
    assert!(printed.contains("***") && !printed.contains("hunter2"), "{printed}");
    assert!(String::from_utf8_lossy(&codec::json(&frame)).contains("hunter2"), "it is written to the wire");
}

#[test]
fn violations_are_bounded() {
    let fields: Vec<String> = (0..100).map(|at| format!("\"x{at}\":1,\"x{at}\":1")).collect();
    let text = format!(r#"{{"id":"1","type":"ping",{}}}"#, fields.join(","));
    let rejection = decode_client(&text).expect_err("it is refused");
    assert_eq!(rejection.violations().len(), MAX_VIOLATIONS);
    assert!(rejection.truncated);
}

#[test]
fn a_frame_is_read_whatever_comes_first() {
    let frames = [
        r#"{"id":"1","type":"chat_send","payload":{"content":"hi"}}"#,
        r#"{"payload":{"content":"hi"},"type":"chat_send","id":"1"}"#,
        "\n{ \"payload\" : {\"\\u0063ontent\":\"\\u0068i\"} , \"id\":\"1\", \"ty\\u0070e\":\"chat\\u005fsend\"}\t",
    ];
    for text in frames {
        let frame = decode_client(text).expect("it is valid");
        let ClientMessage::ChatSend(payload) = frame.message else { panic!("{text} is a chat_send") };
        assert_eq!(payload.content, "hi");
        assert_eq!(payload.sender, "HUMAN");
    }
    let ping = decode_client(r#"{"id":"1","type":"ping"}"#).expect("a ping needs no payload");
    assert_eq!(ping.message, ClientMessage::from(Ping {}));
}

#[test]
fn patches_tell_null_from_absent() {
    let text =
        r#"{"id":"1","type":"agent_update","payload":{"agentName":"a","config":{"model":null,"maxTokens":1e3}}}"#;
    let frame = decode_client(text).expect("it is valid");
    let ClientMessage::AgentUpdate(update) = frame.message else { panic!("an agent_update") };
    assert_eq!(update.config.model, Patch::Null);
    assert_eq!(update.config.max_tokens, Patch::Value(MaxTokens::saturating(1000)));
    assert_eq!(update.config.api_key, Patch::Absent);
}

#[test]
fn a_server_frame_is_written_with_its_tags() {
    let frame = ServerFrame {
        id: uuid::Uuid::from_u128(7),
        timestamp: Timestamp::from_ms(0),
        reply_to: None,
        seq: None,
        message: Status::from(StatusUnsubscribed { message: "done".to_owned(), data: Unsubscribed {} }).into(),
    };
    let expected = r#"{"id":"00000000-0000-0000-0000-000000000007","type":"status","timestamp":"1970-01-01T00:00:00.000Z","payload":{"type":"unsubscribed","message":"done","data":{}}}"#;
    assert_eq!(encode(&frame), expected);
    assert_eq!(decode_server(expected), Ok(frame.clone()));
    // The tag may stand anywhere.
    let moved = expected.replace(
        r#""type":"unsubscribed","message":"done","data":{}"#,
        r#""data":{},"message":"done","type":"unsubscribed""#,
    );
    assert_eq!(decode_server(&moved), Ok(frame));
}

#[test]
fn a_server_frame_does_not_contradict_itself() {
    let id = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";
    let check = |kind: &str, seq: &str, payload: String| {
        let text = format!(
            r#"{{"id":"{id}","type":"{kind}","timestamp":"2026-01-15T10:00:00.000Z",{seq}"payload":{payload}}}"#
        );
        decode_server(&text).map(drop).map_err(|rejection| rejection.violations()[0].pointer.clone())
    };
    let reply = |fields: &str| {
        format!(r#"{{"worldName":"w","agentName":"a","messageId":"{id}","inReplyTo":"{id}","rootId":"{id}",{fields}}}"#)
    };
    let error = r#""error":{"code":"PROVIDER_ERROR","message":"m","retryable":true}"#;
    let (seq, none) = (r#""seq":7,"#, "");
    let refused = |pointer: &str| Err(pointer.to_owned());
    for (seq, fields, expected) in [
        (seq, r#""content":"","offset":0,"complete":false"#, Ok(())),
        (none, r#""content":"a","offset":0,"complete":false"#, Ok(())),
        (none, r#""content":"a","offset":3,"complete":false"#, Ok(())),
        (seq, r#""content":"a","offset":0,"complete":true,"finishReason":"stop""#, Ok(())),
        (seq, &format!(r#""content":"","offset":0,"complete":true,"finishReason":"error",{error}"#), Ok(())),
        (none, r#""content":"","offset":0,"complete":false"#, refused("/seq")),
        (seq, r#""content":"a","offset":0,"complete":false"#, refused("/seq")),
        (none, r#""content":"a","offset":0,"complete":true,"finishReason":"stop""#, refused("/seq")),
        (seq, r#""content":"","offset":1,"complete":false"#, refused("/payload/offset")),
        (seq, r#""content":"a","offset":1,"complete":true,"finishReason":"stop""#, refused("/payload/offset")),
        (seq, r#""content":"a","offset":0,"complete":true"#, refused("/payload/finishReason")),
        (none, r#""content":"a","offset":0,"complete":false,"finishReason":"stop""#, refused("/payload/finishReason")),
        (seq, r#""content":"a","offset":0,"complete":true,"finishReason":"error""#, refused("/payload/error")),
        (
            seq,
            &format!(r#""content":"a","offset":0,"complete":true,"finishReason":"stop",{error}"#),
            refused("/payload/error"),
        ),
        (
            none,
            r#""content":"a","offset":0,"complete":false,"usage":{"inputTokens":1,"outputTokens":1}"#,
            refused("/payload/usage"),
        ),
    ] {
        assert_eq!(check("chat_response", seq, reply(fields)), expected, "{seq} {fields}");
    }
    let event = format!(
        r#"{{"worldName":"w","eventType":"world","event":{{"id":"{id}","type":"world","timestamp":"2026-01-15T10:00:00.000Z","sender":"world","senderType":"world","payload":{{"action":"world-reload"}}}}}}"#
    );
    assert_eq!(check("event_stream", seq, event.clone()), Ok(()));
    assert_eq!(check("event_stream", none, event.clone()), refused("/seq"));
    assert_eq!(check("event_stream", r#""seq":7,"replyTo":"1","#, event.clone()), refused("/replyTo"));
    // It says again what its frame says.
    for (from, to, pointer) in [
        ("1b12", "1b13", "/payload/event/id"),
        ("00.000Z", "00.001Z", "/payload/event/timestamp"),
        (r#""eventType":"world""#, r#""eventType":"message""#, "/payload/eventType"),
        (r#""sender":"world""#, r#""sender":"system""#, "/payload/event/sender"),
    ] {
        assert!(event.contains(from), "{from}");
        assert_eq!(check("event_stream", seq, event.replace(from, to)), refused(pointer));
    }
    // Not every message can be durable.
    assert_eq!(check("pong", none, "{}".to_owned()), Ok(()));
    assert_eq!(check("pong", seq, "{}".to_owned()), refused(""));
}

#[test]
fn published_schemas_are_open_where_only_the_server_speaks() {
    let schema = |path: &str| schemas::SCHEMAS.iter().find(|(other, _)| *other == path).expect("it is published").1;
    assert!(schema("client/chat_send.json").contains("\"additionalProperties\": false"));
    assert!(!schema("server/chat_response.json").contains("additionalProperties"));
    assert!(schemas::SCHEMAS.iter().all(|(_, text)| !text.contains("\"x-")));
}
