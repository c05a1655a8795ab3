//! Media types: of the body that comes (415), and of the answer that is wanted (406).

use axum::http::{HeaderMap, header};

use super::Operation;
use crate::{error::Failure, protocol::ErrorCode};

/// Whether the body's media type is one that the operation takes. Parameters such as `charset` do not matter.
pub(super) fn content_type(operation: Operation, headers: &HeaderMap) -> Result<(), Failure> {
    let taken = operation.info().request;
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if taken.iter().any(|media| media.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    let text = format!("the body must be {}, and Content-Type must say so", taken.join(" or "));
    Err(Failure::new(ErrorCode::UnsupportedMediaType, text))
}

/// Chooses what the client likes best; of equals, the first that is offered. Without a wish, or with `*/*`, that
/// is the first of all.
pub(super) fn choose<T: Copy>(headers: &HeaderMap, offered: &[(&'static str, T)]) -> Result<T, Failure> {
    let wishes: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let quality = |media: &str| {
        if wishes.is_empty() {
            return 1000;
        }
        // The most specific range decides (RFC 9110 §12.5.1).
        wishes.iter().filter_map(|wish| wished(wish, media)).max_by_key(|(specific, _)| *specific).map_or(0, |(_, q)| q)
    };
    let mut best = None;
    for (media, value) in offered {
        let quality = quality(media);
        if quality > 0 && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, *value));
        }
    }
    best.map(|(_, value)| value).ok_or_else(|| {
        let media: Vec<&str> = offered.iter().map(|(media, _)| *media).collect();
        Failure::new(ErrorCode::NotAcceptable, format!("this can be given as {}", media.join(" or ")))
    })
}

/// How specific a range of `Accept` is and its quality in thousandths, if it covers `media`.
fn wished(wish: &str, media: &str) -> Option<(u8, u16)> {
    let (range, parameters) = wish.split_once(';').unwrap_or((wish, ""));
    let range = range.trim();
    let specific = if range == "*/*" {
        0
    } else if let Some(kind) = range.strip_suffix("/*") {
        media.split_once('/').filter(|(of, _)| of.eq_ignore_ascii_case(kind)).map(|_| 1)?
    } else {
        range.eq_ignore_ascii_case(media).then_some(2)?
    };
    Some((specific, quality(parameters)))
}

/// The quality among the parameters of a wish, in thousandths.
pub fn quality(parameters: &str) -> u16 {
    let mut parameters = parameters.split(';').map(str::trim);
    let quality = parameters.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = quality.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0));
    (quality * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        const OFFERED: &[(&str, u8)] = &[("application/json", 1), ("text/event-stream", 2)];
        for (accept, chosen) in [
            (None, Some(1)),
            (Some("*/*"), Some(1)),
            (Some("text/event-stream"), Some(2)),
            (Some("Text/Event-Stream; q=0.5, application/json;q=0.1"), Some(2)),
            (Some("text/*"), Some(2)),
            (Some("text/event-stream, */*"), Some(1)),
            (Some("text/event-stream, */*;q=0.1"), Some(2)),
            (Some("application/json;q=0, */*"), Some(2)),
            (Some("text/html, application/xml"), None),
            (Some("*/*;q=0"), None),
            (Some("application/json;q=nonsense"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
            }
            assert_eq!(choose(&headers, OFFERED).ok(), chosen, "{accept:?}");
        }
    }
}
