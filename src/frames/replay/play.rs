//! [`Player`]: the client of the recording, once more.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Message, protocol::CloseFrame},
};
use url::Url;

use super::{
    Difference, Options, Report,
    compare::{Streams, compare},
    recording::{Recording, Said},
    side::Side,
    translation::Translation,
};
use crate::{
    frames::{ToolError, record::http_origin},
    protocol::{
        VERSION,
        published::{Reading, check_server},
    },
};

/// The ping behind which nothing more is expected.
const BARRIER: &str = "replay-end";
/// Frames that came and are not looked at yet.
const QUEUE: usize = 1_024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Player<'r> {
    recording: &'r Recording,
    url: Url,
    token: Option<String>,
    patience: Duration,
    /// All of the recording.
    whole: Side,
    /// As much of it as was played.
    recorded: Side,
    live: Side,
    open: BTreeMap<u64, Open>,
    heard: (mpsc::Sender<(u64, Heard)>, mpsc::Receiver<(u64, Heard)>),
    /// Connections whose user the recording does not know how to come back as.
    strangers: HashSet<u64>,
    /// Connections that the client closed.
    left: HashSet<u64>,
    here: Translation,
    report: Report,
}

/// A connection to the server.
struct Open {
    sink: SplitSink<Socket, Message>,
    reading: AbortHandle,
}

enum Heard {
    Frame(String),
    Closed(u16),
}

impl<'r> Player<'r> {
    pub fn new(recording: &'r Recording, options: &Options) -> Result<Self, ToolError> {
        let mut url = http_origin(&options.url)?;
        let given = Url::parse(&options.url).map_err(|_| ToolError::Address { url: options.url.clone() })?;
        url.set_path(if given.path() == "/" { "/ws" } else { given.path() });
        url.set_query(given.query());
        url.set_scheme("ws").map_err(|()| ToolError::Address { url: options.url.clone() })?;
        let patience = Duration::try_from_secs_f64(options.patience)
            .map_err(|error| ToolError::Other(format!("--patience: {error}")))?;
        Ok(Self {
            recording,
            url,
            token: options.token.clone(),
            patience,
            whole: Side::of(recording),
            recorded: Side::default(),
            live: Side::default(),
            open: BTreeMap::new(),
            heard: mpsc::channel(QUEUE),
            strangers: HashSet::new(),
            left: HashSet::new(),
            here: Translation::default(),
            report: Report { connections: 0, sent: 0, compared: 0, differences: Vec::new() },
        })
    }

    /// Goes through the recording line by line, and compares at its end.
    pub async fn play(mut self) -> Result<Report, ToolError> {
        for step in &self.recording.steps {
            if !self.step(step).await? {
                return Ok(self.report);
            }
        }
        if !self.caught_up().await {
            self.stop(0, "the end of the recording");
            return Ok(self.report);
        }
        self.settle().await;
        self.compare(false);
        Ok(self.report)
    }

    /// Compares what came; `partly`: only frames of which both sides have one.
    fn compare(&mut self, partly: bool) {
        for (connection, recorded) in &self.recorded.streams {
            let none = Streams::new();
            let came = self.live.streams.get(connection).unwrap_or(&none);
            let mut recorded = Side::canonical(recorded, &self.whole.names);
            let mut came = Side::canonical(came, &self.live.names);
            if partly {
                let count = |streams: &Streams, key: &String| streams.get(key).map_or(0, Vec::len);
                for key in recorded.keys().chain(came.keys()).cloned().collect::<HashSet<_>>() {
                    let both = count(&recorded, &key).min(count(&came, &key));
                    for side in [&mut recorded, &mut came] {
                        side.entry(key.clone()).or_default().truncate(both);
                    }
                }
            }
            self.report.compared += recorded.values().map(|frames| frames.len() as u64).sum::<u64>();
            compare(*connection, &recorded, &came, &mut self.report.differences);
        }
    }

    /// Returns whether to go on.
    async fn step(&mut self, step: &'r super::recording::Step) -> Result<bool, ToolError> {
        let connection = step.connection;
        if !self.recorded.streams.contains_key(&connection) {
            if !self.caught_up().await {
                self.stop(connection, &format!("line {}", step.line));
                return Ok(false);
            }
            self.connect(connection).await?;
        }
        match &step.said {
            Said::Server(frame) => {
                self.recorded.hear(connection, frame);
                return Ok(true);
            }
            Said::ServerClosed(code) => {
                // One that answers the client's says nothing.
                if !self.left.contains(&connection) {
                    self.recorded.close(connection, *code);
                }
                return Ok(true);
            }
            Said::Client(..) | Said::ClientClosed(_) => {}
        }
        if !self.caught_up().await {
            self.stop(connection, &format!("line {}", step.line));
            return Ok(false);
        }
        match &step.said {
            Said::Client(text, frame) => self.send(connection, step.line, text, frame.as_ref()).await,
            // One that answers the server's has been sent.
            Said::ClientClosed(code) if !self.live.closed.contains(&connection) => {
                self.left.insert(connection);
                self.leave(connection, *code).await;
            }
            _ => {}
        }
        Ok(true)
    }

    async fn connect(&mut self, connection: u64) -> Result<(), ToolError> {
        let unreachable = |reason: String| ToolError::Unreachable { url: self.url.to_string(), reason };
        let uri = self.url.as_str().parse().map_err(|_| ToolError::Address { url: self.url.to_string() })?;
        let mut request = ClientRequestBuilder::new(uri).with_sub_protocol(VERSION);
        let greeting = self.recording.steps.iter().find_map(|step| match &step.said {
            Said::Server(frame) if step.connection == connection => Some(&frame["payload"]["data"]),
            _ => None,
        });
        let newcomer = greeting.is_none_or(|data| data["sessionToken"].is_string());
        let user = greeting.and_then(|data| data["userId"].as_str());
        if !newcomer {
            match user.and_then(|user| self.here.token(user)).or(self.token.as_ref()) {
                Some(token) => request = request.with_header("Authorization", format!("Bearer {token}")),
                None => drop(self.strangers.insert(connection)),
            }
        }
        let (socket, _) = connect_async(request).await.map_err(|error| unreachable(error.to_string()))?;
        let (sink, mut stream) = socket.split();
        let heard = self.heard.0.clone();
        let reading = tokio::spawn(async move {
            let code = loop {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        if heard.send((connection, Heard::Frame(text.as_str().to_owned()))).await.is_err() {
                            return;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => break frame.map_or(1005, |frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break 1006,
                }
            };
            let _ = heard.send((connection, Heard::Closed(code))).await;
        });
        self.open.insert(connection, Open { sink, reading: reading.abort_handle() });
        self.recorded.streams.entry(connection).or_default();
        self.live.streams.entry(connection).or_default();
        self.report.connections += 1;
        Ok(())
    }

    async fn send(&mut self, connection: u64, line: u64, text: &str, frame: Option<&Value>) {
        let message = match frame {
            Some(frame) => Message::text(self.here.frame(text, frame)),
            None if text.starts_with("redacted:") => {
                self.note(connection, &format!("line {line}"), "was redacted, and cannot be sent");
                return;
            }
            None => match text.strip_prefix("binary:").map(|bytes| STANDARD.decode(bytes)) {
                Some(Ok(bytes)) => Message::binary(bytes),
                _ => Message::text(text.to_owned()),
            },
        };
        self.report.sent += 1;
        let sent = match self.open.get_mut(&connection) {
            Some(open) => open.sink.send(message).await.is_ok(),
            None => false,
        };
        if !sent {
            self.note(connection, &format!("line {line}"), "could not be sent: the connection is gone");
        }
    }

    async fn leave(&mut self, connection: u64, code: u16) {
        let Some(mut open) = self.open.remove(&connection) else { return };
        self.live.closed.insert(connection);
        if code == 1006 {
            // Both halves go, and with them the TCP connection.
            open.reading.abort();
            return;
        }
        let frame = (code != 1005).then(|| CloseFrame { code: code.into(), reason: "".into() });
        let _ = open.sink.send(Message::Close(frame)).await;
    }

    /// Waits until everything has come that has come so far in the recording. Returns whether it did.
    async fn caught_up(&mut self) -> bool {
        let deadline = Instant::now() + self.patience;
        while self.missing().is_some() {
            match timeout_at(deadline, self.heard.1.recv()).await {
                Ok(Some((connection, heard))) => self.take(connection, heard),
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    /// A frame that has not come, of a connection.
    fn missing(&self) -> Option<(u64, String)> {
        for (connection, recorded) in &self.recorded.streams {
            let came = self.live.streams.get(connection);
            let count = |key: &String| came.and_then(|came| came.get(key)).map_or(0, Vec::len);
            if let Some((key, _)) = recorded.iter().find(|(key, frames)| count(key) < frames.len()) {
                return Some((*connection, key.clone()));
            }
        }
        // Of a reply that had begun, a piece; not as many.
        let ended = |(connection, reply): &&(u64, String)| {
            let came = self.live.streams.get(connection);
            came.is_some_and(|came| came.contains_key(&format!("end of {reply}")))
        };
        let late = self.recorded.begun.iter().find(|reply| !self.live.begun.contains(*reply) && !ended(reply));
        late.map(|(connection, reply)| (*connection, format!("a piece of {reply}")))
    }

    fn take(&mut self, connection: u64, heard: Heard) {
        let text = match heard {
            Heard::Frame(text) => text,
            Heard::Closed(code) => {
                // That it answers our own close is no news.
                if !self.live.closed.contains(&connection) && self.open.contains_key(&connection) {
                    self.live.close(connection, code);
                }
                return;
            }
        };
        if let Err(rejection) = check_server(&text, Reading::Open)
            && let Some(violation) = rejection.violations().first()
        {
            let note = format!("is not valid: {} {}", violation.pointer, violation.message);
            self.note(connection, "a frame", &note);
        }
        let mut frame: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if self.strangers.contains(&connection)
            && let Some(data) = frame.pointer_mut("/payload/data").and_then(Value::as_object_mut)
        {
            data.remove("sessionToken");
        }
        if frame["replyTo"] == BARRIER {
            self.live.begun.insert((connection, BARRIER.to_owned()));
            return;
        }
        let Some((key, index)) = self.live.hear(connection, &frame) else { return };
        let place = self.whole.streams.get(&connection).and_then(|streams| streams.get(&key)?.get(index));
        if let Some(recorded) = place.cloned() {
            self.here.pair(&recorded, &frame);
        }
    }

    /// Whatever else was on its way has come when a ping is answered.
    async fn settle(&mut self) {
        let ping = json!({"id": BARRIER, "type": "ping"}).to_string();
        let mut asked = Vec::new();
        for (connection, open) in &mut self.open {
            if !self.live.closed.contains(connection) && open.sink.send(Message::text(ping.clone())).await.is_ok() {
                asked.push(*connection);
            }
        }
        let deadline = Instant::now() + self.patience;
        let answered = |player: &Self| {
            asked.iter().all(|connection| {
                let barrier = (*connection, BARRIER.to_owned());
                player.live.begun.contains(&barrier) || player.live.closed.contains(connection)
            })
        };
        while !answered(self) {
            match timeout_at(deadline, self.heard.1.recv()).await {
                Ok(Some((connection, heard))) => self.take(connection, heard),
                Ok(None) | Err(_) => {
                    self.note(0, "a ping at the end", "was not answered");
                    break;
                }
            }
        }
        for connection in asked {
            self.leave(connection, 1000).await;
        }
    }

    /// Something is missing that everything after it depends on.
    fn stop(&mut self, connection: u64, place: &str) {
        let (on, key) = self.missing().unwrap_or((connection, "a frame".to_owned()));
        let expected = self.recorded.streams.get(&on).and_then(|streams| streams.get(&key)?.last().cloned());
        let note = format!("did not come within {} s, so the replay ends before {place}", self.patience.as_secs_f64());
        let (pointer, note) = (String::new(), Some(note));
        self.report.differences.push(Difference { connection: on, frame: key, pointer, expected, got: None, note });
        self.compare(true);
    }

    fn note(&mut self, connection: u64, frame: &str, note: &str) {
        self.report.differences.push(Difference {
            connection,
            frame: frame.to_owned(),
            pointer: String::new(),
            expected: None,
            got: None,
            note: Some(note.to_owned()),
        });
    }
}
