//! What a request is refused with before its handler runs.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::{find, inputs::Inputs};
use crate::protocol::{
    AgentDefinition, AgentName, Body, ChatBody, ChatUntil, Cursor, IdempotencyKey, PageLimit, WorldName, decode_body,
};

fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

/// `pointer keyword` of everything that is wrong with a read of events.
fn events(path: &str, query: &str, given: &[(&'static str, &'static str)]) -> Vec<String> {
    let (found, headers) = (find("GET", path).expect("a route"), headers(given));
    let mut inputs = Inputs::new(&found, Some(query), &headers);
    let _: Option<WorldName> = inputs.path("worldName");
    let limit: Option<PageLimit> = inputs.query_or("limit", || PageLimit::saturating(50));
    let _: Option<Option<AgentName>> = inputs.query("agent");
    let _: Option<Option<Cursor>> = inputs.header("Last-Event-ID");
    let Err(failure) = inputs.finish() else {
        assert!(limit.is_some(), "a default fills in");
        return Vec::new();
    };
    let info: crate::protocol::ErrorInfo = failure.into();
    let violations = info.details.and_then(|details| details.errors).expect("violations");
    violations.iter().map(|violation| format!("{} {}", violation.pointer, violation.keyword)).collect()
}

#[test]
fn every_input_is_checked() {
    let cursor = "k3v9x2m7q4w8z1ab:7";
    for (path, query, given, expected) in [
        ("/worlds/w/events", "", &[][..], &[][..]),
        ("/worlds/w%20x/events", "limit=500&agent=a", &[("last-event-id", cursor)], &[]),
        ("/worlds/-/events", "limit=0", &[], &["/path/worldName pattern", "/query/limit minimum"]),
        ("/worlds/w/events", "limit=501", &[], &["/query/limit maximum"]),
        ("/worlds/w/events", "limit=%2B5", &[], &["/query/limit type"]),
        ("/worlds/w/events", "limit=05", &[], &["/query/limit type"]),
        ("/worlds/w/events", "limit=5.0", &[], &["/query/limit type"]),
        ("/worlds/w/events", "limit=", &[], &["/query/limit type"]),
        ("/worlds/w/events", "limt=5", &[], &["/query additionalProperties"]),
        ("/worlds/w/events", "limit=5&limit=5", &[], &["/query/limit duplicateKey"]),
        ("/worlds/w/events", "agent=a+b", &[], &["/query/agent pattern"]),
        ("/worlds/w/events", "", &[("last-event-id", "x")], &["/header/Last-Event-ID pattern"]),
        (
            "/worlds/w/events",
            "",
            &[("last-event-id", cursor), ("last-event-id", cursor)],
            &["/header/Last-Event-ID duplicateKey"],
        ),
    ] {
        assert_eq!(events(path, query, given), expected, "{path}?{query}");
    }
}

#[test]
fn parameters_and_bodies_are_their_definitions() {
    assert!("settled".parse::<ChatUntil>().is_ok() && "Settled".parse::<ChatUntil>().is_err());
    assert!("a b".parse::<IdempotencyKey>().is_err());
    fn pointers<T: Body>(body: &'static str) -> Vec<String> {
        let rejection = decode_body::<T>(&Bytes::from_static(body.as_bytes())).err().expect("it is refused");
        rejection.violations().iter().map(|violation| violation.pointer.clone()).collect()
    }
    assert_eq!(pointers::<ChatBody>(r#"{"message":"","sender":7}"#), ["/message", "/sender"]);
    assert_eq!(pointers::<AgentDefinition>(r#"{"name":"a","config":{"maxTokens":0}}"#), ["/config/maxTokens"]);
    // The wording of bodies: every limit is found in the schema, through all `$ref`s.
    let rejection = decode_body::<ChatBody>(br#"{"messag":"hi","message":""}"#).expect_err("it is refused");
    let mut sentences: Vec<_> = rejection.violations().iter().map(|violation| violation.message.as_str()).collect();
    sentences.sort_unstable();
    let [unknown, short] = sentences[..] else { panic!("{sentences:?}") };
    assert!(unknown.starts_with("holds a field that does not exist here; known are "), "{unknown}");
    assert_eq!(short, "must have at least 1 character");
    assert_eq!(pointers::<AgentDefinition>(""), [""]);
}
