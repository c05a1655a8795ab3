//! What went wrong with a remote model, in words for the client and for the log.
//!
//! Error texts of the libraries hold addresses, request bodies and answers. Nothing of them is
//! passed on as a whole: what is known is picked out, and the rest is left behind.

use super::{ProviderError, ProviderKind, Secret};
use genai::webc::Error as HttpError;
use reqwest::{StatusCode, header::HeaderMap};
use std::{error::Error, time::Duration};

/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The most that is quoted of a provider's own words, in characters.
const MAX_QUOTE: usize = 300;

/// Describes an error of genai; `key` is what must not be quoted.
pub(super) fn describe(error: genai::Error, kind: ProviderKind, key: Option<&Secret>) -> ProviderError {
    match error {
        genai::Error::HttpError { status, body, headers, .. } => answered(status, &body, &headers, kind, key),
        genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => {
            match webc_error {
                HttpError::ResponseFailedStatus { status, body, headers } => {
                    answered(status, &body, &headers, kind, key)
                }
                HttpError::Reqwest(error) => unreachable_model(error),
                _ => garbled("answer of another form"),
            }
        }
        genai::Error::WebStream { error, .. } => match error.downcast::<genai::Error>() {
            Ok(error) => describe(*error, kind, key),
            Err(error) => match error.downcast::<reqwest::Error>() {
                Ok(error) => unreachable_model(*error),
                Err(_) => garbled("stream is not UTF-8"),
            },
        },
        genai::Error::StreamParse { serde_error, .. } => {
            garbled(&format!("event is not JSON: {:?}", serde_error.classify()))
        }
        genai::Error::ChatResponse { body, .. } => reported(&body, key),
        _ => ProviderError::lasting("the request could not be made for this provider", "genai refused the request"),
    }
}

/// The provider answered with a status that is no success.
fn answered(
    status: StatusCode,
    body: &str,
    headers: &HeaderMap,
    kind: ProviderKind,
    key: Option<&Secret>,
) -> ProviderError {
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

/// The stream carried an error instead of text.
fn reported(body: &serde_json::Value, key: Option<&Secret>) -> ProviderError {
    let words = body.get("message").and_then(|message| message.as_str()).and_then(|words| clean(words, key));
    let message = match words {
        Some(words) => format!("the provider failed while it answered: {words}"),
        None => "the provider failed while it answered".to_owned(),
    };
    ProviderError::passing(message, "error event in the stream")
}

fn unreachable_model(error: reqwest::Error) -> ProviderError {
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

fn garbled(what: &str) -> ProviderError {
    ProviderError::passing("the model's answer could not be read", what)
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

/// The `error.message` of a body, which all providers write in much the same way.
fn quote(body: &str, key: Option<&Secret>) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let error = body.get("error")?;
    clean(error.get("message").unwrap_or(error).as_str()?, key)
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
        assert_eq!(quote(body, Some(&key)).as_deref(), Some("model `x` of (key) not found, see (address)"));
        assert_eq!(quote(r#"{"error": "plain"}"#, None).as_deref(), Some("plain"));
        assert_eq!(quote("<html>", None), None);
        assert_eq!(quote(&format!(r#"{{"error": "{}"}}"#, "é".repeat(999)), None).unwrap().chars().count(), MAX_QUOTE);
    }
}
