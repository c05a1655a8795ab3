//! `agent-world mock`: a server for people who build a client and have no model. It is the real server, with a data
//! directory that is thrown away; only what the agents say comes from a script, or from a recording.

mod derive;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{ToolError, replay::Recording};
use crate::{
    config::Config,
    protocol::{Script, codec, decode_body},
    provider,
    world::Templates,
};

/// What can be said on the command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// What the agents say: a script (schema/script.json) or a recording (schema/recording.json); without it, what they
    /// say in a first conversation
    #[arg(value_name = "SCRIPT|RECORDING")]
    pub source: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
    pub listen: SocketAddr,
    /// Directory of template worlds, besides those that are built in and those of the recording
    #[arg(long, value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// Web origin whose pages may connect
    #[arg(long, value_name = "ORIGIN", default_value = "*")]
    pub allow_origin: Vec<String>,
    /// Write the script instead of playing it, to start one's own from
    #[arg(long)]
    pub print: bool,
}

pub const AFTER_HELP: &str = "\
Everything is real but the agents: worlds, sessions, replies that stream, resume, errors. Nothing is kept when it stops. \
From a recording, the templates are those of the worlds in it, and an agent says what it said then: to the same words the \
same reply, at the same pace, with the same failure. To other words it says that the recording has no reply to them.

  agent-world record ws://127.0.0.1:3001/ws talk.ndjson    # once, with a model
  agent-world mock talk.ndjson                             # as often as you like, without";

/// A server that is about to be started. Its files are gone when this is dropped.
pub struct Mock {
    pub config: Config,
    _dir: TempDir,
}

/// What the agents say, and the worlds they do it in.
struct Play {
    script: Value,
    templates: Vec<Value>,
}

/// The script that would be played, as text.
pub fn script(source: Option<&Path>) -> Result<String, ToolError> {
    let Some(source) = source else { return Ok(provider::DEMO.trim_end().to_owned()) };
    Ok(serde_json::to_string_pretty(&read(source)?.script).unwrap_or_default())
}

/// Writes templates and script into a directory of its own.
pub fn prepare(options: &Options) -> Result<Mock, ToolError> {
    let play = options.source.as_deref().map(read).transpose()?;
    let dir = TempDir::with_prefix("agent-world-mock-");
    let dir = dir.map_err(|error| ToolError::Other(format!("failed to make a temporary directory: {error}")))?;
    let write = |path: &Path, value: &Value| {
        fs::write(path, value.to_string()).map_err(|error| ToolError::Unwritable { file: path.to_owned(), error })
    };
    let templates = dir.path().join("templates");
    fs::create_dir(&templates).map_err(|error| ToolError::Unwritable { file: templates.clone(), error })?;
    let known = Templates::load(options.templates.as_deref());
    let known = known.map_err(|error| ToolError::Other(format!("--templates: {error}")))?;
    let known = known.iter().map(|template| serde_json::from_slice(&codec::json(template)).unwrap_or_default());
    let (script, recorded) = play.map_or((None, Vec::new()), |play| (Some(play.script), play.templates));
    for template in known.chain(recorded) {
        let name = template["name"].as_str().unwrap_or_default();
        write(&templates.join(format!("{name}.json")), &template)?;
    }
    let script = script.map(|script| write(&dir.path().join("script.json"), &script)).transpose()?;
    let config = Config {
        listen: options.listen,
        data_dir: dir.path().join("data"),
        templates: Some(templates),
        script: script.map(|()| dir.path().join("script.json")),
        script_all: true,
        allow_origin: options.allow_origin.clone(),
        ..Config::default()
    };
    Ok(Mock { config, _dir: dir })
}

/// Reads a script, or a recording as one.
fn read(source: &Path) -> Result<Play, ToolError> {
    let text = fs::read(source).map_err(|error| ToolError::Unreadable { file: source.to_owned(), error })?;
    let one: Option<Value> = serde_json::from_slice(&text).ok();
    match one {
        // A file with one line may be a recording, too.
        Some(script) if script.get("direction").is_none() => match decode_body::<Script>(&text) {
            Ok(_) => Ok(Play { script, templates: Vec::new() }),
            Err(rejection) => Err(ToolError::Other(format!("{} is no script: {}", source.display(), rejection.line()))),
        },
        _ => derive::derive(source, &Recording::read(source)?),
    }
}
