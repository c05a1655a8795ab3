//! [`World`]: what the played server remembers: its log, and what was begun in it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::protocol::Timestamp;

pub const TEMPLATE: &str = "default-world";
pub const NAME: &str = "conform";
/// A token that no real server would have issued.
pub const TOKEN: &str = "conform-token-conform-token-conform-token-0";

pub struct World {
    pub epoch: String,
    /// The durable frames, each with its `seq`.
    pub log: Vec<Value>,
    /// The chat message that is being answered.
    pub root: String,
    /// The running replies, by agent: id, and how many code points were sent.
    replies: Map<String, Value>,
}

impl World {
    pub fn new() -> Self {
        Self { epoch: "conformance00001".to_owned(), log: Vec::new(), root: id(), replies: Map::new() }
    }

    pub fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn cursor(&self, seq: u64) -> String {
        format!("{}:{seq}", self.epoch)
    }

    /// The history is another one from here on.
    pub fn renew(&mut self) {
        self.epoch = "conformance00002".to_owned();
        self.log.clear();
    }

    fn append(&mut self, mut frame: Value) -> Value {
        frame["seq"] = json!(self.head() + 1);
        self.log.push(frame.clone());
        frame
    }

    pub fn connected(&self, newcomer: bool) -> Value {
        let mut data = json!({
            "clientId": id(),
            "userId": "anon_019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12",
            "serverTime": now(),
            "protocolVersion": crate::protocol::VERSION,
        });
        if newcomer {
            data["sessionToken"] = json!(TOKEN);
        }
        status("connected", data)
    }

    pub fn selected(&self) -> Value {
        let agent = |name: &str| {
            json!({"name": name, "status": "active", "config": {"provider": "script", "hasApiKey": false},
                   "createdAt": "2026-01-15T10:00:00.000Z", "llmCallCount": 0})
        };
        frame(
            "world_selected",
            json!({
                "worldName": NAME, "templateName": TEMPLATE, "worldState": {"name": NAME, "turnLimit": 5},
                "agents": [agent("guide"), agent("critic")], "persistent": false,
                "cursor": self.cursor(self.head()), "success": true, "message": "The world is selected.",
            }),
        )
    }

    /// A human speaks. `root`: of the chain that begins with it.
    pub fn human(&mut self, root: &str, content: &str) -> Value {
        let payload = json!({"content": content, "messageId": root, "rootId": root});
        self.event("human", "human", "message", payload)
    }

    pub fn message(&mut self, agent: &str, content: &str) -> Value {
        let reply = self.replies.get(agent).and_then(|reply| reply["id"].as_str()).map_or_else(id, str::to_owned);
        let payload = json!({"content": content, "messageId": reply, "inReplyTo": self.root, "rootId": self.root});
        self.event(agent, "agent", "message", payload)
    }

    pub fn settled(&mut self) -> Value {
        let payload = json!({"action": "settled", "rootId": self.root});
        self.event("world", "world", "world", payload)
    }

    pub fn event(&mut self, sender: &str, sender_type: &str, kind: &str, payload: Value) -> Value {
        let mut frame = frame("event_stream", Value::Null);
        let event = json!({
            "id": frame["id"], "type": kind, "timestamp": frame["timestamp"],
            "sender": sender, "senderType": sender_type, "payload": payload,
        });
        frame["payload"] = json!({"worldName": NAME, "event": event, "eventType": kind});
        self.append(frame)
    }

    pub fn start(&mut self, agent: &str) -> Value {
        self.replies.insert(agent.to_owned(), json!({"id": id(), "root": self.root, "length": 0}));
        let frame = self.reply(agent, json!({"content": "", "offset": 0, "complete": false}));
        self.append(frame)
    }

    /// A piece of a reply, behind what was sent of it; or at another `offset`.
    pub fn delta(&mut self, agent: &str, content: &str, offset: Option<u64>) -> Value {
        let reply = &mut self.replies[agent];
        let offset = offset.unwrap_or_else(|| reply["length"].as_u64().unwrap_or_default());
        reply["length"] = json!(offset + content.chars().count() as u64);
        self.reply(agent, json!({"content": content, "offset": offset, "complete": false}))
    }

    pub fn end(&mut self, agent: &str, content: &str, reason: &str) -> Value {
        let mut payload = json!({"content": content, "offset": 0, "complete": true, "finishReason": reason});
        if reason == "error" {
            payload["error"] = error("PROVIDER_ERROR", true);
        }
        let frame = self.reply(agent, payload);
        self.append(frame)
    }

    pub fn has(&self, agent: &str) -> bool {
        self.replies.contains_key(agent)
    }

    fn reply(&self, agent: &str, more: Value) -> Value {
        let reply = &self.replies[agent];
        let mut payload = json!({
            "worldName": NAME, "agentName": agent, "messageId": reply["id"],
            "inReplyTo": reply["root"], "rootId": reply["root"],
        });
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        frame("chat_response", payload)
    }
}

pub fn id() -> String {
    Uuid::now_v7().to_string()
}

pub fn frame(kind: &str, payload: Value) -> Value {
    json!({"id": id(), "type": kind, "timestamp": now(), "payload": payload})
}

pub fn status(kind: &str, data: Value) -> Value {
    frame("status", json!({"type": kind, "message": kind, "data": data}))
}

pub fn error(code: &str, retryable: bool) -> Value {
    json!({"code": code, "message": "The conformance kit says so.", "retryable": retryable})
}

fn now() -> String {
    Timestamp::from_ms(jiff::Timestamp::now().as_millisecond()).to_string()
}
