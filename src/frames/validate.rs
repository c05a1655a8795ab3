//! `agent-world validate`: a verdict on every frame of a file, with everything that is wrong. Frames of clients are
//! read by the server's own codec; frames of servers are held to the published schemas.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    Outcome, ToolError,
    line::{Content, Line, Lines, MAX_LINE, Read},
};
use crate::protocol::{
    ClientMessageType, RecordedDirection, Rejection, Violation, decode_client,
    published::{Reading, check_server, server_types},
};

/// What can be said on the command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Newline-delimited JSON: frames, or lines of a recording (schema/recording.json); `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Who sent the frames that stand alone; the lines of a recording say it themselves
    #[arg(long, value_name = "SIDE", default_value = "auto")]
    pub direction: Side,
    /// Refuse fields that the schemas do not know in what a server sends; a client must ignore them
    #[arg(long)]
    pub strict: bool,
    /// Show only lines that are not valid
    #[arg(long)]
    pub invalid: bool,
    /// Show counts by direction and type instead of lines
    #[arg(long)]
    pub summary: bool,
    /// Write one JSON object for each line, or one for the summary
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
    /// By the type: no client sends what a server sends
    Auto,
}

pub const AFTER_HELP: &str = "\
A frame of a server may hold fields that nobody knows yet; --strict refuses them. What is checked is each frame by \
itself, not whether the conversation makes sense: that is `agent-world conform`.

Exit code: 0 when every frame is valid, 1 when one is not, 2 when there was none or the file could not be read.

  agent-world record ws://127.0.0.1:3001/ws out.ndjson     # then:
  agent-world validate out.ndjson --summary";

/// The verdict on one line.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<RecordedDirection>,
    /// The frame's `type`, where it is one that exists.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    pub valid: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Default, Serialize)]
struct Count {
    valid: u64,
    invalid: u64,
}

#[derive(Default, Serialize)]
struct Summary {
    frames: u64,
    valid: u64,
    invalid: u64,
    /// Lines that say that a side closed.
    closes: u64,
    /// By `direction type`.
    types: BTreeMap<String, Count>,
    /// By the keyword that was violated.
    keywords: BTreeMap<String, u64>,
}

/// Checks the file, or standard input, and writes to standard output.
pub fn run(options: &Options) -> Result<Outcome, ToolError> {
    let out = BufWriter::new(io::stdout().lock());
    if options.file.as_os_str() == "-" {
        return check(options, io::stdin().lock(), out);
    }
    let unreadable = |error| ToolError::Unreadable { file: options.file.clone(), error };
    check(options, BufReader::with_capacity(64 * 1_024, File::open(&options.file).map_err(unreadable)?), out)
}

/// Checks everything that `input` holds, in constant memory.
pub fn check(options: &Options, input: impl BufRead, mut out: impl Write) -> Result<Outcome, ToolError> {
    let mut lines = Lines::new(input);
    let mut summary = Summary::default();
    let unreadable = |error| ToolError::Unreadable { file: options.file.clone(), error };
    while let Some((number, read)) = lines.read().map_err(unreadable)? {
        let Some(mut verdict) = judge(options, read) else {
            summary.closes += 1;
            continue;
        };
        verdict.line = number;
        summary.count(&verdict);
        if !(options.summary || options.invalid && verdict.valid) {
            show(&verdict, options.json, &mut out).map_err(ToolError::Output)?;
        }
    }
    if summary.frames == 0 {
        return Err(ToolError::Empty { file: options.file.clone() });
    }
    summary.show(options, &mut out).and_then(|()| out.flush()).map_err(ToolError::Output)?;
    Ok(if summary.invalid == 0 { Outcome::Well } else { Outcome::Ill })
}

/// The verdict on a line; none on one that holds no frame.
fn judge(options: &Options, read: Read<'_>) -> Option<Verdict> {
    let text = match read {
        Read::Text(text) => text,
        Read::TooLong => return Some(refused(None, "maxLength", Some(MAX_LINE), "is longer than a line may be")),
        Read::NotUtf8 => return Some(refused(None, "syntax", None, "is not UTF-8")),
    };
    let line = match Line::read(text) {
        Ok(line) => line,
        Err(rejection) => return Some(verdict(None, None, Err(rejection))),
    };
    let direction = match (&line.recorded, options.direction) {
        (Some(recorded), _) => Some(recorded.direction),
        (None, Side::Client) => Some(RecordedDirection::Client),
        (None, Side::Server) => Some(RecordedDirection::Server),
        (None, Side::Auto) => None,
    };
    match line.content {
        Content::Frame(frame) => Some(judge_frame(frame, direction, options.strict)),
        Content::Text(_) => Some(refused(direction, "syntax", None, "is no JSON object")),
        Content::Closed(_) => None,
    }
}

/// The verdict on a frame. Without a direction, its type says who sent it.
pub fn judge_frame(frame: &str, direction: Option<RecordedDirection>, strict: bool) -> Verdict {
    let named = kind_of(frame);
    let client = ClientMessageType::ALL.iter().map(|kind| kind.as_str()).find(|kind| named == Some(*kind));
    let server = server_types().find(|kind| named == Some(*kind));
    let direction = direction.or(match (client, server) {
        (Some(_), None) => Some(RecordedDirection::Client),
        (None, Some(_)) => Some(RecordedDirection::Server),
        _ => None,
    });
    match direction {
        Some(RecordedDirection::Client) => verdict(direction, client, decode_client(frame).map(drop)),
        Some(RecordedDirection::Server) => {
            let reading = if strict { Reading::Closed } else { Reading::Open };
            verdict(direction, server, check_server(frame, reading))
        }
        None if serde_json::from_str::<&RawValue>(frame).is_err() => refused(None, "syntax", None, "is not JSON"),
        None => {
            let all = ClientMessageType::ALL.iter().map(|kind| kind.as_str()).chain(server_types());
            let known = all.collect::<Vec<_>>().join(", ");
            let message = format!("must be one of {known}; or say who sent it with --direction");
            verdict(None, None, Err(Rejection::new("/type", "enum", None, &message)))
        }
    }
}

/// The `type` of a frame, read as little of it as possible.
fn kind_of(frame: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Kind<'f> {
        #[serde(rename = "type", borrow)]
        kind: &'f str,
    }
    serde_json::from_str::<Kind<'_>>(frame).ok().map(|frame| frame.kind)
}

fn verdict(
    direction: Option<RecordedDirection>,
    kind: Option<&'static str>,
    outcome: Result<(), Rejection>,
) -> Verdict {
    let (valid, errors, truncated) = match outcome {
        Ok(()) => (true, Vec::new(), false),
        Err(rejection) => (false, rejection.violations().to_vec(), rejection.truncated),
    };
    Verdict { line: 0, direction, kind, valid, errors, truncated }
}

fn refused(direction: Option<RecordedDirection>, keyword: &str, limit: Option<u64>, message: &str) -> Verdict {
    let limit = limit.map(|limit| limit.to_string());
    verdict(direction, None, Err(Rejection::new("", keyword, limit.as_deref(), message)))
}

fn show(verdict: &Verdict, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, verdict)?;
        return out.write_all(b"\n");
    }
    let state = if verdict.valid { "valid  " } else { "INVALID" };
    writeln!(out, "{:>6}  {state}  {}", verdict.line, name(verdict))?;
    for error in &verdict.errors {
        let pointer = if error.pointer.is_empty() { "(the whole)" } else { &error.pointer };
        let limit = error.limit.as_ref().map_or(String::new(), |limit| format!(" {limit}"));
        writeln!(out, "        {pointer}  {}  [{}{limit}]", error.message, error.keyword)?;
    }
    if verdict.truncated {
        writeln!(out, "        … and more")?;
    }
    Ok(())
}

fn name(verdict: &Verdict) -> String {
    let direction = verdict.direction.map_or("unknown", RecordedDirection::as_str);
    format!("{direction} {}", verdict.kind.unwrap_or("?"))
}

impl Summary {
    fn count(&mut self, verdict: &Verdict) {
        self.frames += 1;
        let count = self.types.entry(name(verdict)).or_default();
        let (total, count) = match verdict.valid {
            true => (&mut self.valid, &mut count.valid),
            false => (&mut self.invalid, &mut count.invalid),
        };
        *total += 1;
        *count += 1;
        for error in &verdict.errors {
            // Keywords are those of the schemas: few.
            *self.keywords.entry(error.keyword.clone()).or_default() += 1;
        }
    }

    fn show(&self, options: &Options, out: &mut impl Write) -> io::Result<()> {
        match (options.summary, options.json) {
            (true, true) => {
                serde_json::to_writer(&mut *out, &json(self))?;
                out.write_all(b"\n")
            }
            (false, true) => Ok(()),
            (summary, false) => {
                for (name, count) in self.types.iter().filter(|_| summary) {
                    writeln!(out, "{name:<32} {:>9} valid {:>9} invalid", count.valid, count.invalid)?;
                }
                for (keyword, count) in self.keywords.iter().filter(|_| summary) {
                    writeln!(out, "violates {keyword:<23} {count:>9}")?;
                }
                writeln!(out, "{} frames: {} valid, {} invalid", self.frames, self.valid, self.invalid)
            }
        }
    }
}

fn json(summary: &Summary) -> Value {
    serde_json::to_value(summary).unwrap_or_default()
}
