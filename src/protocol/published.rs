//! What is published about the server's frames, compiled at run time: for tools that judge the frames of any server.
//! The server itself has no use for it: its types are its promise.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use jsonschema::{ErrorIterator, Validator};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    ServerFrame, ServerMessage, Status, Timestamp, codec, schemas::BUNDLE, strict, violation::MAX_VIOLATIONS,
    violation::Rejection,
};

/// Whether fields that the schema does not know are ignored, as a client must, or refused.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Reading {
    Open,
    Closed,
}

struct Published {
    open: Value,
    closed: Value,
    /// The definition of a frame by its `type`, or `type/variant` of the payload.
    frames: BTreeMap<String, String>,
    compiled: Mutex<HashMap<(String, Reading), Arc<Compiled>>>,
}

struct Compiled {
    schema: Value,
    validator: Validator,
}

static PUBLISHED: LazyLock<Published> = LazyLock::new(Published::read);

/// The wire types of the server's frames.
pub fn server_types() -> impl Iterator<Item = &'static str> {
    let kinds = PUBLISHED.frames.keys().map(|key| key.split('/').next().unwrap_or_default());
    let mut last = "";
    kinds.filter(move |kind| std::mem::replace(&mut last, kind) != *kind)
}

/// Holds a frame of a server to the published schema and to what goes together in it (docs/PROTOCOL.md §3), and names
/// everything that is wrong.
pub fn check_server(text: &str, reading: Reading) -> Result<(), Rejection> {
    // What the types accept, the schemas accept: a test holds them to that. But for ids, of which they know more forms.
    if codec::decode_server(text).is_ok_and(|frame| writes_ids(text, &frame)) {
        return Ok(());
    }
    if strict::too_deep(text) {
        return Err(codec::depth());
    }
    let (mut frame, duplicates) = strict::read(text, MAX_VIOLATIONS + 1).map_err(|error| codec::syntax(&error))?;
    let mut rejection = Rejection::default();
    rejection.add_duplicates(duplicates);
    let Some(name) = PUBLISHED.definition(&frame) else {
        rejection.absorb(unknown(&frame));
        return Err(rejection);
    };
    let compiled = PUBLISHED.compile(name, reading);
    rejection.explain_with(&compiled.schema, || compiled.validator.iter_errors(&frame));
    if rejection.is_empty() {
        // Only unknown fields are between it and the types, or a contradiction that is behind them.
        PUBLISHED.compile(name, Reading::Closed).remove_unknown(&mut frame);
        return codec::decode_server(&frame.to_string()).map(drop);
    }
    Err(rejection)
}

/// Whether the ids of the frame stand there as they are usually written; otherwise the schema says whether they may.
fn writes_ids(text: &str, frame: &ServerFrame) -> bool {
    let other = match &frame.message {
        ServerMessage::EventStream(_) => Some(frame.id),
        ServerMessage::Status(status) => match &**status {
            Status::Connected(connected) => Some(connected.data.client_id),
            _ => None,
        },
        _ => None,
    };
    let times = |id: uuid::Uuid| text.matches(&format!("\"{id}\"")).count();
    times(frame.id) > usize::from(other == Some(frame.id)) && other.is_none_or(|id| times(id) > 0)
}

/// What is wrong with a frame whose type, or whose payload's, does not exist.
fn unknown(frame: &Value) -> Rejection {
    let variants = |kind: &str| -> Vec<&'static str> {
        let of_kind =
            |key: &'static String| key.split_once('/').filter(|(of, _)| *of == kind).map(|(_, variant)| variant);
        PUBLISHED.frames.keys().filter_map(of_kind).collect()
    };
    let (pointer, known) = match (frame.get("type").and_then(Value::as_str), frame.is_object()) {
        (_, false) => return Rejection::new("", "type", Some("object"), "must be of type object"),
        (None, _) => return Rejection::new("", "required", Some("type"), "lacks the field \"type\""),
        (Some(kind), _) if !variants(kind).is_empty() => ("/payload/type", variants(kind)),
        _ => ("/type", server_types().collect()),
    };
    let mut rejection = Rejection::new(pointer, "enum", None, &format!("must be one of {}", known.join(", ")));
    rejection.known = known;
    rejection
}

impl Published {
    fn read() -> Self {
        let open: Value = serde_json::from_str(BUNDLE).unwrap_or_default();
        let mut closed = open.clone();
        close(&mut closed);
        let definitions = &open["$defs"];
        let mut frames = BTreeMap::new();
        for frame in definitions["ServerMessage"]["oneOf"].as_array().into_iter().flatten() {
            let Some(name) = referred(frame) else { continue };
            let properties = &definitions[name]["properties"];
            let kind = properties["type"]["const"].as_str().unwrap_or_default();
            let payload = referred(&properties["payload"]).map(|payload| &definitions[payload]);
            let variant = payload.and_then(|payload| payload["properties"]["type"]["const"].as_str());
            frames.insert(variant.map_or(kind.to_owned(), |variant| format!("{kind}/{variant}")), name.to_owned());
        }
        Self { open, closed, frames, compiled: Mutex::default() }
    }

    fn definition(&self, frame: &Value) -> Option<&str> {
        let kind = frame.get("type")?.as_str()?;
        let variant = || Some(format!("{kind}/{}", frame.get("payload")?.get("type")?.as_str()?));
        self.frames.get(kind).or_else(|| self.frames.get(&variant()?)).map(String::as_str)
    }

    fn compile(&self, name: &str, reading: Reading) -> Arc<Compiled> {
        let mut known = self.compiled.lock();
        let compiled = known.entry((name.to_owned(), reading)).or_insert_with(|| {
            let mut schema = if reading == Reading::Open { self.open.clone() } else { self.closed.clone() };
            schema["$ref"] = json!(format!("#/$defs/{name}"));
            let options = jsonschema::options().should_validate_formats(true).offline();
            // RFC 3339 has many forms of a time, the protocol one (R2.7).
            let options = options.with_format("date-time", |text: &str| text.parse::<Timestamp>().is_ok());
            let validator = options.build(&schema);
            let validator = validator.unwrap_or_else(|error| unreachable!("a published schema compiles: {error}"));
            Arc::new(Compiled { schema, validator })
        });
        compiled.clone()
    }
}

impl Compiled {
    /// Takes away the fields that this closed schema does not know.
    fn remove_unknown(&self, frame: &mut Value) {
        let errors: ErrorIterator<'_> = self.validator.iter_errors(frame);
        let unknown: Vec<_> = errors.flat_map(|error| super::violation::unknown_of(&error)).collect();
        for (pointer, field) in unknown {
            if let Some(object) = frame.pointer_mut(&pointer).and_then(Value::as_object_mut) {
                object.remove(&field);
            }
        }
    }
}

/// Makes every object that lists its fields hold no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}
