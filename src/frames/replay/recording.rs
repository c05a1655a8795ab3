//! [`Recording`]: a file, read whole.

use std::{fs::File, io::BufReader, path::Path};

use serde_json::Value;

use crate::{
    frames::{
        ToolError,
        line::{Content, Line, Lines, Read},
    },
    protocol::RecordedDirection,
};

pub struct Recording {
    pub steps: Vec<Step>,
}

/// A line, as it matters here.
pub struct Step {
    /// The line of the file.
    pub line: u64,
    /// What time it was, in Unix milliseconds.
    pub at_ms: i64,
    pub connection: u64,
    pub said: Said,
}

pub enum Said {
    /// A text of the client, with what it says where it is JSON.
    Client(String, Option<Value>),
    ClientClosed(u16),
    Server(Value),
    ServerClosed(u16),
}

impl Recording {
    pub fn read(file: &Path) -> Result<Self, ToolError> {
        let unreadable = |error| ToolError::Unreadable { file: file.to_owned(), error };
        let mut lines = Lines::new(BufReader::new(File::open(file).map_err(unreadable)?));
        let mut steps = Vec::new();
        while let Some((number, read)) = lines.read().map_err(unreadable)? {
            let wrong =
                |reason: &str| ToolError::Line { file: file.to_owned(), line: number, reason: reason.to_owned() };
            let text = match read {
                Read::Text(text) => text,
                Read::TooLong => return Err(wrong("is longer than a line may be")),
                Read::NotUtf8 => return Err(wrong("is not UTF-8")),
            };
            let line = Line::read(text).map_err(|rejection| {
                let violation = rejection.violations().first();
                wrong(&violation.map_or(String::new(), |one| format!("{} {}", one.pointer, one.message)))
            })?;
            let Some(recorded) = line.recorded else {
                return Err(wrong("says neither when nor who: this is a frame alone, and no recording"));
            };
            let said = match (recorded.direction, line.content) {
                (RecordedDirection::Client, Content::Frame(text)) => {
                    Said::Client(text.to_owned(), serde_json::from_str(text).ok())
                }
                (RecordedDirection::Client, Content::Text(text)) => Said::Client(text.into_owned(), None),
                (RecordedDirection::Client, Content::Closed(code)) => Said::ClientClosed(code),
                (RecordedDirection::Server, Content::Frame(text)) => {
                    Said::Server(serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?)
                }
                (RecordedDirection::Server, Content::Text(text)) => Said::Server(Value::from(text.into_owned())),
                (RecordedDirection::Server, Content::Closed(code)) => Said::ServerClosed(code),
            };
            let at: Option<jiff::Timestamp> = recorded.at.as_str().parse().ok();
            let at_ms = at.ok_or_else(|| wrong("/at is no time"))?.as_millisecond();
            steps.push(Step { line: number, at_ms, connection: recorded.connection, said });
        }
        if steps.is_empty() {
            return Err(ToolError::Empty { file: file.to_owned() });
        }
        Ok(Self { steps })
    }
}
