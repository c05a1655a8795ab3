//! Which template: what the server has, and which one is meant.

use std::{
    error::Error,
    io::{self, Write},
    time::Duration,
};

use agent_world::protocol::{TemplateName, TemplateSummaries};
use url::Url;

use super::{ChatError, Input, Screen};

/// The template that is taken when nobody chooses.
const FIRST: &str = "default-world";
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server beside whose WebSocket at `url` the list stands.
pub async fn list(url: &Url) -> Result<TemplateSummaries, ChatError> {
    let mut http = url.join("worlds").map_err(|_| ChatError::NotWebSocket { url: url.clone() })?;
    // The schemes are of one kind, so this cannot fail.
    let _ = http.set_scheme("http");
    let broken = |error: reqwest::Error| match unreachable(&error) {
        Some(reason) => ChatError::Unreachable { url: url.clone(), reason },
        None => ChatError::Broken(error.to_string()),
    };
    // Nothing between this program and the server: it is usually on the same machine.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(broken)?;
    let answer = client.get(http).send().await.map_err(broken)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(broken)?;
    let list = serde_json::from_slice(&body).ok().filter(|_| status.is_success());
    list.ok_or_else(|| ChatError::NotUnderstood(format!("HTTP {status} for the list of templates")))
}

/// Why no connection came about, if that is what is wrong.
fn unreachable(error: &reqwest::Error) -> Option<String> {
    if !error.is_connect() {
        return None;
    }
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let reason = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    Some(reason.map_or_else(|| error.to_string(), |reason| reason.kind().to_string()))
}

/// Shows the list and lets a person choose by number or name.
pub async fn choose<W: Write>(
    list: &TemplateSummaries,
    input: &mut Input,
    screen: &mut Screen<W>,
) -> Result<TemplateName, ChatError> {
    let default = first(list)?;
    for (number, template) in list.iter().enumerate() {
        let (name, agents) = (&template.name, template.agent_count);
        screen.note(&format!("{:>2}. {name} ({agents} agents): {}", number + 1, template.description))?;
    }
    loop {
        screen.ask(&format!("Which world? Number or name, or Enter for {default}: "))?;
        let Some(line) = input.line().await else {
            return Err(ChatError::Rejected("no world was chosen".to_owned()));
        };
        match chosen(list, line.trim()) {
            Some(name) => return Ok(name),
            None if line.trim().is_empty() => return Ok(default),
            None => screen.note("That is none of them.")?,
        }
    }
}

fn chosen(list: &TemplateSummaries, text: &str) -> Option<TemplateName> {
    let by_number = text.parse::<usize>().ok().and_then(|number| list.get(number.checked_sub(1)?));
    let by_name = || list.iter().find(|template| template.name.as_str().eq_ignore_ascii_case(text));
    by_number.or_else(by_name).map(|template| template.name.clone())
}

/// The template for a first conversation.
pub fn first(list: &TemplateSummaries) -> Result<TemplateName, ChatError> {
    let found = list.iter().find(|template| template.name.as_str() == FIRST).or(list.first());
    found
        .map(|template| template.name.clone())
        .ok_or_else(|| ChatError::UnknownTemplate { name: FIRST.to_owned(), known: "none".to_owned() })
}
