//! [`Player`]: takes a scenario's steps on a stage, one after the other, until one fails.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{
    mutant::{Edit, Kind, Select, against, altered, other},
    pattern::{No, fits, hold, short},
    peer::{Frame, Line, Peer},
    published::published,
    scenario::{Action, Ask, Connect, Hold, HoldKind, Sent, Step, Text, Watch, row_name},
    stage::{Stage, Stop, Taken},
    target::Server,
    value::Values,
};

/// How long the other side has for its part of a closing handshake.
const GOODBYE: Duration = Duration::from_secs(2);

pub struct Player {
    pub stage: Stage,
    /// The server of this scenario alone.
    pub server: Option<Server>,
    /// The messages that were sent and not waited for, by their id.
    sent: BTreeMap<String, String>,
    /// Frames that a step captured.
    captured: BTreeMap<String, Vec<Frame>>,
    /// The names of checks that held.
    pub held: Vec<String>,
    /// The step that runs, and the row that it runs for.
    pub at: Vec<String>,
}

/// A failure, and where: the check's name is that of the step or of one thing that holds.
pub fn failed(check: Option<String>, text: impl Into<String>) -> Stop {
    Stop::Failed { check, text: text.into(), also: Vec::new() }
}

impl Player {
    pub fn new(stage: Stage, server: Option<Server>) -> Self {
        Self { stage, server, sent: BTreeMap::new(), captured: BTreeMap::new(), held: Vec::new(), at: Vec::new() }
    }

    /// Takes the steps; stops at the first that fails.
    pub async fn run(&mut self, steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for (index, step) in steps.iter().enumerate() {
            self.at.push(format!("{}: {}", index + 1, step.describe()));
            let outcome = match &step.action {
                Action::Repeat { times, steps } => self.repeat(*times, steps, suffix).await,
                Action::Each { rows, steps } => self.each(rows, steps, suffix).await,
                _ => self.step(step, suffix).await,
            };
            // A broken server that did nothing yet is not yet seen.
            self.stage.armed = None;
            outcome?;
            if !self.stage.faults.is_empty() {
                return Err(failed(None, ""));
            }
            self.at.pop();
        }
        Ok(())
    }

    async fn repeat(&mut self, times: u64, steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for i in 1..=times {
            self.stage.values.set("i", json!(i));
            Box::pin(self.run(steps, suffix)).await?;
        }
        Ok(())
    }

    async fn each(&mut self, rows: &[Map<String, Value>], steps: &[Step], suffix: &str) -> Result<(), Stop> {
        for row in rows {
            for (name, value) in row {
                let value = self.stage.values.fill(value)?;
                self.stage.values.set(name, value);
            }
            self.at.push(format!("[{}]", row_name(row)));
            Box::pin(self.run(steps, &format!("{suffix} [{}]", row_name(row)))).await?;
            self.at.pop();
        }
        Ok(())
    }

    /// How this check is to be broken, if it is.
    pub fn broken(&self, check: Option<&str>, suffix: &str) -> Option<Kind> {
        let (mutant, check) = (self.stage.mutant.as_ref()?, check?);
        (mutant.check == format!("{check}{suffix}") && self.stage.fired.is_none()).then_some(mutant.kind)
    }

    pub fn fire(&mut self) {
        self.stage.fired.get_or_insert_with(tokio::time::Instant::now);
    }

    async fn step(&mut self, step: &Step, suffix: &str) -> Result<(), Stop> {
        let check = step.check.as_ref().map(|check| format!("{check}{suffix}"));
        let broken = self.broken(step.check.as_deref(), suffix);
        let within = step.within;
        let blame = |stop: Stop| match stop {
            Stop::Failed { check: None, text, .. } => failed(check.clone(), text),
            stop => stop,
        };
        let outcome = match &step.action {
            Action::Connect(connect) => self.connect(connect, broken, within).await,
            Action::Ask(ask) => self.ask(ask, broken, within).await,
            Action::Send(ask) => self.send(ask).await.map(|_| ()),
            Action::Answer(ask) => self.answer_later(ask, broken, within).await,
            Action::Text(text) => self.say(text).await,
            Action::Expect(watch) => self.expect(watch, broken, within).await,
            Action::Next(watch) => self.next(watch, broken, within).await,
            Action::Until(watch) => self.until(watch, broken, within, suffix).await,
            Action::Fence(watch) => self.fence(watch, within, suffix).await,
            Action::Http(http) => self.http(http, broken).await,
            Action::Stream(http) => self.stream(http, broken).await,
            Action::Ended(watch) | Action::Closed(watch) => {
                self.closed(watch, broken, within, suffix, matches!(step.action, Action::Closed(_))).await
            }
            Action::Leave(name) => {
                let name = self.stage.peer_name(Some(name))?;
                if let Some(mut peer) = self.stage.peers.remove(&name) {
                    peer.leave(GOODBYE).await;
                }
                Ok(())
            }
            Action::Kill(name) => {
                let name = self.stage.peer_name(Some(name))?;
                if let Some(mut peer) = self.stage.peers.remove(&name) {
                    peer.kill();
                }
                Ok(())
            }
            Action::Wait(ms) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
            Action::Restart(how) => self.restart(how == "kill").await,
            Action::Stop => self.server.as_ref().map(Server::ask_to_stop).ok_or_else(no_server),
            Action::Set(values) => self.set(values),
            Action::Value { value, is } => self.value(value, is, broken),
            Action::Repeat { .. } | Action::Each { .. } => Ok(()),
        };
        outcome.map_err(blame)?;
        self.held.extend(check);
        self.held.extend(step.holds().iter().map(|hold| format!("{}{suffix}", hold.check)));
        Ok(())
    }

    fn set(&mut self, values: &Map<String, Value>) -> Result<(), Stop> {
        for (name, value) in values {
            let value = self.stage.values.fill(value)?;
            if let (true, Some(secret)) = (name.starts_with("secret"), value.as_str()) {
                self.stage.secrets.push(secret.to_owned());
            }
            self.stage.values.set(name, value);
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, is: &Value, broken: Option<Kind>) -> Result<(), Stop> {
        let mut value = self.stage.values.fill(value)?;
        if broken.is_some() {
            self.fire();
            value = altered(is, &value, &self.stage.values);
        }
        fit(is, &value, &mut self.stage.values)
    }

    async fn restart(&mut self, at_once: bool) -> Result<(), Stop> {
        let server = self.server.as_mut().ok_or_else(no_server)?;
        server.restart(at_once).await.map_err(|error| failed(None, error.to_string()))?;
        let host = server.host.clone();
        self.stage.values.set("port", json!(host.port));
        self.stage.host = host;
        Ok(())
    }

    // WebSocket.

    async fn connect(&mut self, connect: &Connect, broken: Option<Kind>, within: Option<f64>) -> Result<(), Stop> {
        let name = &connect.connect;
        let harness = |error: &dyn std::fmt::Display| Stop::Harness(error.to_string());
        let mut request =
            format!("ws://{}/ws", self.stage.host.authority()).into_client_request().map_err(|e| harness(&e))?;
        let text = |values: &Values, text: &str| -> Result<String, Stop> {
            Ok(values.fill(&json!(text))?.as_str().unwrap_or_default().to_owned())
        };
        let header = |text: String| HeaderValue::from_str(&text).map_err(|error| harness(&error));
        let headers = request.headers_mut();
        if let Some(token) = &connect.token {
            let token = text(&self.stage.values, token)?;
            headers.insert("authorization", header(format!("Bearer {token}"))?);
        }
        if !connect.protocols.is_empty() {
            let all: Vec<String> =
                connect.protocols.iter().map(|one| text(&self.stage.values, one)).collect::<Result<_, _>>()?;
            headers.insert("sec-websocket-protocol", header(all.join(", "))?);
        }
        for (name, value) in &connect.headers {
            let name = tungstenite::http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| harness(&error))?;
            headers.insert(name, header(text(&self.stage.values, value)?)?);
        }
        self.stage.note("→", name, "GET /ws");
        let handshake = async {
            let stream = self.stage.host.tcp(connect.receive_buffer).await.map_err(tungstenite::Error::Io)?;
            client_async(request, stream).await
        };
        let handshake = tokio::time::timeout(self.stage.limit, handshake).await;
        let handshake = handshake.map_err(|_| failed(None, "the handshake does not end"))?;
        let refusal_expected = connect.status.is_some() || connect.problem.is_some();
        let (socket, response) = match handshake {
            Ok(_) if refusal_expected => return Err(failed(None, "the connection is accepted, and should be refused")),
            Ok(both) => both,
            Err(tungstenite::Error::Http(response)) if refusal_expected => {
                return self.refused(connect, &response, broken);
            }
            Err(error) => return Err(failed(None, format!("the handshake fails: {error}"))),
        };
        if let Some(echo) = &connect.echo {
            let mut echoed = response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
            if broken == Some(Kind::Header) {
                self.fire();
                echoed = if echoed.is_some() { None } else { Some("mutant") };
            }
            let echoed = echoed.map(|echoed| json!(echoed));
            hold(echo, echoed.as_ref(), &mut self.stage.values).map_err(|no| no_to_stop(no, "the subprotocol"))?;
        }
        let mut peer = Peer::new(Line::Socket(Box::new(socket)));
        peer.standing.slow = connect.receive_buffer.is_some();
        self.stage.peers.insert(name.clone(), peer);
        if connect.greeting == Some(false) {
            return Ok(());
        }
        match broken {
            Some(Kind::Lose) => self.stage.arm(name, Select::First, Edit::Lose)?,
            Some(Kind::Alter) => {
                let ok = connect.ok.clone().unwrap_or_default();
                self.stage.arm(name, Select::First, Edit::Alter(json!({"payload": {"data": ok}})))?;
            }
            _ => {}
        }
        let greeting = match self.stage.take(name, within).await? {
            Taken::Frame(frame) => frame.json,
            other => return Err(failed(None, format!("`connected` should come first; {}", nothing(&other)))),
        };
        fit(&json!({"type": "status", "payload": {"type": "connected"}}), &greeting, &mut self.stage.values)?;
        let data = &greeting["payload"]["data"];
        if let Some(ok) = &connect.ok {
            fit(ok, data, &mut self.stage.values)?;
        }
        self.stage.values.set(format!("{name}.user"), data["userId"].clone());
        let token = match (data["sessionToken"].as_str(), &connect.token) {
            (Some(token), _) => token.to_owned(),
            (None, Some(token)) => text(&self.stage.values, token)?,
            (None, None) => return Ok(()),
        };
        self.stage.values.set(format!("{name}.token"), json!(token));
        self.stage.tokens.push(token);
        Ok(())
    }

    fn refused(
        &mut self,
        connect: &Connect,
        response: &tungstenite::http::Response<Option<Vec<u8>>>,
        broken: Option<Kind>,
    ) -> Result<(), Stop> {
        let mut status = response.status().as_u16();
        let body = response.body().clone().unwrap_or_default();
        self.stage.note("←", &connect.connect, &format!("{status} {}", String::from_utf8_lossy(&body)));
        let media = response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(media_type);
        if !body.is_empty() {
            self.check_answer("GET", "/ws", status, media.as_deref(), &body);
        }
        if broken == Some(Kind::Status) {
            self.fire();
            status = 418;
        }
        let expected = connect.status.map_or(json!({"$min": 400}), |status| json!(status));
        fit(&expected, &json!(status), &mut self.stage.values).map_err(|stop| about(stop, "the status"))?;
        let Some(problem) = &connect.problem else { return Ok(()) };
        if broken.is_some() {
            return Err(failed(None, "another status"));
        }
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        fit(&code_pattern(problem), &json, &mut self.stage.values)
    }

    /// Sends a frame; returns its connection and id.
    async fn send(&mut self, ask: &Ask) -> Result<(String, String), Stop> {
        let name = self.stage.peer_name(ask.on.as_ref())?;
        let id = match &ask.id {
            Some(id) => self.stage.values.fill(&json!(id))?.as_str().unwrap_or_default().to_owned(),
            None => self.stage.next_id(),
        };
        let mut frame = json!({"id": id, "type": ask.kind});
        if let Some(payload) = &ask.payload {
            frame["payload"] = self.stage.values.fill(payload)?;
        } else if ask.kind != "ping" {
            frame["payload"] = json!({});
        }
        if let Some(key) = &ask.key {
            frame["idempotencyKey"] = self.stage.values.fill(&json!(key))?;
        }
        self.stage.send_frame(&name, &frame).await?;
        self.sent.insert(id.clone(), ask.kind.clone());
        Ok((name, id))
    }

    async fn ask(&mut self, ask: &Ask, broken: Option<Kind>, within: Option<f64>) -> Result<(), Stop> {
        let (name, id) = self.send(ask).await?;
        self.answer(&name, &id, &ask.kind, ask, broken, within).await
    }

    async fn answer_later(&mut self, ask: &Ask, broken: Option<Kind>, within: Option<f64>) -> Result<(), Stop> {
        let name = self.stage.peer_name(ask.on.as_ref())?;
        let id = ask.id.as_ref().map_or(Ok(Value::Null), |id| self.stage.values.fill(&json!(id)))?;
        let id = id.as_str().unwrap_or_default().to_owned();
        let kind = self.sent.get(&id).cloned();
        let kind = kind.ok_or_else(|| Stop::Harness(format!("nothing was sent with the id {id:?}")))?;
        self.answer(&name, &id, &kind, ask, broken, within).await
    }

    async fn answer(
        &mut self,
        name: &str,
        id: &str,
        kind: &str,
        ask: &Ask,
        broken: Option<Kind>,
        within: Option<f64>,
    ) -> Result<(), Stop> {
        let (wire, variant) = {
            let reply = published().reply_to(kind);
            reply.split_once('/').map_or((reply, None), |(wire, variant)| (wire, Some(variant)))
        };
        let pattern = match (&ask.error, &ask.ok) {
            (Some(error), _) => json!({"type": "error", "payload": code_pattern(error)}),
            (None, ok) => {
                let inner = ok.clone().unwrap_or_else(|| json!({}));
                match variant {
                    Some(variant) => json!({"type": wire, "payload": {"type": variant, "data": inner}}),
                    None => json!({"type": wire, "payload": inner}),
                }
            }
        };
        match broken {
            Some(Kind::Refuse) => self.stage.arm(name, Select::Answer(id.to_owned()), Edit::Refuse)?,
            Some(_) => {
                let inner = match (&ask.error, variant) {
                    (Some(error), _) => json!({"payload": error}),
                    (None, Some(_)) => json!({"payload": {"data": ask.ok}}),
                    (None, None) => json!({"payload": ask.ok}),
                };
                self.stage.arm(name, Select::Answer(id.to_owned()), Edit::Alter(inner))?;
            }
            None => {}
        }
        let answer = self.find(name, within, |frame, _| frame.json["replyTo"] == id).await?;
        fit(&pattern, &answer.json, &mut self.stage.values)
    }

    async fn say(&mut self, text: &Text) -> Result<(), Stop> {
        let name = self.stage.peer_name(text.on.as_ref())?;
        match &text.content {
            Sent::Text(parts) => {
                let text = joined(&self.stage.values, parts)?;
                self.stage.say(&name, Message::text(text)).await
            }
            Sent::Binary(bytes) => self.stage.say(&name, Message::binary(bytes.clone())).await,
            Sent::TextBytes(bytes) => self.stage.say(&name, Peer::text_bytes(bytes.clone())).await,
            Sent::Wire(bytes) => self.stage.write(&name, bytes).await,
        }
    }

    // Frames.

    /// The first frame that `is_it`; those before it stay.
    async fn find(
        &mut self,
        name: &str,
        within: Option<f64>,
        is_it: impl Fn(&Frame, &Values) -> bool,
    ) -> Result<Frame, Stop> {
        let mut passed = Vec::new();
        let found = loop {
            match self.stage.take(name, within).await? {
                Taken::Frame(frame) if is_it(&frame, &self.stage.values) => break Ok(frame),
                Taken::Frame(frame) => passed.push(frame),
                other => break Err(failed(None, format!("it does not come: {}", nothing(&other)))),
            }
        };
        if let Some(peer) = self.stage.peers.get_mut(name) {
            for frame in passed.into_iter().rev() {
                peer.inbox.push_front(frame);
            }
        }
        found
    }

    async fn expect(&mut self, watch: &Watch, broken: Option<Kind>, within: Option<f64>) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            self.stage.arm(&name, Select::Fits(watch.pattern.clone()), Edit::Lose)?;
        }
        let frame = self.find(&name, within, |frame, values| fits(&watch.pattern, &frame.json, values)).await;
        let frame = frame.map_err(|stop| self.unknown_names(&watch.pattern, stop))?;
        fit(&watch.pattern, &frame.json, &mut self.stage.values)
    }

    /// Whether what did not come could not come, because the scenario names what it never captured.
    fn unknown_names(&self, pattern: &Value, stop: Stop) -> Stop {
        match hold(pattern, Some(&super::mutant::made_up(pattern, &self.stage.values)), &mut self.stage.values.clone())
        {
            Err(No::Scenario(text)) => Stop::Harness(text),
            _ => stop,
        }
    }

    async fn next(&mut self, watch: &Watch, broken: Option<Kind>, within: Option<f64>) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            let (select, edit) = against(&HoldKind::Only(Vec::new()), &Value::Null, &self.stage.values);
            self.stage.arm(&name, select, edit)?;
        }
        match self.stage.take(&name, within).await? {
            Taken::Frame(frame) => fit(&watch.pattern, &frame.json, &mut self.stage.values),
            other => Err(failed(None, format!("the next frame does not come: {}", nothing(&other)))),
        }
    }

    /// Breaks what holds at the end of a step, if that is the check to break.
    fn break_holds(&mut self, name: &str, watch: &Watch, last: &Value, suffix: &str) -> Result<(), Stop> {
        let target = watch.holds.iter().find(|hold| self.broken(Some(&hold.check), suffix).is_some());
        if let Some(hold) = target {
            let (select, edit) = against(&hold.kind, last, &self.stage.values);
            self.stage.arm(name, select, edit)?;
        }
        Ok(())
    }

    async fn until(
        &mut self,
        watch: &Watch,
        broken: Option<Kind>,
        within: Option<f64>,
        suffix: &str,
    ) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            self.stage.arm(&name, Select::Fits(watch.pattern.clone()), Edit::Lose)?;
        }
        self.break_holds(&name, watch, &watch.pattern, suffix)?;
        let mut frames = Vec::new();
        loop {
            match self.stage.take(&name, within).await? {
                Taken::Frame(frame) => {
                    let last = fits(&watch.pattern, &frame.json, &self.stage.values);
                    frames.push(frame);
                    if last {
                        break;
                    }
                }
                other => {
                    let text = format!("the frame that ends this does not come: {}", nothing(&other));
                    return Err(self.unknown_names(&watch.pattern, failed(None, text)));
                }
            }
        }
        if let Some(last) = frames.last() {
            fit(&watch.pattern, &last.json, &mut self.stage.values)?;
        }
        self.collected(watch, frames, suffix)
    }

    async fn fence(&mut self, watch: &Watch, within: Option<f64>, suffix: &str) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        let id = self.stage.next_id();
        let last = json!({"replyTo": id});
        self.stage.send_frame(&name, &json!({"id": id, "type": "ping"})).await?;
        self.break_holds(&name, watch, &last, suffix)?;
        let mut frames = Vec::new();
        loop {
            match self.stage.take(&name, within).await? {
                Taken::Frame(frame) if frame.json["replyTo"] == id => break,
                Taken::Frame(frame) => frames.push(frame),
                other => return Err(failed(None, format!("a ping is not answered: {}", nothing(&other)))),
            }
        }
        self.collected(watch, frames, suffix)
    }

    async fn closed(
        &mut self,
        watch: &Watch,
        broken: Option<Kind>,
        within: Option<f64>,
        suffix: &str,
        with_code: bool,
    ) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        self.break_holds(&name, watch, &Value::Null, suffix)?;
        let mut frames = Vec::new();
        let mut code = loop {
            match self.stage.take(&name, within).await? {
                Taken::Frame(frame) => frames.push(frame),
                Taken::Closed(code) => break json!(code),
                Taken::Nothing => return Err(failed(None, "the server does not close it")),
            }
        };
        match broken {
            Some(Kind::Linger) => {
                self.fire();
                return Err(failed(None, "the server does not close it"));
            }
            Some(Kind::Status) => {
                self.fire();
                code = other(&code);
            }
            _ => {}
        }
        self.stage.note("←", &name, &format!("closed with {code}"));
        if with_code {
            fit(&watch.pattern, &code, &mut self.stage.values).map_err(|stop| about(stop, "the close code"))?;
        }
        self.collected(watch, frames, suffix)?;
        self.stage.peers.remove(&name);
        Ok(())
    }

    /// What holds of the frames that a step took.
    fn collected(&mut self, watch: &Watch, frames: Vec<Frame>, suffix: &str) -> Result<(), Stop> {
        let mut wrong: Vec<(String, String)> = Vec::new();
        for hold in &watch.holds {
            match self.holds(hold, &frames) {
                Ok(()) => {}
                Err(Stop::Failed { text, .. }) => wrong.push((format!("{}{suffix}", hold.check), text)),
                // It names what another one would have captured.
                Err(_) if !wrong.is_empty() => {}
                Err(stop) => return Err(stop),
            }
        }
        if !wrong.is_empty() {
            let also = wrong.split_off(1);
            let (check, text) = wrong.swap_remove(0);
            return Err(Stop::Failed { check: Some(check), text, also });
        }
        if let Some(name) = &watch.name {
            self.captured.insert(name.clone(), frames);
        }
        Ok(())
    }

    fn holds(&mut self, holds: &Hold, frames: &[Frame]) -> Result<(), Stop> {
        let values = &mut self.stage.values;
        let of = |pattern: &Value, values: &Values| -> Vec<Value> {
            frames.iter().filter(|frame| fits(pattern, &frame.json, values)).map(|frame| frame.json.clone()).collect()
        };
        match &holds.kind {
            HoldKind::Count { of: pattern, is } => {
                let count = of(pattern, values).len();
                fit(is, &json!(count), values)
                    .map_err(|stop| about(stop, &format!("the number of frames that fit {}", short(pattern))))
            }
            HoldKind::None(pattern) => match of(pattern, values).first() {
                None => Ok(()),
                Some(found) => {
                    Err(failed(None, format!("nothing should fit {}; {} does", short(pattern), short(found))))
                }
            },
            HoldKind::Some(pattern) => match of(pattern, values).first() {
                Some(found) => fit(pattern, found, values),
                None => Err(failed(None, format!("nothing fits {}", short(pattern)))),
            },
            HoldKind::Every { of: pattern, is } => {
                let fitting = of(pattern, values);
                if fitting.is_empty() {
                    return Err(failed(None, format!("nothing fits {}", short(pattern))));
                }
                fitting.iter().try_for_each(|frame| fit(is, frame, values))
            }
            HoldKind::Order(patterns) => {
                let mut rest = frames.iter();
                for pattern in patterns {
                    match rest.find(|frame| fits(pattern, &frame.json, values)) {
                        Some(frame) => fit(pattern, &frame.json, values)?,
                        None => return Err(failed(None, format!("{} does not come in its turn", short(pattern)))),
                    }
                }
                Ok(())
            }
            HoldKind::Only(patterns) => {
                for (index, pattern) in patterns.iter().enumerate() {
                    match frames.get(index) {
                        Some(frame) => fit(pattern, &frame.json, values)?,
                        None => return Err(failed(None, format!("{} is missing", short(pattern)))),
                    }
                }
                match frames.get(patterns.len()) {
                    Some(more) => Err(failed(None, format!("nothing more should come; {} does", short(&more.json)))),
                    None => Ok(()),
                }
            }
            HoldKind::Same { of: pattern, frames: name } => {
                let before =
                    self.captured.get(name).ok_or_else(|| Stop::Harness(format!("no frames {name:?} are captured")))?;
                let texts = |frames: &[Frame]| -> Vec<String> {
                    frames
                        .iter()
                        .filter(|frame| fits(pattern, &frame.json, values))
                        .map(|frame| frame.text.clone())
                        .collect()
                };
                let (before, now) = (texts(before), texts(frames));
                if before.is_empty() {
                    return Err(Stop::Harness(format!("no frame of {name:?} fits {}", short(pattern))));
                }
                match before.iter().zip(&now).position(|(before, now)| before != now) {
                    None if before.len() == now.len() => Ok(()),
                    None => Err(failed(None, format!("{} frames came before, {} now", before.len(), now.len()))),
                    Some(at) => Err(failed(None, format!("frame {at} was {}\nand is now {}", before[at], now[at]))),
                }
            }
        }
    }
}

/// The pattern of an error or problem; a text is its code.
pub fn code_pattern(error: &Value) -> Value {
    match error {
        Value::String(_) => json!({"code": error}),
        pattern => pattern.clone(),
    }
}

/// Holds a value against a pattern; says where they differ.
pub fn fit(pattern: &Value, value: &Value, values: &mut Values) -> Result<(), Stop> {
    hold(pattern, Some(value), values).map_err(|no| match no {
        No::Mismatch(mismatch) => {
            failed(None, format!("{} {}\nin {}", mismatch.pointer, mismatch.text, short(value)).trim().to_owned())
        }
        No::Scenario(text) => Stop::Harness(text),
    })
}

pub fn no_to_stop(no: No, what: &str) -> Stop {
    match no {
        No::Mismatch(mismatch) => failed(None, format!("{what} {}", mismatch.text)),
        No::Scenario(text) => Stop::Harness(text),
    }
}

pub fn about(stop: Stop, what: &str) -> Stop {
    match stop {
        Stop::Failed { check, text, also } => Stop::Failed { check, text: format!("{what}: {text}"), also },
        stop => stop,
    }
}

/// A text, or a list that is put together.
pub fn joined(values: &Values, parts: &Value) -> Result<String, Stop> {
    let filled = values.fill(parts)?;
    Ok(match &filled {
        Value::Array(parts) => parts.iter().map(|part| part.as_str().unwrap_or_default()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    })
}

/// The media type without its parameters.
pub fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn nothing(taken: &Taken) -> String {
    match taken {
        Taken::Closed(Some(code)) => format!("the connection was closed with {code}"),
        Taken::Closed(None) => "the connection ended".to_owned(),
        _ => "nothing more comes within the time limit".to_owned(),
    }
}

fn no_server() -> Stop {
    Stop::Harness("a scenario that stops the server must say `server`".to_owned())
}
