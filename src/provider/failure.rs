//! What went wrong with a remote model, in words for the client and for the log.
//!
//! Error texts of the libraries hold addresses, request bodies and answers. Nothing of them is
//! passed on as a whole: what is known is picked out, and the rest is left behind.

use super::{ProviderError, ProviderKind, Secret, wire::Trouble};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use std::{error::Error, time::Duration};

/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The most that is quoted of a provider's own words, in characters.
const MAX_QUOTE: usize = 300;

/// An answer with a status that is no success.
pub(super) struct Answer<'a> {
    pub status: StatusCode,
    /// As much of it as was read.
    pub body: &'a [u8],
    pub headers: &'a HeaderMap,
}

/// Describes an answer that is not the next piece of a reply; `key` is what must not be quoted.
pub(super) fn trouble(trouble: Trouble, key: Option<&Secret>) -> ProviderError {
    match trouble {
        Trouble::Garbled(what) => ProviderError::passing("the model's answer could not be read", what),
        Trouble::Reported(said) => {
            let words = words(&said, key).map(|words| format!(": {words}")).unwrap_or_default();
            let message = format!("the provider failed while it answered{words}");
            ProviderError::passing(message, "error event in the stream")
        }
        Trouble::Withheld(reason) => {
            let reason = clean(&reason, key).map(|reason| format!(" ({reason})")).unwrap_or_default();
            ProviderError::lasting(
                format!("the provider withheld the reply: its content filter was triggered{reason}"),
                "stop reason: content filter",
            )
        }
    }
}

/// A success without anything that a model says. What `streams` may have been cut off before its
/// first event; everything else comes from a server that is no model's.
pub(super) fn no_reply(streams: bool, beginning: &[u8], key: Option<&Secret>) -> ProviderError {
    let words = quote(beginning, key);
    if streams && words.is_none() {
        return ProviderError::cut();
    }
    let words = words.map(|words| format!(" It said: {words}")).unwrap_or_default();
    ProviderError::lasting(
        format!("the address answered, but not with a reply: is it a model's API (baseUrl)?{words}"),
        "success without a reply",
    )
}

/// The provider answered with a status that is no success.
pub(super) fn answered(answer: &Answer<'_>, kind: ProviderKind, key: Option<&Secret>) -> ProviderError {
    let Answer { status, body, headers } = *answer;
    let retry_after = retry_after(headers);
    let said = || quote(body, key).map(|words| format!(": {words}")).unwrap_or_default();
    let (message, retryable) = match status.as_u16() {
        // What these say may repeat the key.
        401 | 403 => (format!("the provider refused the key ({status}): check the apiKey of {kind}"), false),
        404 => (format!("the provider knows no such model or address ({status}){}", said()), false),
        408 | 409 | 425 => (format!("the provider could not answer now ({status})"), true),
        429 => ("the provider asks to be called less often, or the account's quota is used up (429)".to_owned(), true),
        300..=399 => (format!("the provider redirects to another address ({status}), which is not followed"), false),
        500..=599 => (format!("the provider failed ({status})"), true),
        _ => (format!("the provider refused the request ({status}){}", said()), false),
    };
    let cause = format!("http status {}", status.as_u16());
    ProviderError { retryable, retry_after, ..ProviderError::lasting(message, cause) }
}

/// No answer, or the end of one before it was whole.
pub(super) fn unreachable_model(error: reqwest::Error) -> ProviderError {
    let error = error.without_url();
    let message = if error.is_timeout() {
        "the model did not answer in time"
    } else if error.is_connect() {
        "the model cannot be reached"
    } else if error.is_body() || error.is_decode() {
        return ProviderError { cause: chain(&error), ..ProviderError::cut() };
    } else {
        "the connection to the model failed"
    };
    ProviderError::passing(message, chain(&error))
}

/// An error and what caused it: of the transport only, which knows neither prompt nor key.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `retry-after-ms`, or `Retry-After` (RFC 9110 §10.2.3) in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse().ok()) {
        return Some(Duration::from_millis(ms).min(MAX_RETRY_AFTER));
    }
    let value = text("retry-after")?;
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The words in a body.
fn quote(body: &[u8], key: Option<&Secret>) -> Option<String> {
    words(&serde_json::from_slice(body).ok()?, key)
}

/// What a provider says of an error: each has its own object for it, Google also in a list.
fn words(said: &Value, key: Option<&Secret>) -> Option<String> {
    const PLACES: [&str; 7] =
        ["/error/message", "/error", "/message", "/detail", "/detail/0/msg", "/0/error/message", ""];
    let said = PLACES.iter().find_map(|place| said.pointer(place)?.as_str())?;
    clean(said, key)
}

/// A provider's words: one line, short, without the key and without addresses.
fn clean(words: &str, key: Option<&Secret>) -> Option<String> {
    let words = match key.map(Secret::expose) {
        Some(key) if !key.is_empty() => words.replace(key, "(key)"),
        _ => words.to_owned(),
    };
    let words: Vec<_> = words
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| if word.contains("://") { "(address)" } else { word })
        .collect();
    let line: String = words.join(" ").chars().take(MAX_QUOTE).collect();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        for (name, value, expected) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after-ms", "1500", Some(1_500)),
            ("retry-after", "99999999999", Some(86_400_000)),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("x-other", "7", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_millis), "{name}: {value}");
        }
    }

    #[test]
    fn quotes_hold_no_key_and_no_address() {
        let key = Secret::new("sk-1");
        let body = r#"{"error": {"message": "model\n`x` of sk-1 \u0007 not found, see https://h/?k=sk-1"}}"#;
        let said = quote(body.as_bytes(), Some(&key));
        assert_eq!(said.as_deref(), Some("model `x` of (key) not found, see (address)"));
        let long = format!(r#"{{"error": "{}"}}"#, "é".repeat(999));
        assert_eq!(quote(long.as_bytes(), None).unwrap().chars().count(), MAX_QUOTE);
    }

    #[test]
    fn words_are_found_where_providers_put_them() {
        for (body, expected) in [
            (r#"{"error": {"message": "a", "type": "b"}}"#, Some("a")),
            (r#"{"error": "a"}"#, Some("a")),
            (r#"{"type": "error", "error": {"type": "overloaded_error", "message": "a"}}"#, Some("a")),
            (r#"{"object": "error", "message": "a", "code": 400}"#, Some("a")),
            (r#"{"detail": "a"}"#, Some("a")),
            (r#"{"detail": [{"loc": ["body"], "msg": "a"}]}"#, Some("a")),
            (r#"[{"error": {"code": 400, "message": "a"}}]"#, Some("a")),
            (r#"{"error": null, "message": "a"}"#, Some("a")),
            (r#""a""#, Some("a")),
            (r#"{"error": {"code": 5}}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(quote(body.as_bytes(), None).as_deref(), expected, "{body}");
        }
    }
}
