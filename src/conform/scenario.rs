//! A scenario: steps that send and expect, as its file says them. What a file may say is
//! `tests/conformance/scenario.schema.json`; docs/CONFORMANCE.md explains it with examples.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a scenario's file may say.
pub const SCHEMA: &str = include_str!("../../tests/conformance/scenario.schema.json");

/// A file that is no scenario: its author's fault.
#[derive(Debug, thiserror::Error)]
#[error("{name} is no scenario: {text}")]
pub struct InvalidScenario {
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    /// `<area>/<file>`, without the extension.
    pub name: String,
    pub title: String,
    /// The rules of docs/PROTOCOL.md that it checks.
    pub rules: Vec<String>,
    /// Whether agents of the kit's templates and script must be there.
    pub script: bool,
    /// The settings of a server of its own, which the steps may stop and start.
    pub server: Option<BTreeMap<String, String>>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// The name of what it asserts; a step without one only prepares.
    pub check: Option<String>,
    pub rules: Vec<String>,
    /// Seconds, where another time than the usual is right.
    pub within: Option<f64>,
    pub action: Action,
}

#[derive(Debug, Clone)]
pub enum Action {
    Connect(Connect),
    Ask(Ask),
    Send(Ask),
    Answer(Ask),
    Text(Text),
    Expect(Watch),
    Next(Watch),
    Until(Watch),
    Fence(Watch),
    Http(Http),
    Stream(Http),
    Ended(Watch),
    Closed(Watch),
    Leave(String),
    Kill(String),
    Wait(u64),
    Restart(String),
    Stop,
    Set(Map<String, Value>),
    Value { value: Value, is: Value },
    Repeat { times: u64, steps: Vec<Step> },
    Each { rows: Vec<Map<String, Value>>, steps: Vec<Step> },
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub struct Connect {
    pub connect: String,
    pub token: Option<String>,
    pub protocols: Vec<String>,
    pub headers: BTreeMap<String, String>,
    pub greeting: Option<bool>,
    pub ok: Option<Value>,
    pub echo: Option<Value>,
    pub status: Option<u16>,
    pub problem: Option<Value>,
    pub receive_buffer: Option<u32>,
}

/// A frame to send, and the answer to expect.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub on: Option<String>,
    pub kind: String,
    pub payload: Option<Value>,
    pub key: Option<String>,
    pub id: Option<String>,
    /// Of the payload; of a `status`, of its data.
    pub ok: Option<Value>,
    pub error: Option<Value>,
}

/// What is sent as it stands.
#[derive(Debug, Clone, Default)]
pub struct Text {
    pub on: Option<String>,
    pub content: Sent,
}

#[derive(Debug, Clone)]
pub enum Sent {
    /// The parts of a text frame.
    Text(Value),
    /// The bytes of a binary frame.
    Binary(Vec<u8>),
    /// The payload of a text frame that need be no UTF-8.
    TextBytes(Vec<u8>),
    /// Bytes on the TCP connection itself.
    Wire(Vec<u8>),
}

impl Default for Sent {
    fn default() -> Self {
        Self::Text(Value::Null)
    }
}

/// Frames to wait for, and what holds of those that came.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    pub on: Option<String>,
    pub pattern: Value,
    pub name: Option<String>,
    pub holds: Vec<Hold>,
}

#[derive(Debug, Clone)]
pub struct Hold {
    pub check: String,
    pub rules: Vec<String>,
    pub kind: HoldKind,
}

#[derive(Debug, Clone)]
pub enum HoldKind {
    Count {
        of: Value,
        is: Value,
    },
    None(Value),
    Some(Value),
    Every {
        of: Value,
        is: Value,
    },
    Order(Vec<Value>),
    Only(Vec<Value>),
    /// The same frames of that kind as those captured before.
    Same {
        of: Value,
        frames: String,
    },
}

#[derive(Debug, Clone, Default)]
pub struct Http {
    pub method: String,
    pub path: String,
    /// The name of the stream, where it is one.
    pub name: Option<String>,
    pub token: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    /// A body that need be no JSON, or none that the schemas allow.
    pub raw: Option<Value>,
    pub status: Option<Value>,
    pub ok: Option<Value>,
    pub problem: Option<Value>,
    pub answer_headers: BTreeMap<String, Value>,
    pub text: Option<Value>,
}

impl Scenario {
    /// All named checks, in the order in which they run; a row of a table gives its checks a suffix.
    pub fn checks(&self) -> Vec<String> {
        let mut found = Vec::new();
        names(&self.steps, "", &mut found);
        found
    }

    /// Every rule that it names.
    pub fn all_rules(&self) -> Vec<String> {
        let mut rules = self.rules.clone();
        walk(&self.steps, &mut |step| {
            rules.extend(step.rules.iter().cloned());
            for hold in step.holds() {
                rules.extend(hold.rules.iter().cloned());
            }
        });
        rules.sort();
        rules.dedup();
        rules
    }
}

impl Step {
    pub fn holds(&self) -> &[Hold] {
        match &self.action {
            Action::Until(watch) | Action::Fence(watch) | Action::Ended(watch) | Action::Closed(watch) => &watch.holds,
            _ => &[],
        }
    }

    /// What it does, in a few words.
    pub fn describe(&self) -> String {
        match &self.action {
            Action::Connect(connect) => format!("connect {}", connect.connect),
            Action::Ask(ask) => format!("ask {}", ask.kind),
            Action::Send(ask) => format!("send {}", ask.kind),
            Action::Answer(ask) => format!("answer to {}", ask.id.as_deref().unwrap_or_default()),
            Action::Text(_) => "send what is no frame".to_owned(),
            Action::Expect(watch) => format!("expect {}", super::pattern::short(&watch.pattern)),
            Action::Next(watch) => format!("next {}", super::pattern::short(&watch.pattern)),
            Action::Until(watch) => format!("until {}", super::pattern::short(&watch.pattern)),
            Action::Fence(_) => "fence".to_owned(),
            Action::Http(http) | Action::Stream(http) => format!("{} {}", http.method, http.path),
            Action::Ended(_) => "the stream ends".to_owned(),
            Action::Closed(_) => "the connection is closed".to_owned(),
            Action::Leave(_) => "leave".to_owned(),
            Action::Kill(_) => "reset the connection".to_owned(),
            Action::Wait(ms) => format!("wait {ms} ms"),
            Action::Restart(_) => "restart the server".to_owned(),
            Action::Stop => "tell the server to stop".to_owned(),
            Action::Set(_) => "set".to_owned(),
            Action::Value { .. } => "compare".to_owned(),
            Action::Repeat { .. } => "repeat".to_owned(),
            Action::Each { .. } => "each".to_owned(),
        }
    }
}

/// Calls `visit` for every step, those inside others too.
pub fn walk(steps: &[Step], visit: &mut impl FnMut(&Step)) {
    for step in steps {
        visit(step);
        if let Action::Repeat { steps, .. } | Action::Each { steps, .. } = &step.action {
            walk(steps, visit);
        }
    }
}

/// The name of a row of a table.
pub fn row_name(row: &Map<String, Value>) -> &str {
    row.get("row").and_then(Value::as_str).unwrap_or_default()
}

fn names(steps: &[Step], suffix: &str, found: &mut Vec<String>) {
    for step in steps {
        let own = step.check.iter().chain(step.holds().iter().map(|hold| &hold.check));
        found.extend(own.map(|name| format!("{name}{suffix}")));
        match &step.action {
            Action::Repeat { steps, .. } => names(steps, suffix, found),
            Action::Each { rows, steps } => {
                for row in rows {
                    names(steps, &format!("{suffix} [{}]", row_name(row)), found);
                }
            }
            _ => {}
        }
    }
}
