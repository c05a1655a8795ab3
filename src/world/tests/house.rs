//! A [`House`]: worlds with real storage and a provider whose strings the test pulls.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

use super::stage::chat;
use crate::{
    error::Failure,
    log::{
        Store, TokenHash,
        sqlite::{Options, Sqlite},
    },
    protocol::{Cursor, MessageId, TemplateName, WorldName, decode_server},
    provider::{Call, Finish, Provider, ProviderError, Step, Steps},
    world::{
        Answer, Counters, Delivery, Entered, Filter, Gate, Services, Settings, Subscription, Templates, Wanted,
        WorldCell, Worlds,
    },
};

const USER: &str = "anon_00000000-0000-4000-8000-000000000000";
const TEMPLATE: &str = r#"{"name": "pair", "description": "For a test.", "turnLimit": 5, "agents": [
    {"name": "a1", "config": {"provider": "script"}}, {"name": "a2", "config": {"provider": "script"}}]}"#;
/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A provider that says what it is told, call by call.
struct Puppets(mpsc::UnboundedSender<Puppet>);

/// One call of a model.
pub struct Puppet {
    pub call: Call,
    steps: mpsc::UnboundedSender<Result<Step, ProviderError>>,
}

impl Provider for Puppets {
    fn call(&self, call: Call) -> Steps {
        let (steps, heard) = mpsc::unbounded_channel();
        let _ = self.0.send(Puppet { call, steps });
        stream::unfold(heard, async |mut heard| Some((heard.recv().await?, heard))).boxed()
    }
}

impl Puppet {
    pub fn say(&self, text: &str) {
        let _ = self.steps.send(Ok(Step::Text(text.to_owned())));
    }

    pub fn stop(self) {
        let _ = self.steps.send(Ok(Step::End { finish: Finish::Stop, usage: None }));
    }

    /// Returns when the server has dropped the call.
    pub async fn dropped(&self) {
        timeout(PATIENCE, self.steps.closed()).await.expect("the call is dropped");
    }
}

/// A provider that answers everything at once.
struct Parrot;

impl Provider for Parrot {
    fn call(&self, call: Call) -> Steps {
        let text = format!("{} heard you", call.agent);
        let steps = [Step::Text(text), Step::Text(".".into()), Step::End { finish: Finish::Stop, usage: None }];
        stream::iter(steps.map(Ok)).boxed()
    }
}

pub struct House {
    pub worlds: Worlds,
    pub entered: Entered,
    pub sqlite: Arc<Sqlite>,
    calls: mpsc::UnboundedReceiver<Puppet>,
    dir: Arc<TempDir>,
}

impl House {
    pub async fn new(settings: Settings) -> Self {
        Self::open(Arc::new(TempDir::new().unwrap()), settings, false).await
    }

    /// With a provider that answers by itself.
    pub async fn talkative(settings: Settings) -> Self {
        Self::open(Arc::new(TempDir::new().unwrap()), settings, true).await
    }

    async fn open(dir: Arc<TempDir>, settings: Settings, talkative: bool) -> Self {
        let sqlite = Arc::new(Sqlite::open(&Options::new(dir.path().join("data"))).unwrap());
        let log: Arc<dyn Store> = sqlite.clone();
        let (puppets, calls) = mpsc::unbounded_channel();
        let provider: Arc<dyn Provider> = if talkative { Arc::new(Parrot) } else { Arc::new(Puppets(puppets)) };
        let services = Arc::new(Services {
            installation_key: log.installation_key().await.unwrap(),
            provider,
            cluster: None,
            gate: Gate::new(64, 8),
            settings,
            draining: AtomicBool::new(false),
            counters: Counters::default(),
            log,
        });
        services.log.create_session(USER, TokenHash::of("token"), 0).await.unwrap();
        let worlds = Worlds::new(services, templates(dir.path()));
        let name = WorldName::try_from("my-world").unwrap();
        let template = TemplateName::try_from("pair").unwrap();
        let wanted = Wanted { name: &name, template: &template, persistent: true, title: None };
        let (entered, _) = worlds.open_or_create(USER, wanted).await.unwrap();
        worlds.resume().await.unwrap();
        Self { worlds, entered, sqlite, calls, dir }
    }

    /// The server is gone, in whatever state it was, and starts anew.
    pub async fn restart(self) -> Self {
        let dir = self.dir.clone();
        let settings = self.worlds.services.settings.clone();
        let log = self.worlds.services.log.clone();
        drop(self);
        log.close().await.unwrap();
        drop(log);
        // The directory is free once the last task of the old server has let go of it.
        timeout(PATIENCE, async {
            while Sqlite::open(&Options::new(dir.path().join("data"))).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        Self::open(dir, settings, false).await
    }

    pub fn cell(&self) -> &Arc<WorldCell> {
        &self.entered.cell
    }

    /// The next call of a model.
    pub async fn called(&mut self) -> Puppet {
        timeout(PATIENCE, self.calls.recv()).await.expect("a model is called").unwrap()
    }

    pub async fn chat(&self, content: &str) -> MessageId {
        match self.cell().execute(chat("human", content, None), None).await.unwrap().answer {
            Answer::Accepted { message_id, .. } => message_id,
            other => panic!("{other:?}"),
        }
    }

    /// From the beginning of the world on.
    pub fn listen(&self, filter: Filter) -> Listener {
        let cursor = self.cell().cursor(0);
        Listener::new(self.cell(), filter, Some(&cursor)).unwrap()
    }

    /// From here on.
    pub fn tail(&self) -> Listener {
        Listener::new(self.cell(), Filter::chat(), None).unwrap()
    }
}

fn templates(dir: &Path) -> Templates {
    let dir = dir.join("templates");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("pair.json"), TEMPLATE).unwrap();
    Templates::load(Some(&dir)).unwrap()
}

/// A subscriber that checks what every subscriber may rely on: `seq` rises, each reply has one start before and one
/// end behind its text, and its text is without gap.
pub struct Listener {
    subscription: Subscription,
    waiting: std::collections::VecDeque<Heard>,
    pub seqs: Vec<u64>,
    /// Running replies and their text so far.
    texts: Vec<(String, String)>,
    ended: HashSet<String>,
}

/// A delivery, taken apart.
enum Heard {
    Frame(Option<u64>, Bytes),
    CaughtUp,
    Gone,
}

fn one_by_one(delivery: Delivery) -> Vec<Heard> {
    match delivery {
        Delivery::Events(batch) => {
            batch.events.iter().map(|(seq, push)| Heard::Frame(Some(*seq), push.bytes.clone())).collect()
        }
        Delivery::Delta(bytes) => vec![Heard::Frame(None, bytes)],
        Delivery::CaughtUp(_) => vec![Heard::CaughtUp],
        Delivery::Gone => vec![Heard::Gone],
    }
}

impl Listener {
    pub fn new(cell: &Arc<WorldCell>, filter: Filter, after: Option<&Cursor>) -> Result<Self, Failure> {
        let subscription = Subscription::new(cell.clone(), filter, after)?;
        Ok(Self {
            subscription,
            waiting: Default::default(),
            seqs: Vec::new(),
            texts: Vec::new(),
            ended: HashSet::new(),
        })
    }

    /// What the next delivery is about: `message <text>`, `start <agent>`, `+<text>`, `end <reason> <text>`, the
    /// action of another event, `caught up`, or `gone`.
    pub async fn next(&mut self) -> String {
        while self.waiting.is_empty() {
            let batch = timeout(PATIENCE, self.subscription.next(None)).await.expect("something comes").unwrap();
            self.waiting.extend(batch.into_iter().flat_map(one_by_one));
        }
        match self.waiting.pop_front() {
            Some(Heard::Frame(seq, bytes)) => {
                let text = std::str::from_utf8(&bytes).unwrap();
                decode_server(text).unwrap();
                let frame: Value = serde_json::from_str(text).unwrap();
                assert_eq!(frame.get("seq").and_then(Value::as_u64), seq);
                if let Some(seq) = seq {
                    assert!(self.seqs.last().is_none_or(|last| *last < seq), "{seq} after {:?}", self.seqs.last());
                    self.seqs.push(seq);
                }
                self.frame(&frame)
            }
            Some(Heard::CaughtUp) => "caught up".to_owned(),
            Some(Heard::Gone) | None => "gone".to_owned(),
        }
    }

    fn frame(&mut self, frame: &Value) -> String {
        let payload = &frame["payload"];
        if frame["type"] == "event_stream" {
            let event = &payload["event"]["payload"];
            return match event.get("action") {
                Some(action) => action.as_str().unwrap().to_owned(),
                None => format!("message {}", event["content"].as_str().unwrap()),
            };
        }
        let id = payload["messageId"].as_str().unwrap().to_owned();
        let content = payload["content"].as_str().unwrap();
        assert!(!self.ended.contains(&id), "nothing follows the end: {frame}");
        let known = self.texts.iter().position(|(reply, _)| *reply == id);
        if payload["complete"] == true {
            if let Some(known) = known {
                let (_, text) = self.texts.remove(known);
                assert!(content.starts_with(&text), "{text:?} was heard of {content:?}");
            }
            self.ended.insert(id);
            return format!("end {} {content}", payload["finishReason"].as_str().unwrap());
        }
        if frame.get("seq").is_some() {
            assert_eq!(known, None, "one start");
            self.texts.push((id, String::new()));
            return format!("start {}", payload["agentName"].as_str().unwrap());
        }
        let known = known.unwrap_or_else(|| {
            self.texts.push((id, String::new()));
            self.texts.len() - 1
        });
        let text = &mut self.texts[known].1;
        match payload["offset"].as_u64().unwrap() {
            0 => *text = content.to_owned(),
            offset => {
                assert_eq!(offset, text.chars().count() as u64, "no gap in the text");
                text.push_str(content);
            }
        }
        format!("+{content}")
    }

    /// Everything up to and including the first that begins with `last`. Deltas are put together.
    pub async fn until(&mut self, last: &str) -> Vec<String> {
        let mut heard: Vec<String> = Vec::new();
        loop {
            let next = self.next().await;
            match (heard.last_mut(), next.strip_prefix('+')) {
                (Some(before), Some(more)) if before.starts_with('+') => before.push_str(more),
                _ => heard.push(next),
            }
            if heard.last().is_some_and(|heard| heard.starts_with(last)) {
                return heard;
            }
        }
    }
}
