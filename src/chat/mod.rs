//! `agent-world chat`: a small client for the terminal. What it sends and what it understands are the protocol's own
//! types; it knows nothing of the server that another client could not know.

mod connection;
mod conversation;
mod input;
mod screen;
mod templates;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};

use agent_world::protocol::{AgentName, TemplateName, WorldName};
use url::Url;

use connection::Connection;
use conversation::Conversation;
use input::Input;
use screen::Screen;

/// What can be said on the command line.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// WebSocket address of the server
    #[arg(long, value_name = "URL", env = "AGENT_WORLD_URL", default_value = "ws://127.0.0.1:3001/ws")]
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
    #[arg(long, value_name = "TOKEN", env = "AGENT_WORLD_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Why the conversation could not go on; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("no server answers at {url} ({reason}); start one with `cargo run`, or name another with --url")]
    Unreachable { url: Url, reason: String },
    #[error("{url} is not an address of the form ws://host:port/ws (for TLS, use a tunnel or a proxy on this machine)")]
    NotWebSocket { url: Url },
    #[error("the server at {url} did not accept the connection: {reason}")]
    Refused { url: Url, reason: String },
    #[error("the server closed the connection{0}")]
    Closed(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the server sent what this client does not understand; is it another version? ({0})")]
    NotUnderstood(String),
    #[error("{0}")]
    Rejected(String),
    #[error("there is no template {name}; this server has: {known}")]
    UnknownTemplate { name: String, known: String },
    #[error("failed to use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Selects a world, and talks until the input ends.
pub async fn run(options: Options) -> Result<(), ChatError> {
    let interactive = io::stdin().is_terminal();
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut screen = Screen::new(io::stdout(), colour);
    let mut input = Input::start();
    connection::check(&options.url)?;
    // Chosen first: a connection on which somebody only thinks is closed after a while.
    let template = match options.template.clone() {
        Some(template) => template,
        None => {
            let list = templates::list(&options.url).await?;
            if interactive {
                templates::choose(&list, &mut input, &mut screen).await?
            } else {
                templates::first(&list)?
            }
        }
    };
    let connection = Connection::open(&options.url, options.token.as_deref()).await?;
    Conversation::begin(connection, screen, template, &options).await?.run(input, interactive).await
}

/// The agents of a template or world, in a sentence.
fn listed<'a>(names: impl Iterator<Item = &'a AgentName>) -> String {
    names.map(AgentName::as_str).collect::<Vec<_>>().join(", ")
}
