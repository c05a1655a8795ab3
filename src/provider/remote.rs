//! Remote models: one request, and its answer turned into steps, read no faster than it is wanted
//! and never kept as a whole.

use super::{
    Call, Finish, ProviderError, ProviderKind, Secret, Step, Steps,
    failure::{self, Answer},
    wire::{
        self, Heard,
        frames::{Form, Frames},
    },
};
use reqwest::{
    Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// The most that is read of an answer that is no reply: enough for the words in it.
const MAX_WORDS: usize = 64 << 10;
/// How long the rest of an answer is waited for when the reply is whole: it may say what it cost.
const GRACE: Duration = Duration::from_secs(2);

/// Where one call goes.
pub(super) struct Target {
    pub kind: ProviderKind,
    pub model: String,
    /// Ends in `/`.
    pub base: Url,
    pub key: Option<Secret>,
    /// Connects to what was checked, follows no redirect.
    pub client: reqwest::Client,
}

/// Sends the call. An empty [`Step::Text`] means that the model is at work without saying anything.
pub(super) fn reply(target: Target, call: Call) -> Steps {
    Box::pin(async_stream::try_stream! {
        let (kind, key) = (target.kind, target.key.as_ref());
        let mut response = send(&target, &call).await?;
        let form = wire::form(kind);
        let lines = matches!(form, Form::Lines);
        let mut frames = Frames::new(form);
        let mut heard = Heard::default();
        // How the answer begins, in case it turns out to be no reply.
        let mut beginning = Vec::new();
        let mut over = false;
        while !heard.done && !over {
            let piece = match heard.finish {
                None => response.chunk().await.map_err(failure::unreachable_model)?,
                Some(_) => timeout(GRACE, response.chunk()).await.ok().and_then(Result::ok).flatten(),
            };
            match &piece {
                Some(piece) => {
                    // Whatever it is, a comment or the half of an event: somebody is there.
                    yield Step::Text(String::new());
                    if !heard.reply {
                        keep(&mut beginning, piece);
                    }
                    frames.push(piece);
                }
                None => {
                    over = true;
                    frames.end();
                }
            }
            while !heard.done {
                let frame = match frames.next() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(trouble) => Err(failure::trouble(trouble, key))?,
                };
                match wire::hear(kind, &frame, &mut heard) {
                    Ok(()) => {}
                    // The half of an event at the end, or a line of what is no reply at all: told below.
                    Err(wire::Trouble::Garbled(_)) if over || (lines && !heard.reply) => over = true,
                    Err(trouble) => Err(failure::trouble(trouble, key))?,
                }
                if !heard.text.is_empty() {
                    yield Step::Text(std::mem::take(&mut heard.text));
                }
            }
        }
        let finish = match heard.finish {
            Some(finish) => finish,
            None if heard.done => Finish::Stop,
            None if heard.reply => Err(ProviderError::cut())?,
            None => Err(failure::no_reply(streams(&response), &beginning, key))?,
        };
        yield Step::End { finish, usage: heard.usage };
    })
}

/// Sends the request, and has the answer once it is known to be none of the provider's refusals.
async fn send(target: &Target, call: &Call) -> Result<Response, ProviderError> {
    let wire::Request { url, headers, body } = wire::request(target, call);
    let mut request = target.client.post(url).body(body.to_string());
    request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT_ENCODING, "identity");
    for (name, value) in headers {
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            ProviderError::lasting("the apiKey holds characters that no key can have", "key does not fit a header")
        })?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let mut response = request.send().await.map_err(failure::unreachable_model)?;
    let status = response.status();
    if !status.is_success() {
        let mut body = Vec::new();
        while body.len() < MAX_WORDS {
            match response.chunk().await {
                Ok(Some(piece)) => keep(&mut body, &piece),
                Ok(None) | Err(_) => break,
            }
        }
        let answer = Answer { status, body: &body, headers: response.headers() };
        return Err(failure::answered(&answer, target.kind, target.key.as_ref()));
    }
    // None was asked for, and what is small on the way could be of any size here.
    if response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(failure::trouble(wire::Trouble::Garbled("answer is compressed"), None));
    }
    Ok(response)
}

/// Adds as much of `piece` to `words` as there is room for.
fn keep(words: &mut Vec<u8>, piece: &[u8]) {
    let room = MAX_WORDS.saturating_sub(words.len()).min(piece.len());
    words.extend_from_slice(&piece[..room]);
}

/// Whether the answer says that it is a stream, as replies are.
fn streams(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
}
