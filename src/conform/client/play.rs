//! A scenario's steps, one after the other, until one fails.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{
    Stop,
    driver::Driver,
    scenario::{Scenario, Step},
    stage::{Heard, Stage, failed},
    world::{self, World},
};
use crate::conform::{
    pattern::{fits, short},
    value::Values,
};

/// What came of a scenario.
#[derive(Debug)]
pub struct Played {
    pub scenario: String,
    pub result: Result<(), Stop>,
    /// Whether the client ever connected.
    pub connected: bool,
    /// The checks that held.
    pub held: Vec<String>,
    /// The conversation, and what the driver observed and wrote.
    pub told: Vec<String>,
}

pub(super) struct Player<'s> {
    pub(super) stage: Stage,
    pub(super) world: World,
    pub(super) driver: Driver,
    /// The number of the last durable frame that was sent to the client.
    pub(super) sent: u64,
    /// The idempotency key of its first `chat_send`.
    pub(super) key: Option<Value>,
    /// The observations that no step has taken begin here.
    untaken: Vec<Value>,
    limit: Duration,
    pub(super) step: &'s Step,
    scenario: &'s Scenario,
}

/// Plays a scenario with a driver that is started for it. `mutant`: what the driver is asked to do wrong.
pub async fn play(scenario: &Scenario, command: &str, mutant: Option<&str>, limit: Duration) -> Played {
    let name = scenario.name.clone();
    let unplayed = |stop: Stop| Played {
        scenario: name.clone(),
        result: Err(stop),
        connected: false,
        held: Vec::new(),
        told: Vec::new(),
    };
    let stage = match Stage::new(limit).await {
        Ok(stage) => stage,
        Err(stop) => return unplayed(stop),
    };
    let driver = match Driver::start(command, &stage.url, &scenario.name, mutant) {
        Ok(driver) => driver,
        Err(error) => return unplayed(Stop::Kit(format!("cannot start the driver: {error}"))),
    };
    let Some(step) = scenario.steps.first() else { return unplayed(Stop::Kit("it has no step".to_owned())) };
    let (world, untaken) = (World::new(), Vec::new());
    let mut player = Player { stage, world, driver, sent: 0, key: None, untaken, limit, step, scenario };
    let mut held = Vec::new();
    let mut result = Ok(());
    for step in &scenario.steps {
        player.step = step;
        result = player.play().await;
        if result.is_err() {
            break;
        }
        held.extend(step.check.as_ref().map(|check| format!("{}#{check}", scenario.name)));
    }
    if let (Ok(()), Some(line)) = (&result, &player.driver.garbage) {
        result = Err(failed("observations", &format!("the driver wrote what is no observation: {line}")));
    }
    let mut told = std::mem::take(&mut player.stage.told);
    told.extend(player.driver.observed.iter().map(|observed| format!("observed {observed}")));
    if result.is_err() {
        let words = player.driver.end().await;
        told.extend(words.lines().take(20).map(|line| format!("driver: {line}")));
    }
    Played { scenario: name, result, connected: player.stage.connections > 0, held, told }
}

impl Player<'_> {
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// The client failed what this step asserts.
    pub(super) fn fail(&self, reason: impl Into<String>) -> Stop {
        match &self.step.check {
            Some(check) => Stop::Failed(format!("{}#{check}", self.scenario.name), reason.into()),
            None => failed("conversation", &reason.into()),
        }
    }

    pub(super) fn option(&self, name: &str) -> &Value {
        self.step.verb.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.option(name).as_str().unwrap_or_default()
    }

    async fn play(&mut self) -> Result<(), Stop> {
        const VERBS: [&str; 20] = [
            "accept", "select", "chat", "start", "delta", "end", "message", "settled", "human", "event", "frame",
            "text", "status", "close", "cut", "nobody", "ping", "observe", "never", "count",
        ];
        let verb = VERBS.iter().chain(&["ended"]).find(|verb| self.step.verb.contains_key(**verb)).copied();
        let agent = self.step.verb.get("agent").and_then(Value::as_str).unwrap_or("guide").to_owned();
        if matches!(verb, Some("delta" | "end")) && !self.world.has(&agent) {
            return Err(Stop::Kit(format!("no reply of {agent} has begun")));
        }
        let frame = match verb {
            Some("accept") => return self.accept().await,
            Some("select") => return self.select().await,
            Some("chat") => return self.chat().await,
            Some("start") => self.world.start(&agent),
            Some("delta") => {
                let content = self.text("delta").to_owned();
                let offset = self.option("offset").as_u64();
                self.world.delta(&agent, &content, offset)
            }
            Some("end") => {
                let reason = self.step.verb.get("reason").and_then(Value::as_str).unwrap_or("stop").to_owned();
                let content = self.text("end").to_owned();
                self.world.end(&agent, &content, &reason)
            }
            Some("message") => {
                let content = self.text("message").to_owned();
                self.world.message(&agent, &content)
            }
            Some("settled") => self.world.settled(),
            Some("human") => {
                let content = self.text("human").to_owned();
                self.world.human(&world::id(), &content)
            }
            Some("event") => {
                let event = self.option("event").clone();
                let kind = event["type"].as_str().unwrap_or("world").to_owned();
                self.world.event("world", "world", &kind, event["payload"].clone())
            }
            Some("status") => {
                let status = self.option("status").clone();
                let kind = status["type"].as_str().unwrap_or_default();
                return self.stage.send(&world::status(kind, status["data"].clone()), false).await;
            }
            Some("frame") => {
                let mut frame = world::frame("unknown", json!({}));
                if let (Value::Object(frame), Value::Object(given)) = (&mut frame, self.option("frame").clone()) {
                    frame.extend(given);
                }
                return self.stage.send(&frame, true).await;
            }
            Some("text") => {
                let text = self.text("text").to_owned();
                return self.stage.say(Message::text(text)).await;
            }
            Some("close") => {
                let code = self.option("close").as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(1000);
                self.stage.close(code).await;
                return Ok(());
            }
            Some("cut") => {
                self.stage.cut();
                return Ok(());
            }
            Some("nobody") => return self.nobody().await,
            Some("ping") => return self.ping().await,
            Some("observe") => return self.observe().await,
            Some("never" | "count") => return self.count(),
            Some("ended") => return self.ended().await,
            _ => return Err(Stop::Kit(format!("a step without a verb that is known: {:?}", self.step.verb))),
        };
        if self.option("lost") == true {
            self.stage.told.push(format!("  (lost on the way) {frame}"));
            return Ok(());
        }
        self.deliver(frame).await
    }

    /// Sends a frame of the world, with a field that nobody knows where the step wants one.
    pub(super) async fn deliver(&mut self, mut frame: Value) -> Result<(), Stop> {
        self.sent = self.sent.max(frame["seq"].as_u64().unwrap_or_default());
        let unknown = self.option("unknown") == true;
        if unknown {
            frame["laterField"] = json!({"a": [1]});
            frame["payload"]["laterField"] = json!("from a later version");
        }
        self.stage.send(&frame, unknown).await
    }

    async fn nobody(&mut self) -> Result<(), Stop> {
        let within = Duration::from_millis(self.option("nobody").as_u64().unwrap_or(500));
        match self.stage.accept(Instant::now() + within).await {
            true => Err(self.fail("the client connected again, and must not")),
            false => Ok(()),
        }
    }

    async fn ping(&mut self) -> Result<(), Stop> {
        self.stage.ponged = false;
        self.stage.say(Message::Ping(bytes::Bytes::from_static(b"conformance"))).await?;
        let deadline = self.deadline();
        while !self.stage.ponged {
            match self.stage.hear(deadline).await? {
                Heard::Gone => return Err(self.fail("the client went away instead of answering a ping")),
                _ if Instant::now() >= deadline => return Err(self.fail("the client did not answer a ping")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for an observation that fits; those before it stay for later.
    async fn observe(&mut self) -> Result<(), Stop> {
        let pattern = self.option("observe").clone();
        let values = Values::new("127.0.0.1", 0);
        let deadline = self.deadline();
        loop {
            if let Some(at) = self.untaken.iter().position(|observed| fits(&pattern, observed, &values)) {
                self.untaken.remove(at);
                return Ok(());
            }
            match self.next(deadline).await? {
                Some(observed) => self.untaken.push(observed),
                None => {
                    let seen: Vec<String> = self.untaken.iter().map(short).collect();
                    return Err(self.fail(format!("not observed: {pattern}; instead: {}", seen.join(", "))));
                }
            }
        }
    }

    /// The next observation. Meanwhile the client's pings and closes are answered.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Value>, Stop> {
        loop {
            if !self.stage.is_connected() {
                return Ok(self.driver.next(deadline).await);
            }
            tokio::select! {
                observed = self.driver.next(deadline) => return Ok(observed),
                heard = self.stage.hear(deadline) => if let Heard::Frame(frame) = heard? {
                    self.stage.keep(frame);
                },
            }
        }
    }

    fn count(&self) -> Result<(), Stop> {
        let (pattern, times) = match self.step.verb.get("never") {
            Some(pattern) => (pattern, 0),
            None => (&self.option("count")["of"], self.option("count")["times"].as_u64().unwrap_or(1)),
        };
        let values = Values::new("127.0.0.1", 0);
        let found = self.driver.observed.iter().filter(|observed| fits(pattern, observed, &values)).count() as u64;
        if found == times {
            Ok(())
        } else {
            Err(self.fail(format!("observed {found} times instead of {times}: {pattern}")))
        }
    }

    async fn ended(&mut self) -> Result<(), Stop> {
        let deadline = self.deadline();
        while let Some(observed) = self.next(deadline).await? {
            self.untaken.push(observed);
        }
        // Some clients wait for the answer to their close before they end.
        let ended = {
            let Self { driver, stage, .. } = self;
            let mut ended = std::pin::pin!(driver.ended(deadline));
            loop {
                if !stage.is_connected() {
                    break ended.await;
                }
                tokio::select! {
                    code = &mut ended => break code,
                    heard = stage.hear(deadline) => drop(heard?),
                }
            }
        };
        let expected = self.option("ended").as_i64().unwrap_or_default();
        match ended {
            Some(status) if status.code().map(i64::from) == Some(expected) => Ok(()),
            Some(status) => Err(self.fail(format!("the driver ended with {status}"))),
            None => Err(self.fail("the driver did not end")),
        }
    }
}
