//! [`Names`]: what a message is called, by where it comes from. Two servers give the same message two ids; it is the
//! reply of the same agent to the same message all the same.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

#[derive(Default)]
pub struct Names {
    by_id: HashMap<String, String>,
    taken: HashSet<String>,
}

impl Names {
    pub fn name(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    /// Takes note of the messages that a frame of the server speaks of.
    pub fn learn(&mut self, frame: &Value) {
        let payload = &frame["payload"];
        match frame["type"].as_str().unwrap_or_default() {
            "chat_response" => {
                let to = self.heard(&payload["inReplyTo"]);
                self.heard(&payload["rootId"]);
                let agent = payload["agentName"].as_str().unwrap_or_default();
                self.give(&payload["messageId"], format!("the reply of {agent} to {to}"));
            }
            "event_stream" => {
                let event = &payload["event"];
                let inner = &event["payload"];
                let head = if inner["inReplyTo"].is_string() { &inner["inReplyTo"] } else { &inner["rootId"] };
                if event["type"] == "message" {
                    let sender = event["sender"].as_str().unwrap_or_default();
                    let name = match head == &inner["messageId"] {
                        // The head of a chain is known by its words, whoever hears of it first.
                        true => format!("{sender}'s “{}”", beginning(inner["content"].as_str().unwrap_or_default())),
                        false => format!("what {sender} said after {}", self.heard(head)),
                    };
                    self.give(&inner["messageId"], name);
                    self.heard(&inner["rootId"]);
                } else {
                    self.heard(&inner["messageId"]);
                    self.heard(&inner["rootId"]);
                }
            }
            _ => {}
        }
    }

    /// The name of a message; one from before the recording gets one by its turn.
    fn heard(&mut self, id: &Value) -> String {
        self.give(id, "an earlier message".to_owned());
        id.as_str().and_then(|id| self.name(id)).unwrap_or_default().to_owned()
    }

    /// Names a message that has none.
    fn give(&mut self, id: &Value, name: String) {
        let Some(id) = id.as_str().filter(|id| !self.by_id.contains_key(*id)) else { return };
        let free = |name: &String| !self.taken.contains(name);
        let again = (2..).map(|number| format!("{name} (number {number})"));
        let Some(name) = std::iter::once(name.clone()).chain(again).find(free) else { return };
        self.taken.insert(name.clone());
        self.by_id.insert(id.to_owned(), name);
    }
}

fn beginning(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    if start.len() < text.len() { format!("{start}…") } else { start }
}
