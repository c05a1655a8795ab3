//! `agent-world chat`: a small client for the terminal. What it sends and what it understands are the protocol's own
//! types; it knows nothing of the server that another client could not know.
//!
//! [`templates`]: which world. [`visit`]: how one comes there, and back; [`connection`] is the WebSocket below it.
//! [`conversation`]: what is said, from [`input`] and on the [`screen`].

mod connection;
mod conversation;
mod input;
mod screen;
mod templates;
mod visit;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};

use agent_world::protocol::{AgentName, CloseCode, ErrorInfo, TemplateName, WorldName};
use url::Url;

use crate::invocation::call;
use connection::Connection;
use conversation::Conversation;
use input::Input;
use screen::Screen;
use templates::Offer;
use visit::{Entered, Visit};

/// Where a server is that was started without settings.
const URL: &str = "http://127.0.0.1:3001";

/// What can be said on the command line.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Address of the server: http://host:port, or that of its WebSocket, ws://host:port/ws; https and wss for TLS
    #[arg(long, value_name = "URL", env = "AGENT_WORLD_URL", default_value = URL)]
    pub url: Url,
    /// Template to make the world from; asked for when it is not given
    #[arg(long, value_name = "NAME")]
    pub template: Option<TemplateName>,
    /// Name of the world [default: the template's name]
    #[arg(long, value_name = "NAME")]
    pub world: Option<WorldName>,
    /// Keep the world after leaving it
    #[arg(long)]
    pub persistent: bool,
    /// Session token of an earlier visit, to find its worlds again
    #[arg(long, value_name = "TOKEN", env = "AGENT_WORLD_TOKEN", hide_env_values = true, allow_hyphen_values = true)]
    pub token: Option<String>,
}

/// Why the conversation could not go on; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("no server answers at {url} ({reason}); start one with `{}`, or name another with --url", call(&[]))]
    Unreachable { url: Url, reason: String },
    #[error("{url} is not an address of the form http://host:port or ws://host:port/ws")]
    NotAnAddress { url: Url },
    #[error("the server at {url} did not accept the connection: {reason}")]
    Refused { url: Url, reason: String, passing: bool },
    #[error("the server closed the connection{words}")]
    Closed { code: u16, words: String },
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the server sent what this client does not understand; is it another version? ({0})")]
    NotUnderstood(String),
    #[error("{}: {}", .0.code.as_str(), .0.message)]
    Answered(Box<ErrorInfo>),
    #[error("{0}")]
    Rejected(String),
    #[error("there is no template {name}; this server has: {known}")]
    UnknownTemplate { name: String, known: String },
    #[error("failed to use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl ChatError {
    /// Whether another connection may be better.
    fn passes(&self) -> bool {
        let lasting = [CloseCode::TOKEN, CloseCode::VERSION, CloseCode::GONE].map(|close| close.code);
        match self {
            Self::Unreachable { .. } | Self::Broken(_) => true,
            Self::Refused { passing, .. } => *passing,
            // Those of WebSocket itself say that this client is to blame, and would be again.
            Self::Closed { code, .. } => !lasting.contains(code) && !matches!(code, 1002 | 1003 | 1007..=1010),
            Self::Answered(error) => error.retryable,
            _ => false,
        }
    }
}

/// Selects a world, and talks until the input ends.
pub async fn run(options: Options) -> Result<(), ChatError> {
    let interactive = io::stdin().is_terminal();
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut screen = Screen::new(io::stdout(), colour);
    let mut input = Input::start();
    let url = connection::websocket(&options.url)?;
    // Chosen first: a connection on which somebody only thinks is closed after a while.
    let (template, own) = match options.template {
        Some(template) => (template, None),
        None => {
            let offer = Offer::of(&url, options.token.as_deref()).await?;
            match options.world.as_ref().and_then(|world| offer.own(world.as_str())) {
                Some(choice) => choice,
                None if interactive => offer.choose(&mut input, &mut screen).await?,
                None => offer.first()?,
            }
        }
    };
    let world = match options.world.or(own) {
        Some(world) => world,
        None => WorldName::new(template.to_string()).map_err(|error| ChatError::Broken(error.to_string()))?,
    };
    let visit = Visit { url, token: options.token, template, world, persistent: options.persistent, cursor: None };
    Conversation::begin(visit, screen).await?.run(input, interactive).await
}

/// The agents of a template or world, in a sentence.
fn listed<'a>(names: impl Iterator<Item = &'a AgentName>) -> String {
    names.map(AgentName::as_str).collect::<Vec<_>>().join(", ")
}
