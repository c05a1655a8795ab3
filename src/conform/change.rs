//! What a broken server does to a frame: which ones it changes, and what comes instead. The stage applies it ([`Armed`]).

use serde_json::{Map, Value, json};

use super::{
    pattern::{fits, fits_loosely, is_operator},
    value::Values,
};

/// Which frames are changed.
#[derive(Debug, Clone)]
pub enum Select {
    /// The answer to that request.
    Answer(String),
    /// Those that fit.
    Fits(Value),
    /// Those that fit the first and not the second, which ends the step.
    FitsBut(Value, Value),
    /// The first that comes.
    First,
}

/// What is done to them.
#[derive(Debug, Clone)]
pub enum Edit {
    Lose,
    /// Another value at the deepest place that this pattern asserts.
    Alter(Value),
    /// An error instead.
    Refuse,
    /// This frame before.
    Insert(Value),
    /// Held back until one that fits has passed.
    Delay(Value),
}

/// A change that waits for its frame.
#[derive(Debug)]
pub struct Armed {
    pub peer: String,
    pub select: Select,
    pub edit: Edit,
    pub fired: bool,
    held: Option<Value>,
}

impl Armed {
    pub fn new(peer: &str, select: Select, edit: Edit) -> Self {
        Self { peer: peer.to_owned(), select, edit, fired: false, held: None }
    }

    fn selects(&self, frame: &Value, values: &Values) -> bool {
        match &self.select {
            Select::Answer(id) => frame["replyTo"] == id.as_str(),
            Select::Fits(pattern) => fits_loosely(pattern, frame, values),
            Select::FitsBut(pattern, last) => fits_loosely(pattern, frame, values) && !fits(last, frame, values),
            Select::First => !self.fired,
        }
    }

    /// What arrives in the place of `frame`; `None` where it arrives as it was.
    pub fn apply(&mut self, frame: &Value, values: &Values) -> Option<Vec<Value>> {
        if let Edit::Delay(until) = &self.edit
            && let Some(held) = &self.held
        {
            if !fits(until, frame, values) {
                return None;
            }
            let late = vec![frame.clone(), held.clone()];
            self.held = None;
            return Some(late);
        }
        if !self.selects(frame, values) || self.fired && !matches!(self.edit, Edit::Lose) {
            return None;
        }
        let came = match &self.edit {
            Edit::Lose => Vec::new(),
            Edit::Alter(pattern) => vec![altered(pattern, frame, values)],
            Edit::Refuse => vec![refused(frame)],
            Edit::Insert(extra) => vec![extra.clone(), frame.clone()],
            Edit::Delay(_) => {
                self.held = Some(frame.clone());
                Vec::new()
            }
        };
        self.fired = true;
        Some(came)
    }
}

/// The pointer to the last value that a pattern asserts: captures and `$any` do not count.
pub fn leaf(pattern: &Value) -> Option<String> {
    match pattern {
        Value::Object(fields) if fields.keys().any(|key| is_operator(key)) => {
            let only_captures = fields.keys().all(|key| key == "$as");
            (!only_captures).then(String::new)
        }
        Value::Object(fields) => {
            let mut places = fields.iter().filter_map(|(key, value)| Some((key, leaf(value)?)));
            places
                .next_back()
                .map(|(key, below)| format!("/{}{below}", key.replace("$$", "$").replace('~', "~0").replace('/', "~1")))
        }
        Value::String(text) if text.starts_with("$as ") => None,
        Value::String(text) if text == "$any" => Some(String::new()),
        _ => Some(String::new()),
    }
}

/// `value` with something else at the place that `pattern` asserts last, so that it no longer fits.
pub fn altered(pattern: &Value, value: &Value, values: &Values) -> Value {
    let Some(pointer) = leaf(pattern) else { return value.clone() };
    let asserted = pattern.pointer(&pointer).unwrap_or(&Value::Null);
    let there = value.pointer(&pointer);
    let mut candidates: Vec<Option<Value>> = there.map(other).into_iter().map(Some).collect();
    // What must not be.
    candidates.extend(asserted.get("$not").map(|not| Some(instance(not, values))));
    candidates.extend([json!([]), json!(-1), json!(""), json!({}), Value::Null].map(Some));
    candidates.push(None);
    let changed = candidates.into_iter().map(|candidate| replaced(value, &pointer, candidate));
    changed.into_iter().find(|changed| !fits_loosely(pattern, changed, values)).unwrap_or_else(|| value.clone())
}

/// `value` with another value at `pointer`, or none.
fn replaced(value: &Value, pointer: &str, new: Option<Value>) -> Value {
    let mut changed = value.clone();
    let Some((parent, key)) = pointer.rsplit_once('/') else { return new.unwrap_or_default() };
    match (changed.pointer_mut(parent), new) {
        (Some(Value::Object(fields)), Some(new)) => drop(fields.insert(key.to_owned(), new)),
        (Some(Value::Object(fields)), None) => drop(fields.remove(key)),
        (Some(Value::Array(items)), Some(new)) => {
            if let Some(item) = key.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                *item = new;
            }
        }
        _ => {}
    }
    changed
}

/// Another value of the same kind.
pub fn other(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => number.as_i64().map_or(json!(0.123), |number| json!(number + 1_000_003)),
        Value::String(text) => json!(format!("mutant {text}")),
        Value::Array(items) => Value::Array(items.iter().cloned().chain([json!("mutant"), json!("mutant")]).collect()),
        Value::Object(fields) => {
            let mut fields: Map<_, _> = fields.clone();
            fields.insert("mutant".to_owned(), json!(true));
            Value::Object(fields)
        }
        Value::Null => json!("mutant"),
    }
}

fn refused(frame: &Value) -> Value {
    let mut refused = frame.clone();
    let code = if frame["payload"]["code"] == "SERVER_ERROR" { "OVERLOADED" } else { "SERVER_ERROR" };
    refused["type"] = json!("error");
    refused["payload"] = json!({"code": code, "message": "a mutant refuses", "retryable": false});
    refused
}

/// A frame that fits `pattern`, as far as that can be made up.
pub fn made_up(pattern: &Value, values: &Values) -> Value {
    let mut frame = json!({
        "id": "019bc0d1-7a12-7c3e-9f21-00000000dead",
        "timestamp": "2026-01-15T10:00:00.000Z",
    });
    let made = instance(pattern, values);
    if let (Some(frame), Value::Object(made)) = (frame.as_object_mut(), made) {
        frame.extend(made);
        frame.entry("type").or_insert(json!("event_stream"));
        frame.entry("payload").or_insert(json!({}));
    }
    frame
}

fn instance(pattern: &Value, values: &Values) -> Value {
    match pattern {
        Value::Object(fields) => {
            if let Some(first) = fields.get("$oneOf").and_then(|choices| choices.get(0)) {
                return instance(first, values);
            }
            if let Some(exact) = fields.get("$exactly").or(fields.get("$min")).or(fields.get("$max")) {
                return values.fill(exact).unwrap_or_default();
            }
            if let Some(part) = fields.get("$contains") {
                let part = instance(part, values);
                return if part.is_string() { part } else { json!([part]) };
            }
            if let Some(above) = fields.get("$above") {
                return json!(values.fill(above).ok().and_then(|above| above.as_f64()).unwrap_or_default() + 1.0);
            }
            if let Some(not) = fields.get("$not") {
                return other(&instance(not, values));
            }
            let fields = fields.iter().filter(|(_, value)| *value != "$absent");
            Value::Object(fields.map(|(key, value)| (key.clone(), instance(value, values))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| instance(item, values)).collect()),
        Value::String(text) if text == "$any" || text.starts_with("$as ") => json!(1),
        value => values.fill(value).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_value_no_longer_fits() {
        let values = Values::new("h", 1);
        for (pattern, value) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": {"b": "x", "c": "$as c"}}), json!({"a": {"b": "x", "c": 5}})),
            (json!({"a": "$any"}), json!({"a": 1})),
            (json!({"a": "$absent"}), json!({})),
            (json!({"a": {"$not": {"$contains": "x"}}}), json!({"a": ["y"]})),
            (json!({"a": {"$min": 1}}), json!({"a": 5})),
            (json!({"a": {"$type": "string"}}), json!({"a": "x"})),
            (json!({"a": {"$contains": {"b": 1}}}), json!({"a": [{"b": 1}]})),
            (json!({"a": []}), json!({"a": []})),
            (json!({"a": {"$regex": "^x$"}}), json!({"a": "x"})),
            (json!({"a": {"$length": 1}}), json!({"a": [1]})),
            (json!(["x"]), json!(["x"])),
        ] {
            assert!(fits(&pattern, &value, &values), "{pattern} {value}");
            let changed = altered(&pattern, &value, &values);
            assert!(!fits(&pattern, &changed, &values), "{pattern} {changed}");
        }
        assert_eq!(leaf(&json!({"a": "$as x"})), None);
    }

    #[test]
    fn a_made_up_frame_fits() {
        let mut values = Values::new("h", 1);
        values.set("root", json!("r"));
        for pattern in [
            json!({"type": "event_stream", "payload": {"event": {"payload": {"rootId": "$root", "n": {"$above": 3}}}}}),
            json!({"seq": "$any", "payload": {"complete": true, "error": "$absent"}}),
            json!({"payload": {"agents": {"$contains": {"name": "a"}}, "x": {"$oneOf": [1, 2]}}}),
        ] {
            assert!(fits(&pattern, &made_up(&pattern, &values), &values), "{pattern}");
        }
    }
}
