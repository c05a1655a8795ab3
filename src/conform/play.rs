//! [`Player`]: takes a scenario's steps on a stage, one after the other, until one fails.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{
    change::{Edit, Select, altered},
    mutant::Kind,
    pattern::{No, hold, short},
    peer::{Frame, Peer},
    published::published,
    scenario::{Action, Ask, Sent, Step, Text, row_name},
    stage::{Stage, Stop},
    target::Server,
    value::Values,
};

/// How long the other side has for its part of a closing handshake.
const GOODBYE: Duration = Duration::from_secs(2);

pub struct Player {
    pub stage: Stage,
    /// The server of this scenario alone.
    pub server: Option<Server>,
    /// The messages that were sent and not waited for, by their id.
    sent: BTreeMap<String, String>,
    /// Frames that a step captured.
    pub captured: BTreeMap<String, Vec<Frame>>,
    /// The names of checks that held.
    pub held: Vec<String>,
    /// The step that runs, and the row that it runs for.
    pub at: Vec<String>,
}

/// A failure, and where: the check's name is that of the step or of one thing that holds.
pub fn failed(check: Option<String>, text: impl Into<String>) -> Stop {
    Stop::Failed { check, text: text.into(), also: Vec::new() }
}

impl Player {
    pub fn new(stage: Stage, server: Option<Server>) -> Self {
        Self { stage, server, sent: BTreeMap::new(), captured: BTreeMap::new(), held: Vec::new(), at: Vec::new() }
    }

    /// Takes the steps; stops at the first that fails.
    pub async fn run(&mut self, steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for (index, step) in steps.iter().enumerate() {
            self.at.push(format!("{}: {}", index + 1, step.describe()));
            let outcome = match &step.action {
                Action::Repeat { times, steps } => self.repeat(*times, steps, suffix).await,
                Action::Each { rows, steps } => self.each(rows, steps, suffix).await,
                _ => self.step(step, suffix).await,
            };
            // A broken server that did nothing yet is not yet seen.
            self.stage.armed = None;
            outcome?;
            if !self.stage.faults.is_empty() {
                return Err(failed(None, ""));
            }
            self.at.pop();
        }
        Ok(())
    }

    async fn repeat(&mut self, times: u64, steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for i in 1..=times {
            self.stage.values.set("i", json!(i));
            Box::pin(self.run(steps, suffix)).await?;
        }
        Ok(())
    }

    async fn each(&mut self, rows: &[Map<String, Value>], steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for row in rows {
            for (name, value) in row {
                let value = self.stage.values.fill(value)?;
                self.stage.values.set(name, value);
            }
            self.at.push(format!("[{}]", row_name(row)));
            Box::pin(self.run(steps, &format!("{suffix} [{}]", row_name(row)))).await?;
            self.at.pop();
        }
        Ok(())
    }

    /// How this check is to be broken, if it is.
    pub fn broken(&self, check: Option<&str>, suffix: &str) -> Option<Kind> {
        let (mutant, check) = (self.stage.mutant.as_ref()?, check?);
        (mutant.check == format!("{check}{suffix}") && self.stage.fired.is_none()).then_some(mutant.kind)
    }

    pub fn fire(&mut self) {
        self.stage.fired.get_or_insert_with(tokio::time::Instant::now);
    }

    async fn step(&mut self, step: &Step, suffix: &str) -> Result<(), Stop> {
        let check = step.check.as_ref().map(|check| format!("{check}{suffix}"));
        let broken = self.broken(step.check.as_deref(), suffix);
        // One for all that the step waits for.
        let until = self.stage.until(step.within);
        let blame = |stop: Stop| match stop {
            Stop::Failed { check: None, text, .. } => failed(check.clone(), text),
            stop => stop,
        };
        let outcome = match &step.action {
            Action::Connect(connect) => self.connect(connect, broken, until).await,
            Action::Ask(ask) => self.ask(ask, broken, until).await,
            Action::Send(ask) => self.send(ask).await.map(|_| ()),
            Action::Answer(ask) => self.answer_later(ask, broken, until).await,
            Action::Text(text) => self.say(text).await,
            Action::Expect(watch) => self.expect(watch, broken, until).await,
            Action::Next(watch) => self.next(watch, broken, until).await,
            Action::Until(watch) => self.until(watch, broken, until, suffix).await,
            Action::Fence(watch) => self.fence(watch, until, suffix).await,
            Action::Http(http) => self.http(http, broken).await,
            Action::Stream(http) => self.stream(http, broken).await,
            Action::Ended(watch) | Action::Closed(watch) => {
                self.closed(watch, broken, until, suffix, matches!(step.action, Action::Closed(_))).await
            }
            Action::Leave(name) => {
                let name = self.stage.peer_name(Some(name))?;
                if let Some(mut peer) = self.stage.peers.remove(&name) {
                    peer.leave(GOODBYE).await;
                }
                Ok(())
            }
            Action::Kill(name) => {
                let name = self.stage.peer_name(Some(name))?;
                if let Some(mut peer) = self.stage.peers.remove(&name) {
                    peer.kill();
                }
                Ok(())
            }
            Action::Wait(ms) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
            Action::Restart(how) => self.restart(how == "kill").await,
            Action::Stop => self.server.as_ref().map(Server::ask_to_stop).ok_or_else(no_server),
            Action::Set(values) => self.set(values),
            Action::Value { value, is } => self.value(value, is, broken),
            Action::Repeat { .. } | Action::Each { .. } => Ok(()),
        };
        outcome.map_err(blame)?;
        self.held.extend(check);
        self.held.extend(step.holds().iter().map(|hold| format!("{}{suffix}", hold.check)));
        Ok(())
    }

    fn set(&mut self, values: &Map<String, Value>) -> Result<(), Stop> {
        for (name, value) in values {
            let value = self.stage.values.fill(value)?;
            if let (true, Some(secret)) = (name.starts_with("secret"), value.as_str()) {
                self.stage.secrets.push(secret.to_owned());
            }
            self.stage.values.set(name, value);
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, is: &Value, broken: Option<Kind>) -> Result<(), Stop> {
        let mut value = self.stage.values.fill(value)?;
        if broken.is_some() {
            self.fire();
            value = altered(is, &value, &self.stage.values);
        }
        fit(is, &value, &mut self.stage.values)
    }

    async fn restart(&mut self, at_once: bool) -> Result<(), Stop> {
        let server = self.server.as_mut().ok_or_else(no_server)?;
        server.restart(at_once).await.map_err(|error| failed(None, error.to_string()))?;
        let host = server.host.clone();
        self.stage.values.set("port", json!(host.port));
        self.stage.host = host;
        Ok(())
    }

    /// Sends a frame; returns its connection and id.
    async fn send(&mut self, ask: &Ask) -> Result<(String, String), Stop> {
        let name = self.stage.peer_name(ask.on.as_ref())?;
        let id = match &ask.id {
            Some(id) => self.stage.values.fill(&json!(id))?.as_str().unwrap_or_default().to_owned(),
            None => self.stage.next_id(),
        };
        let mut frame = json!({"id": id, "type": ask.kind});
        if let Some(payload) = &ask.payload {
            frame["payload"] = self.stage.values.fill(payload)?;
        } else if ask.kind != "ping" {
            frame["payload"] = json!({});
        }
        if let Some(key) = &ask.key {
            frame["idempotencyKey"] = self.stage.values.fill(&json!(key))?;
        }
        self.stage.send_frame(&name, &frame).await?;
        self.sent.insert(id.clone(), ask.kind.clone());
        Ok((name, id))
    }

    async fn ask(&mut self, ask: &Ask, broken: Option<Kind>, until: Instant) -> Result<(), Stop> {
        let (name, id) = self.send(ask).await?;
        self.answer(&name, &id, &ask.kind, ask, broken, until).await
    }

    async fn answer_later(&mut self, ask: &Ask, broken: Option<Kind>, until: Instant) -> Result<(), Stop> {
        let name = self.stage.peer_name(ask.on.as_ref())?;
        let id = ask.id.as_ref().map_or(Ok(Value::Null), |id| self.stage.values.fill(&json!(id)))?;
        let id = id.as_str().unwrap_or_default().to_owned();
        let kind = self.sent.get(&id).cloned();
        let kind = kind.ok_or_else(|| Stop::Harness(format!("nothing was sent with the id {id:?}")))?;
        self.answer(&name, &id, &kind, ask, broken, until).await
    }

    async fn answer(
        &mut self,
        name: &str,
        id: &str,
        kind: &str,
        ask: &Ask,
        broken: Option<Kind>,
        until: Instant,
    ) -> Result<(), Stop> {
        let (wire, variant) = {
            let reply = published().reply_to(kind);
            reply.split_once('/').map_or((reply, None), |(wire, variant)| (wire, Some(variant)))
        };
        let pattern = match (&ask.error, &ask.ok) {
            (Some(error), _) => json!({"type": "error", "payload": code_pattern(error)}),
            (None, ok) => {
                let inner = ok.clone().unwrap_or_else(|| json!({}));
                match variant {
                    Some(variant) => json!({"type": wire, "payload": {"type": variant, "data": inner}}),
                    None => json!({"type": wire, "payload": inner}),
                }
            }
        };
        match broken {
            Some(Kind::Refuse) => self.stage.arm(name, Select::Answer(id.to_owned()), Edit::Refuse)?,
            Some(_) => {
                let inner = match (&ask.error, variant) {
                    (Some(error), _) => json!({"payload": error}),
                    (None, Some(_)) => json!({"payload": {"data": ask.ok}}),
                    (None, None) => json!({"payload": ask.ok}),
                };
                self.stage.arm(name, Select::Answer(id.to_owned()), Edit::Alter(inner))?;
            }
            None => {}
        }
        let answer = self.find(name, until, |frame, _| frame.json["replyTo"] == id).await?;
        fit(&pattern, &answer.json, &mut self.stage.values)
    }

    async fn say(&mut self, text: &Text) -> Result<(), Stop> {
        let name = self.stage.peer_name(text.on.as_ref())?;
        match &text.content {
            Sent::Text(parts) => {
                let text = joined(&self.stage.values, parts)?;
                self.stage.say(&name, Message::text(text)).await
            }
            Sent::Binary(bytes) => self.stage.say(&name, Message::binary(bytes.clone())).await,
            Sent::TextBytes(bytes) => self.stage.say(&name, Peer::text_bytes(bytes.clone())).await,
            Sent::Wire(bytes) => self.stage.write(&name, bytes).await,
        }
    }
}

/// The pattern of an error or problem; a text is its code.
pub fn code_pattern(error: &Value) -> Value {
    match error {
        Value::String(_) => json!({"code": error}),
        pattern => pattern.clone(),
    }
}

/// Holds a value against a pattern; says where they differ.
pub fn fit(pattern: &Value, value: &Value, values: &mut Values) -> Result<(), Stop> {
    hold(pattern, Some(value), values).map_err(|no| match no {
        No::Mismatch(mismatch) => {
            failed(None, format!("{} {}\nin {}", mismatch.pointer, mismatch.text, short(value)).trim().to_owned())
        }
        No::Scenario(text) => Stop::Harness(text),
    })
}

pub fn no_to_stop(no: No, what: &str) -> Stop {
    match no {
        No::Mismatch(mismatch) => failed(None, format!("{what} {}", mismatch.text)),
        No::Scenario(text) => Stop::Harness(text),
    }
}

pub fn about(stop: Stop, what: &str) -> Stop {
    match stop {
        Stop::Failed { check, text, also } => Stop::Failed { check, text: format!("{what}: {text}"), also },
        stop => stop,
    }
}

/// A text, or a list that is put together.
pub fn joined(values: &Values, parts: &Value) -> Result<String, Stop> {
    let filled = values.fill(parts)?;
    Ok(match &filled {
        Value::Array(parts) => parts.iter().map(|part| part.as_str().unwrap_or_default()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    })
}

/// The media type without its parameters.
pub fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
fn no_server() -> Stop {
    Stop::Harness("a scenario that stops the server must say `server`".to_owned())
}
