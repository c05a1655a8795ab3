//! Who answers a message: mentions, and the rules of docs/PROTOCOL.md §6.
//!
//! Pure text and name work; nothing here knows the log or a provider.

use super::state::World;
use crate::protocol::{AgentName, AgentStatus};

/// Longest run of characters after `@` that can still be an agent name.
const MAX_NAME: usize = 64;

/// The first mention of `text`: the name behind the first `@` that stands at the start or after a character
/// that is neither an ASCII word character nor `@`. The longest run of `[A-Za-z0-9_-]` counts; a run that is
/// not of an agent name's form is no mention at all.
pub fn first_mention(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'@')) {
        let at = from + found;
        let name = &text[at + 1..];
        let end = name.bytes().position(|b| !is_name_byte(b)).unwrap_or(name.len());
        let name = &name[..end];
        let opens = at == 0 || !(is_word_byte(bytes[at - 1]) || bytes[at - 1] == b'@');
        if opens && end <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Some(name);
        }
        from = at + 1;
    }
    None
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_name_byte(byte: u8) -> bool {
    is_word_byte(byte) || byte == b'-'
}

/// `human` and `user`, in any case: the words that name the person at the keyboard.
pub fn is_human_word(name: &str) -> bool {
    name.eq_ignore_ascii_case("human") || name.eq_ignore_ascii_case("user")
}

/// Names that no agent may have.
pub fn is_reserved(name: &str) -> bool {
    is_human_word(name) || name.eq_ignore_ascii_case("system") || name.eq_ignore_ascii_case("world")
}

/// Who said it, as far as routing cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker<'a> {
    Human,
    Agent(&'a str),
}

/// Who is to answer, in the world's order of agents, and the mention that decided it, if one did.
#[derive(Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub answering: Vec<AgentName>,
    pub mention: Option<&'a str>,
}

/// Decides who answers `content`. `target` is an agent that exists; it overrides mentions.
pub fn route<'a>(world: &World, speaker: Speaker<'_>, content: &'a str, target: Option<&AgentName>) -> Route<'a> {
    let may_answer = |name: &str| {
        let own = matches!(speaker, Speaker::Agent(me) if me.eq_ignore_ascii_case(name));
        world
            .agent(name)
            .filter(|agent| !own && agent.public.status != AgentStatus::Inactive)
            .map(|agent| agent.public.name.clone())
    };
    if let Some(target) = target {
        return Route { answering: may_answer(target.as_str()).into_iter().collect(), mention: None };
    }
    let mention = first_mention(content);
    let answering = match (mention, speaker) {
        (Some(name), _) => may_answer(name).into_iter().collect(),
        (None, Speaker::Human) => world.agents().filter_map(|agent| may_answer(agent.public.name.as_str())).collect(),
        (None, Speaker::Agent(_)) => Vec::new(),
    };
    Route { answering, mention }
}

#[cfg(test)]
mod tests {
    use super::first_mention;

    #[test]
    fn the_first_mention_is_found_where_the_rule_says() {
        for (text, expected) in [
            ("hi", None),
            ("@a1", Some("a1")),
            ("hey @A1", Some("A1")),
            ("@a1, @a2", Some("a1")),
            ("@a1.", Some("a1")),
            ("(@a1)", Some("a1")),
            ("@@a1 hi", None),
            ("@1a hi", None),
            ("@1a @a2", Some("a2")),
            ("mail bob@example.com", None),
            ("_@a1", None),
            ("é@a1", Some("a1")),
            ("-@a1", Some("a1")),
            ("@a1-x", Some("a1-x")),
            ("@a1_", Some("a1_")),
            ("@", None),
            ("@ a1", None),
            ("@ä", None),
            ("a@b @c", Some("c")),
        ] {
            assert_eq!(first_mention(text), expected, "{text:?}");
        }
        let long = format!("@{}", "a".repeat(65));
        assert_eq!(first_mention(&long), None);
    }
}
