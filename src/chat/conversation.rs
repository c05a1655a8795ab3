//! One conversation: what is typed becomes messages, what comes back is shown.

use std::{collections::HashSet, io::Write};

use agent_world::protocol::{
    Agent, AgentList, ChatCancel, ChatContent, ChatSend, ErrorCode, ErrorInfo, Event, FrameId, MessageId, SenderName,
    SenderType, ServerFrame, ServerMessage, Status, TemplateName, WorldAction, WorldName, WorldSelect,
};

use super::{ChatError, Connection, Input, Options, Screen, listed};

const HELP: &str = "\
Type, and the agents answer; name one with @ and only that one does.
  /agents   who is here, and which model each one has
  /cancel   stop what is being written
  /help     this
  /quit     leave (Ctrl-D too)";

pub struct Conversation<W: Write> {
    connection: Connection,
    screen: Screen<W>,
    agents: Vec<Agent>,
    /// Chat messages that were sent and not acknowledged yet.
    sent: HashSet<FrameId>,
    /// Chat messages to which something may still be said.
    open: HashSet<MessageId>,
}

enum Next {
    Frame(Box<ServerFrame>),
    Line(Option<String>),
}

impl<W: Write> Conversation<W> {
    /// Waits for the greeting, and selects the world.
    pub async fn begin(
        mut connection: Connection,
        mut screen: Screen<W>,
        template: TemplateName,
        options: &Options,
    ) -> Result<Self, ChatError> {
        let token = match connection.next().await?.message {
            ServerMessage::Status(status) => match *status {
                Status::Connected(connected) => connected.data.session_token,
                _ => return Err(ChatError::NotUnderstood("status".to_owned())),
            },
            ServerMessage::Error(error) => return Err(ChatError::Rejected(sentence(&error))),
            other => return Err(ChatError::NotUnderstood(other.kind().as_str().to_owned())),
        };
        let world = match options.world.clone() {
            Some(world) => world,
            None => WorldName::new(template.to_string()).map_err(|error| ChatError::Broken(error.to_string()))?,
        };
        let select = WorldSelect {
            template_name: template.clone(),
            world_name: world,
            persistent: options.persistent,
            title: None,
            after: None,
        };
        connection.send(select).await?;
        let selected = loop {
            match connection.next().await?.message {
                ServerMessage::WorldSelected(selected) => break selected,
                ServerMessage::Error(error) if error.code == ErrorCode::TemplateNotFound => {
                    let known = error.details.and_then(|details| details.known);
                    let known = known.map(|names| names.to_vec().join(", ")).unwrap_or_default();
                    return Err(ChatError::UnknownTemplate { name: template.to_string(), known });
                }
                ServerMessage::Error(error) => return Err(ChatError::Rejected(sentence(&error))),
                _ => {}
            }
        };
        let who = listed(selected.agents.iter().map(|agent| &agent.name));
        let who = if who.is_empty() { "nobody yet".to_owned() } else { who };
        screen.note(&format!("You are in {}, with: {who}. /help shows what you can do.", selected.world_name))?;
        if let Some(token) = token.filter(|_| options.persistent) {
            let (world, token) = (&selected.world_name, token.as_str());
            screen.note(&format!("To come back: chat --template {template} --world {world} --token {token}"))?;
        }
        let agents = AgentList::into_vec(selected.agents);
        Ok(Self { connection, screen, agents, sent: HashSet::new(), open: HashSet::new() })
    }

    /// Goes on until the input ends. What is piped in is sent line by line, each when the answers to the one before
    /// are complete.
    pub async fn run(mut self, mut input: Input, interactive: bool) -> Result<(), ChatError> {
        if interactive {
            self.screen.prompt()?;
        }
        loop {
            let idle = self.idle();
            let next = tokio::select! {
                frame = self.connection.next() => Next::Frame(Box::new(frame?)),
                line = input.line(), if idle || interactive => Next::Line(line),
            };
            let goes_on = match next {
                Next::Frame(frame) => self.hear(*frame).map(|()| true)?,
                Next::Line(Some(line)) => self.say(line.trim()).await?,
                Next::Line(None) => false,
            };
            if !goes_on {
                break;
            }
            if interactive && self.idle() {
                self.screen.prompt()?;
            }
        }
        self.connection.close().await;
        Ok(())
    }

    /// Whether nothing is being written and nothing is to come.
    fn idle(&self) -> bool {
        self.sent.is_empty() && self.open.is_empty()
    }

    /// Does what a typed line asks for. `false`: leave.
    async fn say(&mut self, line: &str) -> Result<bool, ChatError> {
        self.screen.typed();
        match line {
            "" => {}
            "/quit" | "/exit" => return Ok(false),
            "/help" => self.screen.note(HELP)?,
            "/agents" => {
                for agent in &self.agents {
                    self.screen.note(&introduced(agent))?;
                }
            }
            "/cancel" => {
                self.connection.send(ChatCancel::default()).await?;
            }
            _ if line.starts_with('/') => self.screen.note("There is no such command; /help shows them.")?,
            _ => match (ChatContent::new(line), SenderName::new("HUMAN")) {
                (Ok(content), Ok(sender)) => {
                    let message =
                        ChatSend { content, sender, display_name: None, target_agent: None, world_name: None };
                    let id = self.connection.send(message).await?;
                    self.sent.insert(id);
                }
                (Err(invalid), _) | (_, Err(invalid)) => self.screen.note(&format!("Not sent: {invalid}"))?,
            },
        }
        Ok(true)
    }

    fn hear(&mut self, frame: ServerFrame) -> Result<(), ChatError> {
        let answered = frame.reply_to.as_ref().is_some_and(|id| self.sent.remove(id));
        match frame.message {
            ServerMessage::ChatResponse(response) => self.screen.reply(*response)?,
            ServerMessage::EventStream(stream) => self.happened(stream.event)?,
            ServerMessage::Status(status) => match *status {
                Status::MessageAccepted(accepted) if answered => {
                    if accepted.data.answering.is_empty() {
                        self.screen.note("Nobody answers.")?;
                    }
                    self.open.insert(accepted.data.message_id);
                }
                Status::Draining(draining) => self.screen.note(&draining.message)?,
                _ => {}
            },
            // It answers nothing: the server has ended the subscription, and no reply would be heard any more.
            ServerMessage::Error(error) if frame.reply_to.is_none() => {
                return Err(ChatError::Rejected(sentence(&error)));
            }
            ServerMessage::Error(error) => self.screen.note(&sentence(&error))?,
            _ => {}
        }
        Ok(())
    }

    fn happened(&mut self, event: Event) -> Result<(), ChatError> {
        match event {
            // Agents were heard while they wrote, and the human is the one who typed.
            Event::Message(message) if message.sender_type == SenderType::World => {
                self.screen.said(message.sender.as_str(), &message.payload.content)?;
            }
            Event::World(event) => match event.payload {
                WorldAction::Settled(settled) => {
                    self.open.remove(&settled.root_id);
                }
                WorldAction::AgentCreated(created) => self.agents.push(created.agent),
                WorldAction::AgentUpdate(update) => {
                    if let Some(agent) = self.agents.iter_mut().find(|agent| agent.name == update.agent.name) {
                        *agent = update.agent;
                    }
                }
                WorldAction::AgentDeleted(deleted) => self.agents.retain(|agent| agent.name != deleted.agent_name),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}

fn introduced(agent: &Agent) -> String {
    let model = agent.config.model.as_ref().map(|model| format!(" {}", model.as_str())).unwrap_or_default();
    format!("  {} ({}), {}{model}", agent.name, agent.status.as_str(), agent.config.provider.as_str())
}

fn sentence(error: &ErrorInfo) -> String {
    format!("{}: {}", error.code.as_str(), error.message)
}
