//! What holds of every conversation, whatever its scenario asks for: the standing checks. One [`Standing`] follows one
//! connection or stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::published::published;

/// The standing checks, what each asks for, and the rules of docs/PROTOCOL.md that it holds.
pub const STANDING: [(&str, &str, &str); 14] = [
    ("schema", "every frame and body is what the published schemas say", "R2.3 R2.5 R2.12 R3.10 R8.1"),
    (
        "connected-first",
        "the first frame of a connection is `connected`, or the error that refuses it; it comes once",
        "R3.15",
    ),
    ("answered-once", "every request gets exactly one frame with its `replyTo`", "R3.10"),
    ("answers-in-order", "requests are answered in the order in which they came", "R2.17"),
    (
        "answer-kind",
        "a request is answered by the reply of its message, or by an error that the message lists",
        "R3.10 R8.6",
    ),
    ("reply-to", "direct answers carry `replyTo`, pushes never do", "R2.13"),
    ("answer-first", "an answer is sent before the pushes that its request caused", "R2.19"),
    ("seq", "within a subscription `seq` strictly increases; durable frames have one, others none", "R2.14 R3.36 R4.5"),
    (
        "reply-life",
        "a reply is one start, pieces that follow each other, and one end with the whole text",
        "R3.26 R3.28 R3.29 R3.32 R3.37",
    ),
    ("reply-ends", "when a root is settled, every reply of it has ended", "R3.32 R3.64 R3.74"),
    (
        "coherent",
        "`finishReason` on ends only, `error` with `error` only; an event says again what its frame says",
        "R3.33 R3.34 R3.35 R3.77",
    ),
    ("identity", "ids are UUIDs of version 7, times are UTC with milliseconds", "R2.3 R2.7"),
    ("same-bytes", "a durable frame is the same bytes wherever and whenever it is sent", "R2.15 R2.16"),
    ("secret", "a key that was written never appears in a frame, body or header", "R6.75"),
];

/// The rules that are held in every conversation.
pub fn rules() -> impl Iterator<Item = String> {
    STANDING.iter().flat_map(|(_, _, rules)| rules.split(' ').map(str::to_owned))
}

/// One standing check that did not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub check: &'static str,
    pub text: String,
}

pub fn fault(check: &'static str, text: impl Into<String>) -> Fault {
    Fault { check, text: text.into() }
}

#[derive(Debug, Default)]
pub struct Standing {
    /// Whether it is a stream of server-sent events, on which nothing is asked.
    stream: bool,
    /// Whether the client may fall behind (R4.31): then it may get the end of a reply without all of its pieces.
    pub slow: bool,
    greeted: bool,
    /// Requests without an answer: id and message.
    pending: VecDeque<(String, String)>,
    answered: BTreeSet<String>,
    /// What was sent that is no frame, and may be answered without `replyTo`.
    unframed: usize,
    last_seq: Option<u64>,
    open: BTreeMap<String, Reply>,
    ended: BTreeSet<String>,
}

#[derive(Debug)]
struct Reply {
    root: Value,
    text: String,
    pieces: usize,
}

/// Durable frames that were seen anywhere in a scenario, by their id.
pub type Seen = BTreeMap<String, String>;

impl Standing {
    pub fn new(stream: bool) -> Self {
        Self { stream, ..Self::default() }
    }

    /// A frame is sent.
    pub fn asks(&mut self, id: &str, kind: &str) {
        self.answered.remove(id);
        self.pending.push_back((id.to_owned(), kind.to_owned()));
    }

    /// Something is sent that is no valid frame.
    pub fn babbles(&mut self) {
        self.unframed += 1;
    }

    /// The requests that nothing has answered.
    pub fn unanswered(&self) -> Vec<Fault> {
        let pending = self.pending.iter();
        pending
            .map(|(id, kind)| fault("answered-once", format!("{kind} with the id {id:?} was never answered")))
            .collect()
    }

    /// A frame of the server.
    pub fn hears(&mut self, frame: &Value, text: &str, sse: Option<&str>, seen: &mut Seen) -> Vec<Fault> {
        let mut faults = Vec::new();
        let kind = frame["type"].as_str().unwrap_or_default();
        let variant = frame["payload"]["type"].as_str().unwrap_or_default();
        identity(frame, &mut faults);
        self.greeting(kind, variant, &mut faults);
        self.answer(frame, kind, variant, &mut faults);
        if matches!((kind, variant), ("world_selected", _) | ("status", "subscribed" | "unsubscribed")) {
            self.last_seq = None;
            self.open.clear();
            self.ended.clear();
        }
        self.position(frame, kind, sse, &mut faults);
        if kind == "chat_response" {
            self.reply(frame, &mut faults);
        }
        if let (Some(_), Some(id)) = (frame["seq"].as_u64(), frame["id"].as_str())
            && let Some(before) = seen.insert(id.to_owned(), text.to_owned())
            && before != text
        {
            faults.push(fault("same-bytes", format!("the frame {id} was sent before as {before}")));
        }
        let event = &frame["payload"]["event"];
        if event["payload"]["action"] == "settled" {
            let root = &event["payload"]["rootId"];
            for (id, _) in self.open.iter().filter(|(_, reply)| reply.root == *root) {
                faults.push(fault("reply-ends", format!("{root} is settled, and the reply {id} has not ended")));
            }
        }
        faults
    }

    fn greeting(&mut self, kind: &str, variant: &str, faults: &mut Vec<Fault>) {
        let connected = (kind, variant) == ("status", "connected");
        // A stream of events begins with whatever it is of.
        if !self.greeted && !self.stream && !connected && kind != "error" {
            faults.push(fault("connected-first", format!("the first frame is {kind}")));
        }
        if self.greeted && connected {
            faults.push(fault("connected-first", "`connected` came twice"));
        }
        self.greeted = true;
    }

    fn answer(&mut self, frame: &Value, kind: &str, variant: &str, faults: &mut Vec<Fault>) {
        let push = matches!(
            (kind, variant),
            ("event_stream" | "chat_response", _) | ("status", "connected" | "caught_up" | "draining")
        );
        let Some(reply_to) = frame["replyTo"].as_str() else {
            if kind == "error" && !self.stream {
                // A refused connection, or what was sent was no frame.
                self.unframed = self.unframed.saturating_sub(1);
            } else if !push && !self.stream {
                faults.push(fault("reply-to", format!("{kind} {variant} has no `replyTo`")));
            }
            return;
        };
        if push || self.stream {
            faults.push(fault("reply-to", format!("{kind} {variant} has a `replyTo`, and answers nothing")));
            return;
        }
        match self.pending.iter().position(|(id, _)| id == reply_to) {
            Some(at) => {
                if at > 0 {
                    let (id, kind) = &self.pending[0];
                    let text = format!("{reply_to:?} is answered before {id:?} ({kind}), which came first");
                    faults.push(fault("answers-in-order", text));
                }
                let asked = self.pending.remove(at).map(|(_, kind)| kind).unwrap_or_default();
                self.answered.insert(reply_to.to_owned());
                self.answer_kind(frame, kind, variant, &asked, faults);
            }
            None if self.unframed > 0 && kind == "error" => self.unframed -= 1,
            None if self.answered.contains(reply_to) => {
                faults.push(fault("answered-once", format!("{reply_to:?} is answered again")));
            }
            None => faults.push(fault("answered-once", format!("`replyTo` {reply_to:?} is of no request"))),
        }
    }

    fn answer_kind(&self, frame: &Value, kind: &str, variant: &str, asked: &str, faults: &mut Vec<Fault>) {
        let data = &frame["payload"]["data"];
        if kind == "error" {
            let code = frame["payload"]["code"].as_str().unwrap_or_default();
            if !published().lists(asked, code) {
                faults.push(fault("answer-kind", format!("{asked} does not list the error {code}")));
            }
            return;
        }
        let wire = published().reply_to(asked);
        if wire != kind && wire != format!("{kind}/{variant}") {
            faults.push(fault("answer-kind", format!("{asked} is answered by {wire}, not by {kind} {variant}")));
        }
        if asked == "chat_send"
            && data["duplicate"] == false
            && let (Some(seq), Some(last)) = (data["seq"].as_u64(), self.last_seq)
            && last >= seq
        {
            faults.push(fault("answer-first", format!("the message {seq} is accepted after the push {last}")));
        }
    }

    fn position(&mut self, frame: &Value, kind: &str, sse: Option<&str>, faults: &mut Vec<Fault>) {
        let payload = &frame["payload"];
        let start = payload["content"] == "" && payload["offset"] == 0;
        let durable = kind == "event_stream" || kind == "chat_response" && (payload["complete"] == true || start);
        let seq = frame.get("seq").and_then(Value::as_u64);
        match seq {
            None if durable => faults.push(fault("seq", format!("{kind} is durable and has no `seq`"))),
            Some(seq) if !durable => {
                faults.push(fault("seq", format!("{kind} has the `seq` {seq} and is not durable")))
            }
            Some(seq) => {
                if let Some(last) = self.last_seq.filter(|last| *last >= seq) {
                    faults.push(fault("seq", format!("`seq` {seq} comes after {last}")));
                }
                self.last_seq = Some(seq);
            }
            None => {}
        }
        if self.stream {
            match (sse.and_then(|id| id.rsplit(':').next()), seq) {
                (Some(id), Some(seq)) if id == seq.to_string() => {}
                (None, None) => {}
                (_, seq) => faults.push(fault("seq", format!("the event's id {sse:?} is not the position of {seq:?}"))),
            }
        }
    }

    fn reply(&mut self, frame: &Value, faults: &mut Vec<Fault>) {
        let payload = &frame["payload"];
        let id = payload["messageId"].as_str().unwrap_or_default().to_owned();
        let text = payload["content"].as_str().unwrap_or_default();
        let offset = payload["offset"].as_u64().unwrap_or_default();
        let has = |field: &str| payload.get(field).is_some();
        let complete = payload["complete"] == true;
        if has("finishReason") != complete
            || has("error") != (payload["finishReason"] == "error")
            || has("usage") && !complete
        {
            let text = format!("`finishReason`, `error` or `usage` stand where they do not belong: {frame}");
            faults.push(fault("coherent", text));
        }
        let life = |text: String| fault("reply-life", text);
        if self.ended.contains(&id) {
            faults.push(life(format!("more comes of the reply {id}, which has ended")));
        } else if complete {
            if offset != 0 {
                faults.push(life(format!("the end of {id} has the offset {offset}")));
            }
            if let Some(reply) = self.open.remove(&id)
                && reply.pieces > 0
                && payload["finishReason"] != "interrupted"
                && reply.text != text
                && !(self.slow && text.starts_with(&reply.text))
            {
                faults.push(life(format!("the end of {id} says {text:?}, its pieces say {:?}", reply.text)));
            }
            self.ended.insert(id);
        } else if frame.get("seq").is_some() {
            let reply = Reply { root: payload["rootId"].clone(), text: String::new(), pieces: 0 };
            if self.open.insert(id.clone(), reply).is_some() {
                faults.push(life(format!("the reply {id} starts twice")));
            }
        } else {
            let root = payload["rootId"].clone();
            let known = self.open.contains_key(&id);
            let reply = self.open.entry(id.clone()).or_insert_with(|| Reply { root, text: String::new(), pieces: 0 });
            if offset == 0 {
                reply.text = text.to_owned();
            } else if !known || reply.text.chars().count() as u64 != offset {
                let so_far = reply.text.chars().count();
                faults.push(life(format!("a piece of {id} has the offset {offset}, and {so_far} came so far")));
            } else {
                reply.text.push_str(text);
            }
            reply.pieces += 1;
        }
    }
}

fn identity(frame: &Value, faults: &mut Vec<Fault>) {
    let id = frame["id"].as_str().unwrap_or_default();
    if id.len() != 36 || id.as_bytes()[14] != b'7' {
        faults.push(fault("identity", format!("the id {id:?} is no UUID of version 7")));
    }
    let time = frame["timestamp"].as_str().unwrap_or_default();
    if time.len() != 24 || !time.ends_with('Z') || time.as_bytes()[19] != b'.' {
        faults.push(fault("identity", format!("the time {time:?} is not UTC with milliseconds")));
    }
    if frame["type"] == "event_stream" {
        let (event, kind) = (&frame["payload"]["event"], &frame["payload"]["eventType"]);
        let own = matches!(kind.as_str(), Some("world" | "system"));
        let wrong = [
            ("id", event["id"] != frame["id"]),
            ("timestamp", event["timestamp"] != frame["timestamp"]),
            ("type", event["type"] != *kind),
            ("sender", own && event["sender"] != *kind),
        ];
        for (field, _) in wrong.iter().filter(|(_, wrong)| *wrong) {
            faults.push(fault("coherent", format!("the event has another {field} than its frame says: {frame}")));
        }
    }
}
