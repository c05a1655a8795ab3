//! What the terminal shows. Replies that are written at the same time take turns: one streams, the others gather
//! until it is complete, so that every reply stands in one piece under its agent's name.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use agent_world::protocol::{AgentName, ChatResponse, FinishReason, MessageId};

/// Colours that are readable on light and dark.
const PALETTE: [&str; 6] = ["\x1b[36m", "\x1b[35m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[31m"];
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

pub struct Screen<W> {
    out: W,
    colour: bool,
    /// Replies that are not fully shown, in the order in which they began. The first one has the floor.
    replies: VecDeque<Reply>,
    /// Agents in the order in which they first spoke: each keeps its colour.
    agents: Vec<AgentName>,
    /// Whether the cursor stands behind something on its line.
    midline: bool,
    prompted: bool,
}

struct Reply {
    id: MessageId,
    agent: AgentName,
    text: String,
    /// Code points that are shown; none, and the name is not either.
    shown: Option<usize>,
    /// What is to be said of its end.
    ended: Option<String>,
}

impl<W: Write> Screen<W> {
    pub fn new(out: W, colour: bool) -> Self {
        Self { out, colour, replies: VecDeque::new(), agents: Vec::new(), midline: false, prompted: false }
    }

    /// A line of this program's own.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.fresh_line()?;
        let line = self.painted(DIM, &clean(text));
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// A question whose answer is typed behind it.
    pub fn ask(&mut self, text: &str) -> io::Result<()> {
        self.fresh_line()?;
        write!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Shows that something can be typed, unless it is shown already.
    pub fn prompt(&mut self) -> io::Result<()> {
        if self.prompted {
            return Ok(());
        }
        self.fresh_line()?;
        let prompt = self.painted(DIM, "> ");
        write!(self.out, "{prompt}")?;
        (self.prompted, self.midline) = (true, true);
        self.out.flush()
    }

    /// The terminal has ended the line itself: something was typed.
    pub fn typed(&mut self) {
        if self.prompted {
            (self.prompted, self.midline) = (false, false);
        }
    }

    /// Something that was said at once.
    pub fn said(&mut self, sender: &str, text: &str) -> io::Result<()> {
        self.fresh_line()?;
        let name = self.painted(DIM, &format!("{sender}:"));
        writeln!(self.out, "{name} {}", clean(text))?;
        self.out.flush()
    }

    /// A piece of a reply: its start, more text, or its end.
    pub fn reply(&mut self, piece: ChatResponse) -> io::Result<()> {
        let at = match self.replies.iter().position(|reply| reply.id == piece.message_id) {
            Some(at) => at,
            None => {
                let (id, agent) = (piece.message_id, piece.agent_name);
                self.replies.push_back(Reply { id, agent, text: String::new(), shown: None, ended: None });
                self.replies.len() - 1
            }
        };
        let Some(reply) = self.replies.get_mut(at) else { return Ok(()) };
        let offset = usize::try_from(piece.offset.get()).unwrap_or(usize::MAX);
        let keep = reply.text.char_indices().nth(offset).map_or(reply.text.len(), |(byte, _)| byte);
        if !(piece.complete && piece.content.is_empty()) {
            reply.text.truncate(keep);
            reply.text.push_str(&piece.content);
        }
        if piece.complete {
            let error = piece.error.map(|error| error.message).unwrap_or_default();
            reply.ended = Some(match piece.finish_reason {
                Some(FinishReason::Stop) | None => String::new(),
                Some(FinishReason::Length) => "[cut off at its limit]".to_owned(),
                Some(FinishReason::Cancelled) => "[cancelled]".to_owned(),
                Some(FinishReason::Interrupted) => "[interrupted]".to_owned(),
                Some(FinishReason::Error) => format!("[failed: {error}]"),
            });
        }
        self.show()
    }

    /// What is not complete never will be: nobody can say its end any more.
    pub fn abandon(&mut self) {
        self.replies.clear();
    }

    /// Shows what can be shown now: the first reply as far as it is there, and, when it is complete, the next.
    fn show(&mut self) -> io::Result<()> {
        while let Some(mut reply) = self.replies.pop_front() {
            let shown = reply.shown.unwrap_or(0);
            let more: String = reply.text.chars().skip(shown).collect();
            if reply.shown.is_none() && more.is_empty() && reply.ended.is_none() {
                self.replies.push_front(reply);
                break;
            }
            if reply.shown.is_none() {
                self.fresh_line()?;
                let name = self.named(&reply.agent);
                write!(self.out, "{name} ")?;
            }
            write!(self.out, "{}", clean(&more))?;
            self.midline = true;
            let Some(ended) = &reply.ended else {
                reply.shown = Some(shown + more.chars().count());
                self.replies.push_front(reply);
                break;
            };
            if !ended.is_empty() {
                let space = if reply.text.is_empty() || reply.text.ends_with('\n') { "" } else { " " };
                let ended = self.painted(DIM, &clean(ended));
                write!(self.out, "{space}{ended}")?;
            }
            writeln!(self.out)?;
            self.midline = false;
        }
        self.out.flush()
    }

    fn fresh_line(&mut self) -> io::Result<()> {
        if self.midline {
            writeln!(self.out)?;
        }
        (self.midline, self.prompted) = (false, false);
        Ok(())
    }

    fn named(&mut self, agent: &AgentName) -> String {
        let at = match self.agents.iter().position(|known| known == agent) {
            Some(at) => at,
            None => {
                self.agents.push(agent.clone());
                self.agents.len() - 1
            }
        };
        self.painted(PALETTE[at % PALETTE.len()], &format!("{agent}:"))
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

/// Text of others as a terminal may show it: without control characters, which could move the cursor or worse.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
