//! The steps that wait for frames, and what must be true of those that came.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    change::{Edit, Select, made_up, other},
    mutant::{Kind, against},
    pattern::{No, fits, hold, short},
    peer::Frame,
    play::{Player, about, failed, fit},
    scenario::{Hold, HoldKind, Watch},
    stage::{Stop, Taken},
    value::Values,
};

impl Player {
    /// The first frame that `is_it`; those before it stay.
    pub(super) async fn find(
        &mut self,
        name: &str,
        until: Instant,
        is_it: impl Fn(&Frame, &Values) -> bool,
    ) -> Result<Frame, Stop> {
        let mut passed = Vec::new();
        let found = loop {
            match self.stage.take(name, until).await? {
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

    pub(super) async fn expect(&mut self, watch: &Watch, broken: Option<Kind>, until: Instant) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            self.stage.arm(&name, Select::Fits(watch.pattern.clone()), Edit::Lose)?;
        }
        let frame = self.find(&name, until, |frame, values| fits(&watch.pattern, &frame.json, values)).await;
        let frame = frame.map_err(|stop| self.unknown_names(&watch.pattern, stop))?;
        fit(&watch.pattern, &frame.json, &mut self.stage.values)
    }

    /// Whether what did not come could not come, because the scenario names what it never captured.
    fn unknown_names(&self, pattern: &Value, stop: Stop) -> Stop {
        match hold(pattern, Some(&made_up(pattern, &self.stage.values)), &mut self.stage.values.clone()) {
            Err(No::Scenario(text)) => Stop::Harness(text),
            _ => stop,
        }
    }

    pub(super) async fn next(&mut self, watch: &Watch, broken: Option<Kind>, until: Instant) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            let (select, edit) = against(&HoldKind::Only(Vec::new()), &Value::Null, &self.stage.values);
            self.stage.arm(&name, select, edit)?;
        }
        match self.stage.take(&name, until).await? {
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

    pub(super) async fn until(
        &mut self,
        watch: &Watch,
        broken: Option<Kind>,
        until: Instant,
        suffix: &str,
    ) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        if broken.is_some() {
            self.stage.arm(&name, Select::Fits(watch.pattern.clone()), Edit::Lose)?;
        }
        self.break_holds(&name, watch, &watch.pattern, suffix)?;
        let mut frames = Vec::new();
        loop {
            match self.stage.take(&name, until).await? {
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

    pub(super) async fn fence(&mut self, watch: &Watch, until: Instant, suffix: &str) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        let id = self.stage.next_id();
        let last = json!({"replyTo": id});
        self.stage.send_frame(&name, &json!({"id": id, "type": "ping"})).await?;
        self.break_holds(&name, watch, &last, suffix)?;
        let mut frames = Vec::new();
        loop {
            match self.stage.take(&name, until).await? {
                Taken::Frame(frame) if frame.json["replyTo"] == id => break,
                Taken::Frame(frame) => frames.push(frame),
                other => return Err(failed(None, format!("a ping is not answered: {}", nothing(&other)))),
            }
        }
        self.collected(watch, frames, suffix)
    }

    pub(super) async fn closed(
        &mut self,
        watch: &Watch,
        broken: Option<Kind>,
        until: Instant,
        suffix: &str,
        with_code: bool,
    ) -> Result<(), Stop> {
        let name = self.stage.peer_name(watch.on.as_ref())?;
        self.break_holds(&name, watch, &Value::Null, suffix)?;
        let mut frames = Vec::new();
        let mut code = loop {
            match self.stage.take(&name, until).await? {
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

pub fn nothing(taken: &Taken) -> String {
    match taken {
        Taken::Closed(Some(code)) => format!("the connection was closed with {code}"),
        Taken::Closed(None) => "the connection ended".to_owned(),
        _ => "nothing more comes within the time limit".to_owned(),
    }
}
