//! [`Translation`]: what stands in the recording, as this server calls it: ids, cursors, tokens.

use std::collections::HashMap;

use serde_json::Value;

use super::canonical::{marks, rewrite};

/// From the recorded to what is its like here.
#[derive(Default)]
pub struct Translation {
    ids: HashMap<String, String>,
    epochs: HashMap<String, String>,
    /// Numbers of events.
    seqs: HashMap<u64, u64>,
    /// The tokens of this server's users, by the recorded user.
    tokens: HashMap<String, String>,
}

impl Translation {
    /// What stands in a recorded frame is, here, what stands in this one.
    pub fn pair(&mut self, recorded: &Value, live: &Value) {
        if let (Some(recorded), Some(live)) = (recorded["seq"].as_u64(), live["seq"].as_u64()) {
            self.seqs.insert(recorded, live);
        }
        let (mut before, mut now) = (Vec::new(), Vec::new());
        marks(recorded, "", &mut before);
        marks(live, "", &mut now);
        for (at, mark) in before {
            let Some((_, here)) = now.iter().find(|(place, _)| *place == at) else { continue };
            match (mark.split_once(':'), here.split_once(':')) {
                (Some((epoch, seq)), Some((now, number))) => {
                    self.epochs.insert(epoch.to_owned(), now.to_owned());
                    if let (Ok(seq), Ok(number)) = (seq.parse(), number.parse()) {
                        self.seqs.entry(seq).or_insert(number);
                    }
                }
                _ => drop(self.ids.insert(mark, here.clone())),
            }
        }
        let data = |frame: &Value, field: &str| frame["payload"]["data"][field].as_str().map(str::to_owned);
        if let (Some(user), Some(token)) = (data(recorded, "userId"), data(live, "sessionToken")) {
            self.tokens.insert(user, token);
        }
    }

    pub fn token(&self, user: &str) -> Option<&String> {
        self.tokens.get(user)
    }

    /// A recorded frame of the client, as it is sent here. One in which nothing has to be rewritten is `text`, byte for
    /// byte.
    pub fn frame(&self, text: &str, frame: &Value) -> String {
        let id = |id: &str| self.ids.get(id).cloned();
        let cursor = |cursor: &str| {
            let (epoch, seq) = cursor.split_once(':')?;
            let seq: u64 = seq.parse().ok()?;
            let epoch = self.epochs.get(epoch)?;
            Some(format!("{epoch}:{}", self.seqs.get(&seq).copied().unwrap_or(seq)))
        };
        let mut rewritten = frame.clone();
        if let Some(payload) = rewritten.get_mut("payload") {
            rewrite(payload, &id, &cursor);
        }
        let same = serde_json::from_str::<Value>(text).is_ok_and(|original| original == rewritten);
        if same { text.to_owned() } else { rewritten.to_string() }
    }
}
