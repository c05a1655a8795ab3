//! The `script` provider: plays a file instead of asking a model, always in the same way.
//!
//! What a script may say is `schema/script.json`; this is how it is played.

use super::{Call, Finish, PromptItem, ProviderError, Role, Step, Steps, Usage};
use crate::protocol::{
    Script, ScriptFault, ScriptFinish, ScriptReply, ScriptRule, ScriptSplit, SenderType, decode_body,
};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::time::sleep;

/// How much of a message `{message}` stands for, in characters.
const MAX_QUOTE: usize = 1000;
/// The longest text that placeholders may make of one chunk, in bytes: what a reply may have.
const MAX_TEXT: usize = 256 * 1024;
/// How many pieces are sent before others get a chance to run.
const PIECES_PER_TURN: u64 = 128;

/// The embedded demonstration, as text.
pub const DEMO: &str = include_str!("../../templates/demo.script.json");

/// A script that has been read and checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScriptBook(Arc<Script>);

/// A script file that cannot be played: where, as JSON Pointers, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the script is not valid: {0}")]
pub struct InvalidScript(pub String);

impl ScriptBook {
    /// Reads a script file's content.
    ///
    /// # Errors
    /// What it says is not allowed by `schema/script.json`.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidScript> {
        decode_body(json).map(|script| Self(Arc::new(script))).map_err(|refused| InvalidScript(refused.line()))
    }

    /// The embedded demonstration, which says that it is one and how to configure a model.
    pub fn demo() -> Self {
        Self::parse(DEMO.as_bytes()).unwrap_or_else(|_| unreachable!("a test parses the embedded script"))
    }

    /// The script's name: what stands where a model's name would.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Plays the reply to `call`.
    pub(super) fn play(&self, call: &Call) -> Steps {
        let scene = Scene::of(call);
        let rule = self.0.rules.iter().flat_map(|rules| rules.iter()).position(|rule| scene.matches(rule));
        let book = Arc::clone(&self.0);
        Box::pin(async_stream::try_stream! {
            let reply: &ScriptReply = match rule.and_then(|at| book.rules.as_ref()?.get(at)) {
                Some(rule) => &rule.reply,
                None => &book.otherwise,
            };
            let mut pieces: u64 = 0;
            for chunk in &reply.chunks {
                let text = scene.fill(&chunk.text);
                for _ in 0..chunk.repeat.get() {
                    for piece in (Pieces { rest: &text, split: chunk.split }) {
                        strike(reply.fault.as_ref(), pieces).await?;
                        if chunk.delay_ms.get() > 0 {
                            sleep(Duration::from_millis(chunk.delay_ms.get())).await;
                        }
                        pieces += 1;
                        yield Step::Text(piece.to_owned());
                        if pieces.is_multiple_of(PIECES_PER_TURN) {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
            strike(reply.fault.as_ref(), u64::MAX).await?;
            let finish = match reply.finish {
                ScriptFinish::Stop => Finish::Stop,
                ScriptFinish::Length => Finish::Length,
            };
            let usage = reply.usage.as_ref().map(|usage| Usage {
                input_tokens: usage.input_tokens.get(),
                output_tokens: usage.output_tokens.get(),
            });
            yield Step::End { finish, usage };
        })
    }
}

/// The fault, if it is due after `pieces` pieces.
async fn strike(fault: Option<&ScriptFault>, pieces: u64) -> Result<(), ProviderError> {
    let Some(fault) = fault else { return Ok(()) };
    let due = match fault {
        ScriptFault::Error(fault) => fault.after_pieces,
        ScriptFault::Hang(fault) => fault.after_pieces,
        ScriptFault::Cut(fault) => fault.after_pieces,
    };
    if pieces < due.get() {
        return Ok(());
    }
    match fault {
        ScriptFault::Hang(_) => pending().await,
        ScriptFault::Cut(_) => Err(ProviderError::cut()),
        ScriptFault::Error(fault) => Err(ProviderError {
            retryable: fault.retryable,
            retry_after: fault.retry_after_ms.map(|ms| Duration::from_millis(ms.get())),
            ..ProviderError::lasting(fault.message.to_string(), "fault of the script")
        }),
    }
}

/// The pieces of a text; together they are the text.
struct Pieces<'a> {
    rest: &'a str,
    split: ScriptSplit,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let length = match self.split {
            ScriptSplit::Whole => self.rest.len(),
            ScriptSplit::Words => word(self.rest),
        };
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(piece)
    }
}

/// The length of the first word, with the white space before it, and after it if no word follows.
fn word(text: &str) -> usize {
    let start = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    let end = text[start..].find(char::is_whitespace).map_or(text.len(), |length| start + length);
    if text[end..].trim_start().is_empty() { text.len() } else { end }
}

/// What rules look at and placeholders stand for.
struct Scene {
    agent: String,
    from: String,
    sender: SenderType,
    message: String,
    /// The message in small letters, for `contains`.
    folded: String,
    call: u64,
}

impl Scene {
    fn of(call: &Call) -> Self {
        let answered = call.prompt.answered_item();
        let message = answered.map(|item| item.content.clone()).unwrap_or_default();
        Self {
            agent: call.agent.clone(),
            from: answered.and_then(|item| item.speaker.clone()).unwrap_or_else(|| "human".to_owned()),
            sender: answered.map_or(SenderType::Human, sender),
            folded: message.to_lowercase(),
            message,
            call: call.call_number,
        }
    }

    fn matches(&self, rule: &ScriptRule) -> bool {
        rule.agent.as_ref().is_none_or(|agent| agent.eq_ignore_ascii_case(&self.agent))
            && rule.from.as_ref().is_none_or(|from| from.eq_ignore_ascii_case(&self.from))
            && rule.from_type.is_none_or(|sender| sender == self.sender)
            && rule.contains.as_ref().is_none_or(|text| self.folded.contains(&text.to_lowercase()))
            && rule.call.is_none_or(|call| call.get() == self.call)
    }

    /// Replaces the placeholders, from left to right, once.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            let (before, at) = rest.split_at(brace);
            filled.push_str(before);
            let known = [("{agent}", &self.agent), ("{from}", &self.from), ("{message}", &self.message)];
            if let Some((name, value)) = known.into_iter().find(|(name, _)| at.starts_with(name)) {
                filled.extend(value.chars().take(MAX_QUOTE));
                rest = &at[name.len()..];
            } else if let Some(after) = at.strip_prefix("{call}") {
                filled.push_str(&self.call.to_string());
                rest = after;
            } else {
                filled.push('{');
                rest = &at[1..];
            }
            if filled.len() > MAX_TEXT {
                filled.truncate(filled.floor_char_boundary(MAX_TEXT));
                return filled;
            }
        }
        filled.push_str(rest);
        filled
    }
}

fn sender(item: &PromptItem) -> SenderType {
    match item.role {
        Role::Agent | Role::Own => SenderType::Agent,
        Role::Human => SenderType::Human,
        Role::World => SenderType::World,
    }
}
