use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::log::{TokenHash, WorldId};

/// Turns wait after this append: these messages are the tickets.
pub(super) const TICKET: &str = "t";
/// Every other append.
pub(super) const REST: &str = "r";

/// How streams, subjects and keys are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    pub log: String,
    pub snapshots: String,
    pub directory: String,
}

impl Names {
    /// None for a prefix that cannot be part of the name of a stream.
    pub fn new(prefix: &str) -> Option<Self> {
        let word = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !word || !(1..=32).contains(&prefix.len()) {
            return None;
        }
        let upper = prefix.to_ascii_uppercase();
        Some(Self {
            prefix: prefix.to_owned(),
            log: format!("{upper}_LOG"),
            snapshots: format!("{upper}_SNAPSHOTS"),
            // As key-value buckets are called, so that tools for them can read it.
            directory: format!("KV_{prefix}_dir"),
        })
    }

    pub fn log_subjects(&self) -> String {
        format!("{}.log.*.*", self.prefix)
    }

    pub fn snapshot_subjects(&self) -> String {
        format!("{}.snap.>", self.prefix)
    }

    pub fn directory_subjects(&self) -> String {
        format!("$KV.{}_dir.>", self.prefix)
    }

    pub fn append(&self, world: WorldId, ticket: bool) -> String {
        let kind = if ticket { TICKET } else { REST };
        format!("{}.log.{}.{kind}", self.prefix, world.simple())
    }

    /// All messages of a world.
    pub fn world(&self, world: WorldId) -> String {
        format!("{}.log.{}.*", self.prefix, world.simple())
    }

    pub fn tickets(&self) -> String {
        format!("{}.log.*.{TICKET}", self.prefix)
    }

    /// The world and the kind of a message of the log.
    pub fn parse<'a>(&self, subject: &'a str) -> Option<(WorldId, &'a str)> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix(".log.")?;
        let (world, kind) = rest.split_once('.')?;
        Some((Uuid::try_parse(world).ok()?, kind))
    }

    pub fn snapshot(&self, world: WorldId) -> String {
        format!("{}.snap.{}", self.prefix, world.simple())
    }

    pub fn live(&self, world: WorldId) -> String {
        format!("{}.live.{}", self.prefix, world.simple())
    }

    pub fn ask(&self, world: WorldId) -> String {
        format!("{}.ask.{}", self.prefix, world.simple())
    }

    pub fn all(&self) -> String {
        format!("{}.all", self.prefix)
    }

    /// Nobody subscribes to it: a server answers at once that there is no one.
    pub fn nobody(&self) -> String {
        format!("{}.nobody", self.prefix)
    }

    /// The subject of a key of the directory.
    pub fn key(&self, key: &str) -> String {
        format!("$KV.{}_dir.{key}", self.prefix)
    }
}

pub(super) fn user_key(user: &str) -> String {
    format!("user.{}", token(user))
}

pub(super) fn session_key(token: TokenHash) -> String {
    token.0.iter().fold("session.".to_owned(), |key, byte| format!("{key}{byte:02x}"))
}

pub(super) fn world_key(world: WorldId) -> String {
    format!("world.{}", world.simple())
}

pub(super) fn name_key(user: &str, name: &str) -> String {
    format!("name.{}.{}", token(user), token(&name.to_ascii_lowercase()))
}

/// All names of a user.
pub(super) fn names_of(user: &str) -> String {
    format!("name.{}.*", token(user))
}

/// Any text as one word of a subject. A lone `-` is no base64, so it can stand for the empty one.
fn token(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { URL_SAFE_NO_PAD.encode(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_word() {
        for text in ["", "-", "a.b", "*", ">", "한국어", "a b\r\n", "$KV"] {
            let key = name_key("u", text);
            assert_eq!(key.split('.').count(), 3, "{key}");
            assert!(!key.contains(['*', '>', ' ', '\r', '$']), "{key}");
        }
        assert_eq!(name_key("u", "Town"), name_key("u", "TOWN"));
        assert_ne!(user_key("Ann"), user_key("ann"));
        for prefix in ["", "a.b", "a b", "a*", &"x".repeat(33)] {
            assert!(Names::new(prefix).is_none(), "{prefix}");
        }
        let names = Names::new("agent-world").unwrap();
        let world = Uuid::now_v7();
        assert_eq!(names.parse(&names.append(world, true)), Some((world, TICKET)));
        assert_eq!(names.parse("agent-world.log.x.r"), None);
    }
}
