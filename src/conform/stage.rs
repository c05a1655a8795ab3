//! [`Stage`]: where one scenario plays. Everything that the server sends comes in through [`Stage::take`], everything
//! that it is sent goes out through [`Stage::send_frame`] and [`Stage::say`]; both hold it against the published
//! schemas. What is wrong with a frame of ours is the harness's fault, and never the server's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{
    change::{Armed, Edit, Select},
    host::Host,
    mutant::Mutant,
    peer::{Frame, Peer, Raw},
    published::published,
    standing::{Fault, Seen, fault},
    value::{BadValue, Values},
};

/// How long a broken server may be silent, once it has done what it does.
const AFTER_MUTATION: Duration = Duration::from_millis(1_500);
/// How many lines of the conversation are told around a failure.
const TOLD: usize = 14;

/// Why a step did not succeed.
#[derive(Debug)]
pub enum Stop {
    /// The implementation is wrong: what the named check, or the step, says about it.
    Failed {
        check: Option<String>,
        text: String,
        /// What else does not hold of the same frames.
        also: Vec<(String, String)>,
    },
    /// The scenario or the kit is wrong.
    Harness(String),
}

impl From<BadValue> for Stop {
    fn from(bad: BadValue) -> Self {
        Self::Harness(bad.to_string())
    }
}

/// What a conversation touched, for the coverage of messages, routes and codes.
#[derive(Debug, Default, Clone)]
pub struct Touched {
    pub client: BTreeSet<String>,
    pub server: BTreeSet<String>,
    pub routes: BTreeSet<String>,
    pub codes: BTreeSet<String>,
    pub closes: BTreeSet<u16>,
}

pub struct Stage {
    pub host: Host,
    pub values: Values,
    pub peers: BTreeMap<String, Peer>,
    pub client: reqwest::Client,
    pub faults: Vec<Fault>,
    pub touched: Touched,
    pub limit: Duration,
    /// The broken server that is played, if one is.
    pub mutant: Option<Mutant>,
    pub armed: Option<Armed>,
    /// When the broken server did what it does.
    pub fired: Option<Instant>,
    /// Whether it left something out, so that waiting for it is in vain.
    hurry: bool,
    /// When something came last.
    heard: Option<Instant>,
    seen: Seen,
    log: Vec<String>,
    ids: u64,
    /// Whether the server holds so little for a client that any client may fall behind.
    pub tight: bool,
    /// Values that must never be sent by the server.
    pub secrets: Vec<String>,
    /// Tokens whose worlds are removed in the end.
    pub tokens: Vec<String>,
}

impl Stage {
    pub fn new(host: Host, limit: Duration, mutant: Option<Mutant>) -> Result<Self, Stop> {
        // A connection of its own for each request: a server that was restarted has forgotten the others.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build();
        let client = client.map_err(|error| Stop::Harness(error.to_string()))?;
        let values = Values::new(&host.name, host.port);
        Ok(Self {
            host,
            values,
            peers: BTreeMap::new(),
            client,
            faults: Vec::new(),
            touched: Touched::default(),
            limit,
            mutant,
            armed: None,
            fired: None,
            hurry: true,
            heard: None,
            seen: Seen::new(),
            log: Vec::new(),
            ids: 0,
            tight: false,
            secrets: Vec::new(),
            tokens: Vec::new(),
        })
    }

    /// Adds a line to what is told when something fails.
    pub fn note(&mut self, arrow: &str, peer: &str, text: &str) {
        let short: String = text.chars().take(700).collect();
        let more = if short.len() < text.len() { format!("… ({} bytes)", text.len()) } else { String::new() };
        self.log.push(format!("{peer} {arrow} {short}{more}"));
    }

    /// The end of the conversation.
    pub fn told(&self) -> Vec<String> {
        self.log[self.log.len().saturating_sub(TOLD)..].to_vec()
    }

    /// The connection that a step speaks of: the only one, if it names none.
    pub fn peer_name(&self, on: Option<&String>) -> Result<String, Stop> {
        match on {
            Some(name) if self.peers.contains_key(name) => Ok(name.clone()),
            Some(name) => Err(Stop::Harness(format!("there is no connection {name:?}"))),
            None => {
                let mut names = self.peers.keys();
                match (names.next(), names.next()) {
                    (Some(only), None) => Ok(only.clone()),
                    _ => Err(Stop::Harness("`on` must say which connection is meant".to_owned())),
                }
            }
        }
    }

    fn peer(&mut self, name: &str) -> Result<&mut Peer, Stop> {
        self.peers.get_mut(name).ok_or_else(|| Stop::Harness(format!("there is no connection {name:?}")))
    }

    // Out.

    /// An id that this scenario has not used.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("c-{}", self.ids)
    }

    /// Sends a frame that the schemas allow.
    pub async fn send_frame(&mut self, name: &str, frame: &Value) -> Result<(), Stop> {
        let wrong = published().client_frame(frame);
        if !wrong.is_empty() {
            return Err(Stop::Harness(format!("not a frame that a client may send: {}\n{frame}", wrong.join("; "))));
        }
        let (id, kind) = (frame["id"].as_str().unwrap_or_default(), frame["type"].as_str().unwrap_or_default());
        self.touched.client.insert(kind.to_owned());
        let text = frame.to_string();
        self.note("→", name, &text);
        self.peer(name)?.standing.asks(id, kind);
        self.send(name, Message::text(text)).await
    }

    /// A server that reads nothing must not hold the kit up.
    async fn send(&mut self, name: &str, message: Message) -> Result<(), Stop> {
        let limit = self.limit;
        // A line that is closed says so when it is read.
        match tokio::time::timeout(limit, self.peer(name)?.send(message)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(super::play::failed(None, "the server does not read what it is sent")),
        }
    }

    /// Sends what need be no frame.
    pub async fn say(&mut self, name: &str, message: Message) -> Result<(), Stop> {
        let frame = message.to_text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let frame = frame.filter(|frame| message.is_text() && published().client_frame(frame).is_empty());
        match &message {
            Message::Text(text) => self.note("→", name, text),
            other => self.note("→", name, &format!("{other:?}")),
        }
        let peer = self.peer(name)?;
        match frame {
            // Written out by hand, and a frame all the same.
            Some(frame) => {
                peer.standing.asks(frame["id"].as_str().unwrap_or_default(), frame["type"].as_str().unwrap_or_default())
            }
            None => peer.standing.babbles(),
        }
        self.send(name, message).await
    }

    pub async fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        self.note("→", name, &format!("{} bytes below WebSocket", bytes.len()));
        self.peer(name)?.write(bytes).await;
        Ok(())
    }

    // In.

    /// When a step ends at the latest that begins now, however much the server sends.
    pub fn until(&self, within: Option<f64>) -> Instant {
        Instant::now() + within.map_or(self.limit, Duration::from_secs_f64)
    }

    /// When waiting ends: with the step, or earlier once a broken server did what it does and is silent.
    fn deadline(&self, until: Instant) -> Instant {
        let silent_since =
            self.fired.filter(|_| self.hurry).map(|fired| self.heard.map_or(fired, |heard| heard.max(fired)));
        silent_since.map_or(until, |since| until.min(since + AFTER_MUTATION))
    }

    /// Begins a change to what comes on one connection; what waits there is looked at first.
    pub fn arm(&mut self, name: &str, select: Select, edit: Edit) -> Result<(), Stop> {
        self.hurry = !matches!(edit, Edit::Insert(_));
        let mut armed = Armed::new(name, select, edit);
        let waiting: Vec<Frame> = self.peer(name)?.inbox.drain(..).collect();
        let mut inbox = Vec::new();
        for frame in waiting {
            match armed.apply(&frame.json, &self.values) {
                None => inbox.push(frame),
                Some(instead) => inbox.extend(instead.into_iter().map(|json| Frame { text: json.to_string(), json })),
            }
        }
        if armed.fired {
            self.fired = Some(Instant::now());
        }
        self.peer(name)?.inbox = inbox.into();
        self.armed = Some(armed);
        Ok(())
    }

    /// The next frame of a connection that no step has taken: the one place where frames are received. `until`: when
    /// the step ends that asks.
    pub async fn take(&mut self, name: &str, until: Instant) -> Result<Taken, Stop> {
        loop {
            let deadline = self.deadline(until);
            let peer = self.peer(name)?;
            if let Some(frame) = peer.inbox.pop_front() {
                return Ok(Taken::Frame(frame));
            }
            // A server that sends for ever always has something ready.
            if Instant::now() >= until {
                return Ok(Taken::Nothing);
            }
            match peer.receive(deadline).await {
                Raw::Text { text, id } => self.hear(name, text, id),
                Raw::Binary => {
                    self.note("←", name, "a binary frame");
                    self.faults.push(fault("schema", "the server sent a binary frame"));
                }
                Raw::Garbled(line) => {
                    self.note("←", name, &line);
                    self.faults.push(fault("schema", format!("not a server-sent event: {line}")));
                }
                Raw::Closed(code) => {
                    if let Some(code) = code {
                        self.touched.closes.insert(code);
                    }
                    return Ok(Taken::Closed(code));
                }
                Raw::Nothing => return Ok(Taken::Nothing),
            }
        }
    }

    /// A text arrives: changed if a broken server is played, held against the schemas and the standing checks, and
    /// put into the inbox.
    fn hear(&mut self, name: &str, text: String, id: Option<String>) {
        self.note("←", name, &text);
        self.heard = Some(Instant::now());
        let mut frame: Value = match serde_json::from_str(&text) {
            Ok(frame @ Value::Object(_)) => frame,
            Ok(_) => return self.faults.push(fault("schema", format!("no object: {text}"))),
            Err(error) => return self.faults.push(fault("schema", format!("not JSON: {error}"))),
        };
        if let Some(id) = &id {
            frame["sse"] = json!({"id": id});
        }
        let armed = self.armed.as_mut().filter(|armed| armed.peer == name);
        let tampered = self.mutant.as_mut().and_then(|mutant| mutant.tamper.as_mut());
        let tampered = tampered.and_then(|tamper| tamper.apply(&frame, &self.values));
        if let Some(frames) = &tampered {
            self.hurry = frames.is_empty();
            self.fired = Some(Instant::now());
        }
        let instead = armed.and_then(|armed| {
            let instead = armed.apply(&frame, &self.values);
            if instead.is_some() && self.fired.is_none() {
                self.fired = Some(Instant::now());
            }
            instead
        });
        match tampered.or(instead) {
            None => self.arrive(name, frame, text),
            Some(frames) => {
                for frame in frames {
                    let text = frame.to_string();
                    self.note("← (mutant)", name, &text);
                    self.arrive(name, frame, text);
                }
            }
        }
    }

    /// `frame` has the id of its event as `sse.id`, which is no part of what was sent.
    fn arrive(&mut self, name: &str, mut frame: Value, text: String) {
        let event = frame.as_object_mut().and_then(|frame| frame.remove("sse"));
        let id = event.as_ref().and_then(|event| event["id"].as_str()).map(str::to_owned);
        if let Some(secret) = self.secrets.iter().find(|secret| text.contains(secret.as_str())) {
            self.faults
                .push(fault("secret", format!("the secret {}… is told", secret.chars().take(4).collect::<String>())));
        }
        let wrong = published().server_frame(&frame);
        self.faults.extend(wrong.into_iter().map(|wrong| fault("schema", format!("{wrong}\n{text}"))));
        let kind = frame["type"].as_str().unwrap_or_default();
        let variant = frame["payload"]["type"].as_str();
        self.touched.server.insert(variant.map_or(kind.to_owned(), |variant| format!("{kind}/{variant}")));
        for code in [&frame["payload"]["code"], &frame["payload"]["error"]["code"]] {
            self.touched.codes.extend(code.as_str().map(str::to_owned));
        }
        let Some(peer) = self.peers.get_mut(name) else { return };
        self.faults.extend(peer.standing.hears(&frame, &text, id.as_deref(), &mut self.seen));
        if let Some(event) = event {
            frame["sse"] = event;
        }
        peer.inbox.push_back(Frame { json: frame, text });
    }
}

/// What a connection had to give.
#[derive(Debug)]
pub enum Taken {
    Frame(Frame),
    Closed(Option<u16>),
    /// Nothing within the time.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::peer::Line;

    fn stage() -> Stage {
        let mut stage =
            Stage::new(Host { name: "127.0.0.1".to_owned(), port: 9 }, Duration::from_secs(5), None).unwrap();
        stage.peers.insert("s".to_owned(), Peer::new(Line::Gone));
        stage
    }

    #[test]
    fn what_is_no_object_is_no_frame() {
        for text in ["[1]", "7", "null", "\"status\"", "{"] {
            for id in [None, Some("epoch:1".to_owned())] {
                let mut stage = stage();
                stage.hear("s", text.to_owned(), id);
                assert!(matches!(&stage.faults[..], [fault] if fault.check == "schema"), "{text}: {:?}", stage.faults);
                assert!(stage.peers["s"].inbox.is_empty(), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_sends_for_ever_does_not_hold_a_step_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            use futures_util::SinkExt;
            let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
            while socket.send(Message::text(r#"{"type":"event_stream"}"#)).await.is_ok() {}
        });
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/ws"), tcp).await.unwrap();
        let mut stage = stage();
        stage.peers.insert("a".to_owned(), Peer::new(Line::Socket(Box::new(socket))));
        let until = stage.until(Some(0.2));
        let mut frames = 0;
        let step = async {
            while let Taken::Frame(_) = stage.take("a", until).await.unwrap() {
                frames += 1;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), step).await.expect("the step ends");
        assert!(frames > 0);
        server.abort();
    }
}
