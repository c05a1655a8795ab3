//! Broken servers for the standing checks: `tests/conformance/broken.json` says what each does to which frame, and which
//! check must notice. They change what comes in before anything else looks at it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{frame::expand, pattern::fits, value::Values};

pub const FILE: &str = include_str!("../../tests/conformance/broken.json");

/// One broken server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tamper {
    pub name: String,
    /// The scenario in which it shows.
    #[serde(rename = "in")]
    pub scenario: String,
    /// The frame that it changes, in short or as a pattern.
    on: Value,
    /// Which of those, counted from 1.
    nth: Option<usize>,
    #[serde(default)]
    lose: bool,
    #[serde(default)]
    twice: bool,
    /// New values by their pointers.
    #[serde(default)]
    set: Map<String, Value>,
    remove: Option<String>,
    /// It comes late, behind this one.
    after: Option<Value>,
    /// The check that must fail.
    pub fails: String,
    #[serde(skip)]
    seen: usize,
    #[serde(skip)]
    held: Option<Value>,
    #[serde(skip)]
    pub fired: bool,
}

/// All of them.
pub fn tampers() -> Result<Vec<Tamper>, String> {
    let mut all: Vec<Tamper> = serde_json::from_str(FILE).map_err(|error| error.to_string())?;
    for tamper in &mut all {
        tamper.on = expand(&tamper.on)?;
        if let Some(after) = &mut tamper.after {
            *after = expand(after)?;
        }
    }
    Ok(all)
}

/// The names of all of them.
pub fn ways() -> Result<Vec<String>, String> {
    Ok(tampers()?.into_iter().map(|tamper| tamper.name).collect())
}

/// For each connection, what becomes of a text.
type Connections = dyn Fn() -> Box<dyn FnMut(&str) -> Vec<String> + Send> + Send + Sync;

/// The broken server of that name, for a proxy before a sound one: for each connection, what becomes of a text of the
/// server. It breaks the first that it may, and the rest goes through as it is.
pub fn broken(name: &str) -> Result<Box<Connections>, String> {
    let all = tampers()?;
    let Some(tamper) = all.iter().find(|tamper| tamper.name == name).cloned() else {
        return Err("--break: there is no such way; `--break list` names them".to_owned());
    };
    let values = Values::new("", 0);
    Ok(Box::new(move || {
        let (mut tamper, values) = (tamper.clone(), values.clone());
        Box::new(move |text| {
            let frame = serde_json::from_str(text).ok();
            match frame.and_then(|frame| tamper.apply(&frame, &values)) {
                Some(frames) => frames.iter().map(ToString::to_string).collect(),
                None => vec![text.to_owned()],
            }
        })
    }))
}

impl Tamper {
    /// What arrives in the place of `frame`; `None` where it arrives as it was.
    pub fn apply(&mut self, frame: &Value, values: &Values) -> Option<Vec<Value>> {
        if let Some(held) = &self.held {
            let after = self.after.as_ref()?;
            if !fits(after, frame, values) {
                return None;
            }
            let late = vec![frame.clone(), held.clone()];
            self.held = None;
            return Some(late);
        }
        if self.fired || !fits(&self.on, frame, values) {
            return None;
        }
        self.seen += 1;
        if self.seen < self.nth.unwrap_or(1) {
            return None;
        }
        self.fired = true;
        if self.after.is_some() {
            self.held = Some(frame.clone());
            return Some(Vec::new());
        }
        if self.lose {
            return Some(Vec::new());
        }
        let mut changed = frame.clone();
        for (pointer, value) in &self.set {
            put(&mut changed, pointer, Some(value.clone()));
        }
        if let Some(pointer) = &self.remove {
            put(&mut changed, pointer, None);
        }
        Some(if self.twice { vec![changed.clone(), changed] } else { vec![changed] })
    }
}

/// Puts a value where the pointer leads, or takes it away.
fn put(frame: &mut Value, pointer: &str, value: Option<Value>) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    let Some(Value::Object(fields)) = frame.pointer_mut(parent) else { return };
    match value {
        Some(value) => drop(fields.insert(key.to_owned(), value)),
        None => drop(fields.remove(key)),
    }
}
