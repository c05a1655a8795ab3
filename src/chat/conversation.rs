//! One conversation: what is typed becomes messages, what comes back is shown.

use std::{collections::HashSet, io::Write, time::Duration};

use agent_world::protocol::{
    Agent, AgentList, ChatCancel, ChatContent, ChatSend, Event, FrameId, IdempotencyKey, MessageId, SenderName,
    SenderType, ServerFrame, ServerMessage, Status, WorldAction,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{ChatError, Connection, Entered, Input, Screen, Visit, listed};

const HELP: &str = "\
Type, and the agents answer; name one with @ and only that one does.
  /agents   who is here, and which model each one has
  /cancel   stop what is being written
  /help     this
  /quit     leave (Ctrl-D too)";

/// How long it is tried to come back, and how long between two tries: ever longer.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

pub struct Conversation<W: Write> {
    visit: Visit,
    connection: Connection,
    screen: Screen<W>,
    agents: Vec<Agent>,
    /// Chat messages that were sent and not acknowledged yet.
    sent: Vec<Sent>,
    /// Chat messages to which something may still be said.
    open: HashSet<MessageId>,
    /// Those that were settled before they were acknowledged: the acknowledgement was lost with its connection.
    settled: HashSet<MessageId>,
    /// When it last came back.
    returned: Option<Instant>,
}

struct Sent {
    id: FrameId,
    /// The server does nothing twice under the same key.
    key: IdempotencyKey,
    message: ChatSend,
}

enum Next {
    Frame(Result<Box<ServerFrame>, ChatError>),
    Line(Option<String>),
}

impl<W: Write> Conversation<W> {
    /// Enters the world, and says who is there.
    pub async fn begin(mut visit: Visit, mut screen: Screen<W>) -> Result<Self, ChatError> {
        let new = visit.token.is_none();
        let Entered { connection, selected, .. } = visit.enter().await?;
        let who = listed(selected.agents.iter().map(|agent| &agent.name));
        let who = if who.is_empty() { "nobody yet".to_owned() } else { who };
        screen.note(&format!("You are in {}, with: {who}. /help shows what you can do.", selected.world_name))?;
        if new && visit.persistent {
            screen.note(&format!("To come back: {}", visit.call()))?;
        }
        let agents = AgentList::into_vec(selected.agents);
        let (sent, open, settled) = (Vec::new(), HashSet::new(), HashSet::new());
        Ok(Self { visit, connection, screen, agents, sent, open, settled, returned: None })
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
                frame = self.connection.next() => Next::Frame(frame.map(Box::new)),
                line = input.line(), if idle || interactive => Next::Line(line),
            };
            let goes_on = match next {
                Next::Frame(Ok(frame)) => self.hear(*frame).map(|()| true)?,
                Next::Frame(Err(error)) => self.come_back(error).await.map(|()| true)?,
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

    /// Connects again, and goes on where it was.
    async fn come_back(&mut self, mut why: ChatError) -> Result<(), ChatError> {
        let (since, (first, longest)) = (Instant::now(), PAUSES);
        // A connection that breaks as soon as it is made is not made again at once.
        let mut pause = if self.returned.is_some_and(|at| at.elapsed() < longest) { 4 * first } else { first };
        if why.passes() {
            self.screen.note(&format!("{why}; connecting again"))?;
        }
        while why.passes() && since.elapsed() < PATIENCE {
            sleep(pause).await;
            pause = (2 * pause).min(longest);
            let entered = match self.visit.enter().await {
                Ok(entered) => entered,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            match self.go_on(entered).await {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn go_on(&mut self, entered: Entered) -> Result<(), ChatError> {
        self.returned = Some(Instant::now());
        self.connection = entered.connection;
        self.agents = AgentList::into_vec(entered.selected.agents);
        if entered.resumed {
            self.screen.note("Connected again.")?;
        } else {
            self.open.clear();
            self.screen.abandon();
            self.screen.note("Connected again. What was said meanwhile cannot be shown.")?;
        }
        for sent in &mut self.sent {
            sent.id = self.connection.next_id()?;
            self.connection.send(sent.id.clone(), Some(sent.key.clone()), sent.message.clone()).await?;
        }
        Ok(())
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
                let id = self.connection.next_id()?;
                if let Err(error) = self.connection.send(id, None, ChatCancel::default()).await {
                    self.come_back(error).await?;
                }
            }
            _ if line.starts_with('/') => self.screen.note("There is no such command; /help shows them.")?,
            _ => match (ChatContent::new(line), SenderName::new("HUMAN")) {
                (Ok(content), Ok(sender)) => {
                    let message =
                        ChatSend { content, sender, display_name: None, target_agent: None, world_name: None };
                    let id = self.connection.next_id()?;
                    let key = IdempotencyKey::new(Uuid::new_v4().to_string());
                    let key = key.map_err(|error| ChatError::Broken(error.to_string()))?;
                    self.sent.push(Sent { id: id.clone(), key: key.clone(), message: message.clone() });
                    if let Err(error) = self.connection.send(id, Some(key), message).await {
                        self.come_back(error).await?;
                    }
                }
                (Err(invalid), _) | (_, Err(invalid)) => self.screen.note(&format!("Not sent: {invalid}"))?,
            },
        }
        Ok(true)
    }

    fn hear(&mut self, frame: ServerFrame) -> Result<(), ChatError> {
        let at = self.sent.iter().position(|sent| frame.reply_to.as_ref() == Some(&sent.id));
        let answered = at.map(|at| self.sent.remove(at)).is_some();
        let seq = frame.seq;
        match frame.message {
            ServerMessage::ChatResponse(response) => self.screen.reply(*response)?,
            ServerMessage::EventStream(stream) => self.happened(stream.event)?,
            ServerMessage::Status(status) => match *status {
                Status::MessageAccepted(accepted) if answered => {
                    if accepted.data.answering.is_empty() {
                        self.screen.note("Nobody answers.")?;
                    }
                    let id = accepted.data.message_id;
                    if !self.settled.remove(&id) {
                        self.open.insert(id);
                    }
                }
                Status::Draining(draining) => self.screen.note(&draining.message)?,
                _ => {}
            },
            // It answers nothing: the server has ended the subscription, and no reply would be heard any more.
            ServerMessage::Error(error) if frame.reply_to.is_none() => {
                return Err(ChatError::Answered(error));
            }
            ServerMessage::Error(error) => self.screen.note(&ChatError::Answered(error).to_string())?,
            _ => {}
        }
        if let Some(seq) = seq {
            self.visit.seen(seq);
        }
        if self.sent.is_empty() {
            self.settled.clear();
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
                    let known = self.open.remove(&settled.root_id);
                    if !known {
                        self.settled.insert(settled.root_id);
                    }
                }
                WorldAction::AgentCreated(created) => {
                    // Where the conversation goes on, it is there already.
                    self.agents.retain(|agent| agent.name != created.agent.name);
                    self.agents.push(created.agent);
                }
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
