//! Two users with equal world names, agents and requests: no byte of one reaches the other.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    program::script,
    random::{Random, size},
    support::{Frame, Host, Http, TestServer},
    wire::Wire,
};

const WORLDS: [&str; 3] = ["shared", "Same name", "third"];

/// A user, everything that reached it, and what only it may know.
struct User {
    mark: &'static str,
    http: Http,
    wire: Wire,
    received: String,
    own: HashSet<String>,
    world: &'static str,
    steps: u64,
}

impl User {
    async fn new(host: &Host, mark: &'static str) -> Self {
        // A wire of its own, so that what is received is told apart.
        let host = Host::new(host.address);
        let http = host.session().await;
        let token = http.token().to_owned();
        let mut wire = Wire::open(&host, &token, None).await;
        let greeting = wire.next().await.expect("a greeting");
        let user = greeting.payload()["data"]["userId"].as_str().expect("a user").to_owned();
        let own = HashSet::from([mark.to_owned(), token.clone(), user]);
        let mut user = Self { mark, http, wire, received: greeting.text, own, world: WORLDS[0], steps: 0 };
        for world in WORLDS {
            user.ask("world_select", json!({"templateName": "stage", "worldName": world})).await;
            user.world = world;
        }
        user
    }

    fn take(&mut self, frame: &Frame) {
        self.received.push_str(&frame.text);
        self.received.push('\n');
        self.learn(&frame.json);
    }

    /// Ids and epochs are this user's own.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value.as_str()) {
                        ("messageId" | "rootId" | "id", Some(id)) => drop(self.own.insert(id.to_owned())),
                        ("cursor" | "head" | "from", Some(cursor)) => {
                            self.own.insert(cursor.split(':').next().expect("an epoch").to_owned());
                        }
                        _ => self.learn(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    async fn ask(&mut self, kind: &str, payload: Value) -> Frame {
        let (answer, before) = self.wire.ask(kind, payload).await;
        before.iter().for_each(|frame| self.take(frame));
        self.take(&answer);
        answer
    }

    /// Over HTTP; what comes back counts as received.
    async fn http(&mut self, method: &str, path: &str, body: Option<Value>) {
        let path = format!("/worlds/{}{path}", self.world.replace(' ', "%20"));
        let answer = self.http.call(method, &path, &[], body.map(|body| body.to_string().into_bytes())).await;
        self.received.push_str(&answer.text);
        self.received.push_str(&format!("{:?}", answer.headers));
    }

    /// One operation; `stolen` are ids and cursors of the other user.
    async fn step(&mut self, random: &mut Random, stolen: &[String]) {
        self.steps += 1;
        let mark = format!("{} {}", self.mark, self.steps);
        let foreign = || stolen.get(self.steps as usize % stolen.len().max(1)).cloned().unwrap_or_default();
        match random.below(100) {
            0..40 => drop(self.ask("chat_send", json!({"content": format!("@human {mark}")})).await),
            40..52 => {
                drop(self.ask("chat_send", json!({"content": format!("@a1 {mark}"), "displayName": self.mark})).await)
            }
            52..60 => {
                self.world = WORLDS[random.below(3) as usize];
                let title = format!("title {mark}");
                self.ask("world_select", json!({"templateName": "stage", "worldName": self.world, "title": title}))
                    .await;
            }
            60..66 => {
                let config = json!({"systemPrompt": format!("prompt {mark}"), "apiKey": format!("key {mark}")});
                self.ask("agent_update", json!({"agentName": "a2", "config": config})).await;
            }
            66..72 => {
                drop(self.ask("event_subscribe", json!({"eventTypes": ["message", "system", "world", "sse"]})).await)
            }
            72..76 => drop(self.ask("world_reload", json!({})).await),
            76..80 => drop(self.ask("chat_cancel", json!({})).await),
            80..86 => self.http("GET", "/events?limit=20&types=message,world,sse,system", None).await,
            86..88 => self.http("GET", "", None).await,
            88..90 => self.http("PATCH", "", Some(json!({"title": format!("title {mark}")}))).await,
            90..92 => self.http("GET", "/agents", None).await,
            // What the other one has: never found, never a hint.
            92..95 => {
                let answer = self.ask_foreign("chat_cancel", "messageId", foreign()).await;
                assert!(["MESSAGE_NOT_FOUND", "INVALID_MESSAGE"].contains(&answer.as_str()), "{answer}");
            }
            95..98 => {
                let answer = self.ask_foreign("event_subscribe", "after", format!("{}:1", foreign())).await;
                assert!(["UNRESUMABLE", "INVALID_MESSAGE"].contains(&answer.as_str()), "{answer}");
                self.ask("event_subscribe", json!({})).await;
            }
            _ => {
                let answer = self.ask_foreign("chat_retry", "messageId", foreign()).await;
                assert!(["MESSAGE_NOT_FOUND", "INVALID_MESSAGE"].contains(&answer.as_str()), "{answer}");
            }
        }
    }

    /// Asks with something of the other user; the code of the error. What is asked is not what was received.
    async fn ask_foreign(&mut self, kind: &str, field: &str, value: String) -> String {
        let (answer, before) = self.wire.ask(kind, json!({field: value})).await;
        before.iter().for_each(|frame| self.take(frame));
        assert_eq!(answer.kind(), "error", "{kind} with what is another user's: {}", answer.text);
        self.received.push_str(&answer.text);
        answer.payload()["code"].as_str().expect("a code").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_with_equal_names_never_meet() {
    let steps = size("STEPS", 10_000);
    let server = TestServer::with(|config| {
        config.script = Some(script());
        (config.chat_burst, config.chat_rate) = (1e6, 1e6);
    })
    .await;
    let mut random = Random::new("isolation");
    let (mut one, mut two) = (User::new(&server, "mark-one-7f3a").await, User::new(&server, "mark-two-91c2").await);
    let (mut first, mut second) = (random.fork(), random.fork());
    let rounds = 20;
    for _ in 0..rounds {
        let (of_one, of_two): (Vec<String>, Vec<String>) =
            (one.own.iter().cloned().collect(), two.own.iter().cloned().collect());
        let half = steps / 2 / rounds;
        tokio::join!(
            async {
                for _ in 0..half {
                    one.step(&mut first, &of_two).await;
                }
            },
            async {
                for _ in 0..half {
                    two.step(&mut second, &of_one).await;
                }
            }
        );
    }
    let shared: Vec<_> = one.own.intersection(&two.own).collect();
    assert!(shared.is_empty(), "both were given {shared:?}");
    for (user, other) in [(&one, &two), (&two, &one)] {
        // Marks, tokens and user ids wherever they stand; of ids and epochs, all that there were.
        let words: HashSet<&str> =
            user.received.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).collect();
        let met: Vec<_> = other.own.iter().filter(|own| words.contains(own.as_str())).collect();
        assert!(met.is_empty() && !user.received.contains(other.mark), "{} received {met:?}", user.mark);
    }
    println!(
        "isolation: {} steps, {} and {} bytes received, {} and {} ids of one's own",
        one.steps + two.steps,
        one.received.len(),
        two.received.len(),
        one.own.len(),
        two.own.len()
    );
    assert!(one.steps + two.steps >= steps - rounds * 2 && one.own.len() > 100);
}
