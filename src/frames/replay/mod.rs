//! `agent-world replay`: plays the client's side of a recording against a server, and reports in what its answers differ
//! from those recorded. What nobody can know beforehand is no difference: ids, times, cursors, how a reply is cut into
//! deltas, and in which order agents that speak at the same time are heard.

mod canonical;
mod compare;
mod names;
mod play;
mod recording;
mod side;
mod translation;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::{Outcome, ToolError};
use play::Player;
pub(super) use recording::{Recording, Said};

/// What can be said on the command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// A recording (schema/recording.json), as `agent-world record` or the console's inspector makes it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The server: `ws://127.0.0.1:3001/ws`, or `http://127.0.0.1:3001`
    #[arg(value_name = "URL")]
    pub url: String,
    /// Session token for connections whose user came with one; without it they are new users
    #[arg(long, value_name = "TOKEN", env = "AGENT_WORLD_TOKEN", hide_env_values = true, allow_hyphen_values = true)]
    pub token: Option<String>,
    /// Seconds to wait for a frame that the recording has
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub patience: f64,
    /// Write the report as one JSON object
    #[arg(long)]
    pub json: bool,
}

pub const AFTER_HELP: &str = "\
A frame is sent when everything has come that had come before it in the recording: nothing waits for time to pass. Ids of \
messages, cursors and tokens are those of the server that is played to. No difference are ids, times, numbers in the log, \
how replies are cut into pieces, and the order among agents that speak at the same time.

The replies must be the same ones, so let the server play a script: `agent-world mock recording.ndjson` does.

Exit code: 0 without a difference, 1 with one, 2 when it could not be played.";

/// Something that was other than recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub connection: u64,
    /// Which frame: `answer to 4`, `end of the reply of guide to …`.
    pub frame: String,
    /// Where in the frame; empty when the frame itself is missing or was not expected.
    pub pointer: String,
    pub expected: Option<serde_json::Value>,
    pub got: Option<serde_json::Value>,
    /// In words, where the values do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub connections: u64,
    /// Frames of the client that were sent.
    pub sent: u64,
    /// Frames of the server that were compared.
    pub compared: u64,
    pub differences: Vec<Difference>,
}

/// Plays the recording and writes the report to standard output.
pub async fn run(options: &Options) -> Result<Outcome, ToolError> {
    let report = replay(options).await?;
    let mut out = io::stdout().lock();
    if options.json {
        let text = serde_json::to_string(&report).unwrap_or_default();
        writeln!(out, "{text}").map_err(ToolError::Output)?;
    } else {
        show(&report, &mut out).map_err(ToolError::Output)?;
    }
    Ok(if report.differences.is_empty() { Outcome::Well } else { Outcome::Ill })
}

/// Plays the recording.
pub async fn replay(options: &Options) -> Result<Report, ToolError> {
    let recording = Recording::read(&options.file)?;
    Player::new(&recording, options)?.play().await
}

fn show(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for difference in &report.differences {
        let Difference { connection, frame, pointer, expected, got, note } = difference;
        writeln!(out, "connection {connection}, {frame} {pointer}")?;
        if let Some(note) = note {
            writeln!(out, "  {note}")?;
        }
        let value =
            |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        if expected.is_some() || got.is_some() {
            writeln!(out, "  recorded: {}\n  now:      {}", value(expected), value(got))?;
        }
    }
    let Report { connections, sent, compared, differences } = report;
    writeln!(
        out,
        "{sent} frames sent on {connections} connections, {compared} frames compared: {} differences",
        differences.len()
    )
}
