//! [`Tape`]: the file that is written, and the secrets that never get there.

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    frames::{
        ToolError,
        line::{Content, Line, Recorded},
    },
    protocol::{RecordedAt, RecordedDirection},
};

/// The fields whose values are never written, without case, `_` and `-`.
const SECRET_FIELDS: [&str; 3] = ["apikey", "sessiontoken", "authorization"];
const REDACTED: &str = "redacted";
/// A session token that stands in the place of another one: 43 characters, as the schema asks for.
const REDACTED_TOKEN: &str = "redacted-----------------------------------";
/// How many secrets are remembered, to be found wherever else they stand.
const MAX_SECRETS: usize = 10_000;
/// Shorter ones would be found everywhere.
const SHORTEST_SECRET: usize = 12;

pub struct Tape {
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    frames: u64,
    failed: Option<io::Error>,
    secrets: VecDeque<String>,
}

impl Tape {
    pub fn create(file: &Path, force: bool) -> Result<Self, ToolError> {
        let unwritable = |error| ToolError::Unwritable { file: file.to_owned(), error };
        let out: Box<dyn Write + Send> = if file.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).create_new(!force);
            let opened = options.open(file).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    ToolError::Other(format!("{} exists; --force writes over it", file.display()))
                }
                _ => unwritable(error),
            });
            Box::new(opened?)
        };
        let state = State { out, frames: 0, failed: None, secrets: VecDeque::new() };
        Ok(Self { file: file.to_owned(), state: Mutex::new(state) })
    }

    /// Takes note of a secret, so that it is found in every text.
    pub fn secret(&self, secret: &str) {
        self.state.lock().learn(secret);
    }

    /// Writes a line at once, so that whoever looks sees it, and a `kill` loses nothing.
    pub fn write(&self, connection: u64, direction: RecordedDirection, content: Content<'_>) {
        let mut state = self.state.lock();
        let clean;
        let content = match content {
            Content::Frame(text) => match state.clean(text) {
                Cleaned::Same => Content::Frame(text),
                Cleaned::Frame(text) => {
                    clean = text;
                    Content::Frame(&clean)
                }
                Cleaned::Text(text) => Content::Text(text.into()),
            },
            other => other,
        };
        state.put(connection, direction, content);
    }

    pub fn binary(&self, connection: u64, direction: RecordedDirection, bytes: &[u8]) {
        let mut state = self.state.lock();
        let text = match state.suspicious(&String::from_utf8_lossy(bytes)) {
            true => withheld(bytes.len()),
            false => format!("binary:{}", STANDARD.encode(bytes)),
        };
        state.put(connection, direction, Content::Text(text.into()));
    }

    /// How many lines stand in the file, or what went wrong.
    pub fn finish(&self) -> Result<u64, ToolError> {
        let mut state = self.state.lock();
        let flushed = state.out.flush();
        match state.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(state.frames),
            Err(error) => Err(ToolError::Unwritable { file: self.file.clone(), error }),
        }
    }
}

/// A text without its secrets.
enum Cleaned {
    Same,
    Frame(String),
    /// What is not JSON cannot be cleaned with certainty.
    Text(String),
}

impl State {
    fn put(&mut self, connection: u64, direction: RecordedDirection, content: Content<'_>) {
        if self.failed.is_some() {
            return;
        }
        let recorded = Recorded { at: now(), direction, connection };
        let mut line = Line::write(recorded, content);
        line.push('\n');
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => self.frames += 1,
            Err(error) => {
                // The conversation goes on; that it is not recorded is told at once, and again at the end.
                eprintln!("agent-world record: failed to write, nothing more is recorded: {error}");
                self.failed = Some(error);
            }
        }
    }

    fn learn(&mut self, secret: &str) {
        if secret.len() < SHORTEST_SECRET || self.secrets.iter().any(|known| known == secret) {
            return;
        }
        if self.secrets.len() == MAX_SECRETS {
            self.secrets.pop_front();
        }
        self.secrets.push_back(secret.to_owned());
    }

    fn clean(&mut self, text: &str) -> Cleaned {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else {
            return match self.suspicious(text) {
                true => Cleaned::Text(withheld(text.len())),
                false => Cleaned::Text(text.to_owned()),
            };
        };
        if !value.is_object() {
            return match self.suspicious(text) {
                true => Cleaned::Text(withheld(text.len())),
                false => Cleaned::Text(text.to_owned()),
            };
        }
        // First what is named as a secret, then whatever else repeats it.
        let named = self.hide_named(&mut value);
        let repeated = self.hide_known(&mut value);
        if named || repeated { Cleaned::Frame(value.to_string()) } else { Cleaned::Same }
    }

    fn hide_named(&mut self, value: &mut Value) -> bool {
        let mut hidden = false;
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if is_secret_field(name) && !value.is_null() {
                        if let Value::String(secret) = value {
                            self.learn(secret);
                        }
                        let stand_in = if name == "sessionToken" { REDACTED_TOKEN } else { REDACTED };
                        *value = Value::from(stand_in);
                        hidden = true;
                    } else {
                        hidden |= self.hide_named(value);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    hidden |= self.hide_named(item);
                }
            }
            _ => {}
        }
        hidden
    }

    fn hide_known(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.hide_in(text),
            Value::Array(items) => {
                let mut hidden = false;
                for item in items {
                    hidden |= self.hide_known(item);
                }
                hidden
            }
            Value::Object(fields) => {
                let mut hidden = false;
                if fields.keys().any(|name| self.secrets.iter().any(|secret| name.contains(secret))) {
                    let renamed = std::mem::take(fields).into_iter().map(|(mut name, value)| {
                        self.hide_in(&mut name);
                        (name, value)
                    });
                    *fields = renamed.collect();
                    hidden = true;
                }
                for value in fields.values_mut() {
                    hidden |= self.hide_known(value);
                }
                hidden
            }
            _ => false,
        }
    }

    fn hide_in(&self, text: &mut String) -> bool {
        let mut hidden = false;
        for secret in self.secrets.iter().filter(|secret| secret.as_str() != REDACTED_TOKEN) {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), REDACTED);
                hidden = true;
            }
        }
        hidden
    }

    /// Whether a text that is no JSON may hold a secret.
    fn suspicious(&self, text: &str) -> bool {
        let plain = plain(text);
        SECRET_FIELDS.iter().any(|field| plain.contains(field))
            || self.secrets.iter().any(|secret| text.contains(secret.as_str()))
    }
}

fn is_secret_field(name: &str) -> bool {
    SECRET_FIELDS.contains(&plain(name).as_str())
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

fn withheld(bytes: usize) -> String {
    format!("{REDACTED}: {bytes} bytes that are no frame and may hold a secret")
}

fn now() -> RecordedAt {
    RecordedAt::trusted(format!("{:.3}", jiff::Timestamp::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let mut state = State { out: Box::new(io::sink()), frames: 0, failed: None, secrets: VecDeque::new() };
        state.learn("known-secret-12345");
        state
    }

    #[test]
    fn secrets_are_cut_out_wherever_they_stand() {
        let cases = [
            (r#"{"a":{"apiKey":"k"}}"#, r#"{"a":{"apiKey":"redacted"}}"#),
            (r#"{"a":[{"API_KEY":"k"}]}"#, r#"{"a":[{"API_KEY":"redacted"}]}"#),
            (r#"{"api-key":{"deep":"k"}}"#, r#"{"api-key":"redacted"}"#),
            (r#"{"apiKey":"k","apiKey":"l"}"#, r#"{"apiKey":"redacted"}"#),
            (r#"{"\u0061piKey":"k"}"#, r#"{"apiKey":"redacted"}"#),
            (r#"{"content":"my known-secret-12345!"}"#, r#"{"content":"my redacted!"}"#),
            (r#"{"known-secret-12345":1}"#, r#"{"redacted":1}"#),
            (r#"{"apiKey":"another-secret-1","z":"another-secret-1"}"#, r#"{"apiKey":"redacted","z":"redacted"}"#),
        ];
        for (text, expected) in cases {
            match state().clean(text) {
                Cleaned::Frame(clean) => assert_eq!(clean, expected),
                _ => panic!("{text} was not cleaned"),
            }
        }
        let broken = [r#"{"apiKey":"k"#, r#"["api_key","k"]"#, "known-secret-12345", r#"{"sessionToken":k}"#];
        for text in broken {
            assert!(matches!(state().clean(text), Cleaned::Text(text) if text.starts_with("redacted: ")), "{text}");
        }
    }

    #[test]
    fn what_holds_none_stays_as_it_is() {
        for text in [r#"{ "id" : "1","type":"ping"}"#, r#"{"config":{"apiKey":null,"hasApiKey":true}}"#] {
            assert!(matches!(state().clean(text), Cleaned::Same), "{text}");
        }
        assert!(matches!(state().clean("[1, 2"), Cleaned::Text(text) if text == "[1, 2"));
        assert_eq!(REDACTED_TOKEN.len(), 43);
    }
}
