//! How one comes to a world, and comes back to it: the same user, the same world, and from where one was.

use std::time::Duration;

use agent_world::protocol::{
    Cursor, ErrorCode, Seq, ServerMessage, Status, TemplateName, WorldName, WorldSelect, WorldSelected,
};
use tokio::time::timeout;
use url::Url;

use super::{ChatError, Connection, URL, connection::websocket};
use crate::invocation;

/// How long it may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Visit {
    pub url: Url,
    pub token: Option<String>,
    pub template: TemplateName,
    pub world: WorldName,
    pub persistent: bool,
    /// The last of the world's log that was shown.
    pub cursor: Option<Cursor>,
}

/// What came of it.
pub struct Entered {
    pub connection: Connection,
    pub selected: WorldSelected,
    /// Whether everything that was missed follows.
    pub resumed: bool,
}

impl Visit {
    /// Connects, and selects the world. Everything after the cursor follows, if there is one.
    pub async fn enter(&mut self) -> Result<Entered, ChatError> {
        let late = ChatError::Unreachable { url: self.url.clone(), reason: "it does not answer in time".to_owned() };
        timeout(PATIENCE, self.attempt()).await.map_err(|_| late)?
    }

    /// The command line of the same visit on another day.
    pub fn call(&self) -> String {
        let mut words = vec!["chat"];
        let usual = URL.parse().is_ok_and(|url| websocket(&url).is_ok_and(|url| url == self.url));
        if !usual {
            words.extend(["--url", self.url.as_str()]);
        }
        words.extend(["--template", self.template.as_str(), "--world", self.world.as_str()]);
        // In one word: a token may begin with a hyphen.
        let token = self.token.as_ref().map(|token| format!("--token={token}"));
        words.extend(token.as_deref());
        invocation::call(&words)
    }

    async fn attempt(&mut self) -> Result<Entered, ChatError> {
        let mut connection = Connection::open(&self.url, self.token.as_deref()).await?;
        match connection.next().await?.message {
            ServerMessage::Status(status) => match *status {
                Status::Connected(connected) => {
                    if let Some(token) = connected.data.session_token {
                        self.token = Some(token.to_string());
                    }
                }
                _ => return Err(ChatError::NotUnderstood("status".to_owned())),
            },
            ServerMessage::Error(error) => return Err(ChatError::Answered(error)),
            other => return Err(ChatError::NotUnderstood(other.kind().as_str().to_owned())),
        }
        let mut resumed = self.cursor.is_some();
        self.select(&mut connection).await?;
        let selected = loop {
            match connection.next().await?.message {
                ServerMessage::WorldSelected(selected) => break *selected,
                ServerMessage::Error(error) if error.code == ErrorCode::Unresumable && resumed => {
                    (resumed, self.cursor) = (false, None);
                    self.select(&mut connection).await?;
                }
                ServerMessage::Error(error) if error.code == ErrorCode::TemplateNotFound => {
                    let known = error.details.and_then(|details| details.known);
                    let known = known.map(|names| names.to_vec().join(", ")).unwrap_or_default();
                    return Err(ChatError::UnknownTemplate { name: self.template.to_string(), known });
                }
                ServerMessage::Error(error) => return Err(ChatError::Answered(error)),
                _ => {}
            }
        };
        if !resumed {
            self.cursor = Some(selected.cursor.clone());
        }
        Ok(Entered { connection, selected, resumed })
    }

    async fn select(&self, connection: &mut Connection) -> Result<(), ChatError> {
        let select = WorldSelect {
            template_name: self.template.clone(),
            world_name: self.world.clone(),
            persistent: self.persistent,
            title: None,
            after: self.cursor.clone(),
        };
        let id = connection.next_id()?;
        connection.send(id, None, select).await
    }

    /// What has this place in the log was shown.
    pub fn seen(&mut self, seq: Seq) {
        let epoch = self.cursor.as_ref().and_then(|cursor| cursor.as_str().split_once(':'));
        self.cursor = epoch.and_then(|(epoch, _)| Cursor::new(format!("{epoch}:{}", seq.get())).ok());
    }
}
