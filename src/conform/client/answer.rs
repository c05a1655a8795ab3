//! The steps in which the client asks for something, and is answered: it connects, selects the world, and says something.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Stop,
    play::Player,
    stage::{Heard, failed},
    world::{self, NAME, TEMPLATE, TOKEN},
};

impl Player<'_> {
    pub(super) async fn accept(&mut self) -> Result<(), Stop> {
        let before = Duration::from_millis(self.option("notBefore").as_u64().unwrap_or_default());
        let gone = self.stage.gone;
        let deadline = self.deadline();
        // Who has ended will not connect any more.
        let connected = tokio::select! {
            biased;
            connected = self.stage.accept(deadline) => connected,
            Some(status) = self.driver.ended(deadline) => {
                let again = if self.stage.connections > 0 { " again" } else { "" };
                return Err(self.fail(format!("the driver ended ({status}) without connecting{again}")));
            }
        };
        if !connected {
            return Err(self.fail("the client did not connect"));
        }
        if self.stage.connections > 1 && gone.elapsed() < before {
            return Err(self.fail(format!("the client came back after {:?}, before {before:?}", gone.elapsed())));
        }
        let offered = &self.stage.offered;
        if !offered.is_empty() && !offered.iter().any(|name| name == crate::protocol::VERSION) {
            return Err(failed("version", &format!("the client offers {offered:?}")));
        }
        match (self.text("accept"), self.stage.token.as_deref()) {
            ("newcomer", Some(_)) => return Err(self.fail("a client that has no token brought one")),
            ("returning", token) if token != Some(TOKEN) => {
                return Err(self.fail("the client came back without the session token that it was given"));
            }
            _ => {}
        }
        if self.option("greet") == false {
            return Ok(());
        }
        let greeting = self.world.connected(self.stage.token.is_none());
        self.stage.send(&greeting, false).await
    }

    async fn request(&mut self, kind: &str) -> Result<Value, Stop> {
        match self.stage.frame(kind, self.deadline()).await? {
            Heard::Frame(frame) => Ok(frame),
            Heard::Gone => Err(self.fail(format!("the client went away instead of sending {kind}"))),
            Heard::Nothing => Err(self.fail(format!("the client did not send {kind}"))),
        }
    }

    async fn answer(&mut self, request: &Value, mut answer: Value) -> Result<(), Stop> {
        answer["replyTo"] = request["id"].clone();
        self.stage.send(&answer, false).await
    }

    /// Answers with the error that the step has, if it has one.
    async fn refused(&mut self, request: &Value) -> Result<bool, Stop> {
        let Some(error) = self.step.verb.get("error") else { return Ok(false) };
        let mut payload = world::error("SERVER_ERROR", false);
        if let (Value::Object(payload), Value::Object(given)) = (&mut payload, error.clone()) {
            payload.extend(given);
        }
        self.answer(request, world::frame("error", payload)).await?;
        Ok(true)
    }

    pub(super) async fn select(&mut self) -> Result<(), Stop> {
        let request = self.request("world_select").await?;
        let payload = &request["payload"];
        if payload["templateName"] != TEMPLATE || payload["worldName"] != NAME {
            return Err(self.fail(format!("the client selects another world: {payload}")));
        }
        let after = payload["after"].as_str().map(str::to_owned);
        let last = self.world.cursor(self.sent);
        match self.text("after") {
            "none" if after.is_some() => return Err(self.fail(format!("the client asks for what follows {after:?}"))),
            "last" if after.as_deref() != Some(&last) => {
                return Err(self.fail(format!("the last event that the client saw is {last}; it asks after {after:?}")));
            }
            _ => {}
        }
        if self.option("renew") == true {
            self.world.renew();
        }
        if self.refused(&request).await? {
            return Ok(());
        }
        let selected = self.world.selected();
        self.answer(&request, selected).await?;
        let seq = after.as_ref().and_then(|after| after.split_once(':')?.1.parse::<u64>().ok());
        if let Some(seq) = seq {
            // Once more what the client has seen, where the step wants that.
            let from = seq.saturating_sub(self.option("again").as_u64().unwrap_or_default());
            let missed: Vec<Value> = self.world.log.iter().skip(from as usize).cloned().collect();
            for frame in missed {
                self.stage.send(&frame, false).await?;
            }
            let cursor = self.world.cursor(self.world.head());
            self.stage.send(&world::status("caught_up", json!({"cursor": cursor})), false).await?;
        }
        self.sent = self.world.head();
        Ok(())
    }

    pub(super) async fn chat(&mut self) -> Result<(), Stop> {
        let request = self.request("chat_send").await?;
        if request["payload"]["content"] != "Hello" {
            return Err(self.fail(format!("the client says something else: {}", request["payload"])));
        }
        let key = request["idempotencyKey"].clone();
        let again = self.key.is_some();
        if self.option("same") == true && (self.key.as_ref() != Some(&key) || key.is_null()) {
            let before = self.key.clone().unwrap_or_default();
            return Err(self.fail(format!("the key of the message was {before}, and is {key} when it is sent again")));
        }
        if self.refused(&request).await? {
            return Ok(());
        }
        self.key.get_or_insert(key);
        let known = again && self.world.log.iter().any(|frame| frame["payload"]["event"]["sender"] == "human");
        let event = (!known).then(|| {
            let root = self.world.root.clone();
            self.world.human(&root, "Hello")
        });
        if self.option("lost") == true {
            return Ok(());
        }
        let accepted = json!({
            "messageId": self.world.root, "seq": 1, "duplicate": known, "answering": ["guide"],
        });
        self.answer(&request, world::status("message_accepted", accepted)).await?;
        match event {
            Some(event) => self.deliver(event).await,
            None => Ok(()),
        }
    }
}
