//! Asks an Ollama server which models it has.

use super::Secret;
use parking_lot::Mutex;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

/// How long an Ollama has to answer that nobody named: it is on this machine or close to it, or not there.
const GUESS: Duration = Duration::from_millis(300);
/// How long an answer counts for `auto`.
const FRESH: Duration = Duration::from_secs(30);
/// The most that is read of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// What the operator's Ollama said last.
#[derive(Default)]
pub(super) struct Ollama {
    last: Mutex<Option<(Instant, Option<String>)>>,
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
}

impl Ollama {
    /// The operator's Ollama's first model, from an answer of the last 30 s if there is one; `None`
    /// if it does not answer within 300 ms or has no model.
    pub async fn recent_first_model(&self, client: &reqwest::Client, base: &Url) -> Option<String> {
        if let Some((asked, model)) = &*self.last.lock()
            && asked.elapsed() < FRESH
        {
            return model.clone();
        }
        let model = self.first_model(client, base, None, GUESS).await;
        *self.last.lock() = Some((Instant::now(), model.clone()));
        model
    }

    /// The first model of the Ollama at `base`, asked now.
    pub async fn first_model(
        &self,
        client: &reqwest::Client,
        base: &Url,
        key: Option<&Secret>,
        patience: Duration,
    ) -> Option<String> {
        timeout(patience, tags(client, base, key)).await.ok()??.models.into_iter().next().map(|tag| tag.name)
    }
}

async fn tags(client: &reqwest::Client, base: &Url, key: Option<&Secret>) -> Option<Tags> {
    let request = client.get(base.join("api/tags").ok()?);
    let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key.expose()));
    let mut response = request.send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return None;
        }
        answer.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&answer).ok()
}
