//! Reads a scenario from its file.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    definitions::Definitions,
    frame::expand,
    rules,
    scenario::{
        Action, Ask, Connect, Hold, HoldKind, Http, InvalidScenario, SCHEMA, Scenario, Sent, Step, Text, Watch,
    },
};

impl Scenario {
    /// Reads the file of a scenario.
    pub fn parse(name: &str, json: &str) -> Result<Self, InvalidScenario> {
        let invalid = |text: String| InvalidScenario { name: name.to_owned(), text };
        let file: Value = serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
        check("Scenario", &file, "").map_err(invalid)?;
        let rules = rules_in(&file, "").map_err(invalid)?;
        let server = file.get("server").map(|settings| {
            let settings = settings.as_object().into_iter().flatten();
            settings.map(|(name, value)| (name.clone(), text_of(value))).collect()
        });
        Ok(Self {
            name: name.to_owned(),
            title: text_of(&file["title"]),
            rules,
            script: file.get("script") != Some(&json!(false)),
            server,
            steps: steps(&file["steps"], "/steps").map_err(invalid)?,
        })
    }
}

/// The keys that say what a step does; exactly one stands in each.
const ACTIONS: [&str; 22] = [
    "connect",
    "ask",
    "send",
    "answer",
    "text",
    "binary",
    "textBytes",
    "wire",
    "expect",
    "next",
    "until",
    "fence",
    "http",
    "stream",
    "ended",
    "closed",
    "leave",
    "kill",
    "wait",
    "restart",
    "stop",
    "set",
];
const MORE_ACTIONS: [&str; 3] = ["value", "repeat", "each"];

fn steps(list: &Value, at: &str) -> Result<Vec<Step>, String> {
    let list = list.as_array().into_iter().flatten().enumerate();
    list.map(|(index, step)| self::step(step, &format!("{at}/{index}"))).collect()
}

fn step(step: &Value, at: &str) -> Result<Step, String> {
    let object = step.as_object().ok_or_else(|| format!("{at}: a step is an object"))?;
    let mut keys = ACTIONS.iter().chain(&MORE_ACTIONS).filter(|key| object.contains_key(**key));
    let key = match (keys.next(), keys.next()) {
        // `stream` names itself, and so does what a stream asks.
        (Some(key), None) => *key,
        _ => {
            return Err(format!(
                "{at}: one of {} says what the step does",
                [&ACTIONS[..], &MORE_ACTIONS].concat().join(", ")
            ));
        }
    };
    check(key, step, at)?;
    asserted(object, at)?;
    let wrong = |text: String| format!("{at}: {text}");
    let text = |name: &str| object.get(name).map(text_of);
    let strings = |name: &str| -> BTreeMap<String, String> {
        let fields = object.get(name).and_then(Value::as_object).into_iter().flatten();
        fields.map(|(name, value)| (name.clone(), text_of(value))).collect()
    };
    let watch = |pattern: &Value, on: Option<String>| -> Result<Watch, String> {
        let pattern = if pattern.is_null() { Value::Null } else { expand(pattern).map_err(wrong)? };
        Ok(Watch { on, pattern, name: text("as"), holds: holds(object.get("holds"), at)? })
    };
    let ask = |kind: &str| Ask {
        on: text("on"),
        kind: kind.to_owned(),
        payload: object.get("payload").cloned(),
        key: text("key"),
        id: text("id"),
        ok: object.get("ok").cloned(),
        error: object.get("error").cloned(),
    };
    let bytes = |name: &str| hex(&text_of(&step[name])).map_err(wrong);
    let value = &step[key];
    let named = text_of(value);
    let action = match key {
        "connect" => Action::Connect(Connect::deserialize(step).map_err(|error| wrong(error.to_string()))?),
        "ask" => Action::Ask(ask(&named)),
        "send" => Action::Send(ask(&named)),
        "answer" => Action::Answer(Ask { id: Some(named), ..ask("") }),
        "text" => Action::Text(Text { on: text("on"), content: Sent::Text(value.clone()) }),
        "binary" => Action::Text(Text { on: text("on"), content: Sent::Binary(bytes("binary")?) }),
        "textBytes" => Action::Text(Text { on: text("on"), content: Sent::TextBytes(bytes("textBytes")?) }),
        "wire" => Action::Text(Text { on: text("on"), content: Sent::Wire(bytes("wire")?) }),
        "expect" => Action::Expect(watch(value, text("on"))?),
        "next" => Action::Next(watch(value, text("on"))?),
        "until" => Action::Until(watch(value, text("on"))?),
        "fence" => Action::Fence(watch(&Value::Null, Some(named))?),
        "ended" => Action::Ended(watch(&Value::Null, Some(named))?),
        "closed" => Action::Closed(Watch {
            pattern: step.get("code").cloned().unwrap_or(Value::Null),
            ..watch(&Value::Null, Some(named))?
        }),
        "http" | "stream" => {
            let request = if key == "http" { named.clone() } else { text("request").unwrap_or_default() };
            let (method, path) = request.split_once(' ').ok_or_else(|| wrong("a request is `METHOD /path`".into()))?;
            let headers = object.get("answerHeaders").and_then(Value::as_object).cloned().unwrap_or_default();
            let http = Http {
                method: method.to_owned(),
                path: path.to_owned(),
                name: (key == "stream").then_some(named),
                token: text("token"),
                headers: strings("headers"),
                body: object.get("body").cloned(),
                raw: object.get("raw").cloned(),
                status: object.get("status").cloned(),
                ok: object.get("ok").cloned(),
                problem: object.get("problem").cloned(),
                answer_headers: headers.into_iter().collect(),
                text: object.get("textIs").cloned(),
            };
            if key == "http" { Action::Http(http) } else { Action::Stream(http) }
        }
        "leave" => Action::Leave(named),
        "kill" => Action::Kill(named),
        "wait" => Action::Wait(value.as_u64().unwrap_or_default()),
        "restart" => Action::Restart(named),
        "stop" => Action::Stop,
        "set" => Action::Set(value.as_object().cloned().unwrap_or_default()),
        "value" => Action::Value { value: value.clone(), is: step["is"].clone() },
        "repeat" => Action::Repeat {
            times: value.as_u64().unwrap_or_default(),
            steps: steps(&step["steps"], &format!("{at}/steps"))?,
        },
        _ => {
            let rows = value.as_array().into_iter().flatten().filter_map(Value::as_object).cloned().collect();
            Action::Each { rows, steps: steps(&step["steps"], &format!("{at}/steps"))? }
        }
    };
    Ok(Step { check: text("check"), rules: rules_in(step, at)?, within: step["within"].as_f64(), action })
}

/// A step without a `check` may wait and capture. What else it expected would be proven by no broken server, and counted
/// by no report.
fn asserted(step: &Map<String, Value>, at: &str) -> Result<(), String> {
    const EXPECTED: [&str; 7] = ["ok", "error", "problem", "echo", "code", "textIs", "answerHeaders"];
    let expects = |name: &&str| step.get(*name).is_some_and(|pattern| !only_captures(pattern));
    match EXPECTED.iter().find(|name| expects(name)).filter(|_| !step.contains_key("check")) {
        None => Ok(()),
        Some(name) => {
            Err(format!("{at}/{name}: a step that expects this needs a `check`, the name of what it asserts"))
        }
    }
}

/// Whether a pattern does no more than to take values out of what came.
fn only_captures(pattern: &Value) -> bool {
    match pattern {
        Value::Object(fields) => fields.contains_key("$as") || fields.values().all(only_captures),
        Value::String(text) => text.starts_with("$as "),
        _ => false,
    }
}

fn holds(list: Option<&Value>, at: &str) -> Result<Vec<Hold>, String> {
    let list = list.and_then(Value::as_array).into_iter().flatten().enumerate();
    list.map(|(index, hold)| {
        let at = &format!("{at}/holds/{index}");
        let pattern = |name: &str| expand(&hold[name]).map_err(|text| format!("{at}: {name}: {text}"));
        let patterns = |name: &str| -> Result<Vec<Value>, String> {
            hold[name]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| expand(one).map_err(|text| format!("{at}: {text}")))
                .collect()
        };
        let has = |name: &str| hold.get(name).is_some();
        let kind = if has("count") {
            HoldKind::Count { of: pattern("count")?, is: hold["is"].clone() }
        } else if has("none") {
            HoldKind::None(pattern("none")?)
        } else if has("some") {
            HoldKind::Some(pattern("some")?)
        } else if has("every") {
            HoldKind::Every { of: pattern("every")?, is: pattern("is")? }
        } else if has("order") {
            HoldKind::Order(patterns("order")?)
        } else if has("only") {
            HoldKind::Only(patterns("only")?)
        } else {
            HoldKind::Same { of: pattern("same")?, frames: text_of(&hold["frames"]) }
        };
        Ok(Hold { check: text_of(&hold["check"]), rules: rules_in(hold, at)?, kind })
    })
    .collect()
}

/// Holds a part of a file against the definition of that name in the schema.
fn check(definition: &str, value: &Value, at: &str) -> Result<(), String> {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    DEFINITIONS.get_or_init(|| Definitions::of(SCHEMA)).check(definition, value, at)
}

/// The rules that a part of a file names.
fn rules_in(part: &Value, at: &str) -> Result<Vec<String>, String> {
    let named: Vec<String> = part["rules"].as_array().into_iter().flatten().map(text_of).collect();
    rules::known(&named).map_err(|text| format!("{at}/rules: {text}"))?;
    Ok(named)
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return Err("bytes are written as pairs of hexadecimal digits".to_owned());
    }
    let pairs =
        digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    pairs.collect::<Option<_>>().ok_or_else(|| "bytes are written as pairs of hexadecimal digits".to_owned())
}
