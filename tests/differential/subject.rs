//! What is compared: every client frame, and every document that is read whole (bodies of requests, templates,
//! scripts), each by its decoder and by its schema.

use std::{cell::Cell, collections::BTreeMap, path::Path};

use agent_world::protocol::{BODIES, Rejection, codec, decode_client};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json, value::RawValue};

use crate::{
    codegen::{
        bundle::{Bundle, bundle, client_frame},
        catalogue::{Catalogue, File, read_files},
    },
    node::Node,
};

type Decode = Box<dyn Fn(&str) -> Result<(), Rejection>>;

/// One kind of document.
pub struct Subject {
    pub name: String,
    pub schema: Value,
    pub examples: Vec<Node>,
    pub decode: Decode,
    reference: Reference,
}

#[derive(Clone)]
enum Reference {
    /// By the frame's `type`.
    Frames(std::rc::Rc<BTreeMap<String, Validator>>),
    One(std::rc::Rc<Validator>),
}

/// What JSON Schema says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
    /// Refused for what no schema sees: not JSON, or too deep.
    Unreadable,
}

/// Everything in the project's own `schema/`.
pub fn subjects() -> Vec<Subject> {
    let files = read_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).expect("schema/ is readable");
    let bundle = bundle(&files).expect("schema/ bundles");
    let catalogue = Catalogue::new(&files).expect("schema/ is a catalogue");
    let mut subjects = frames(&files, &bundle, &catalogue);
    subjects.extend(BODIES.iter().map(|(name, decode)| document(&files, &bundle, name, *decode)));
    subjects
}

fn frames(files: &[File], bundle: &Bundle, catalogue: &Catalogue) -> Vec<Subject> {
    let schemas: Vec<Value> = catalogue
        .client
        .iter()
        .map(|message| bundle.closed(&client_frame(&catalogue.client_envelope, message)))
        .collect();
    let validators: BTreeMap<String, Validator> = catalogue
        .client
        .iter()
        .zip(&schemas)
        .map(|(message, schema)| (message.wire.clone(), validator(schema)))
        .collect();
    let reference = Reference::Frames(std::rc::Rc::new(validators));
    let subject = |(message, schema): (&crate::codegen::catalogue::Message, Value)| {
        let file = files.iter().find(|file| file.title() == message.title).expect("the message's file");
        let mut examples = Vec::new();
        for payload in file.json["examples"].as_array().into_iter().flatten() {
            examples.push(json!({"id": "1", "type": message.wire, "payload": payload}));
            let mut full =
                json!({"id": "req-1", "type": message.wire, "timestamp": "2026-01-15T10:00:00Z", "payload": payload});
            if message.idempotent {
                full["idempotencyKey"] = json!("7d0f3c5e");
            }
            examples.push(full);
        }
        Subject {
            name: message.wire.clone(),
            schema,
            examples: examples.iter().map(Node::from).collect(),
            decode: Box::new(|text| {
                let frame = decode_client(text)?;
                // What was accepted must survive being written and read again, and serde must write the same.
                let again = String::from_utf8(codec::json(&frame)).expect("JSON is UTF-8");
                assert_eq!(again, serde_json::to_string(&frame).expect("a frame is JSON"));
                assert_eq!(decode_client(&again).as_ref(), Ok(&frame), "{again}");
                Ok(())
            }),
            reference: reference.clone(),
        }
    };
    catalogue.client.iter().zip(schemas).map(subject).collect()
}

fn document(files: &[File], bundle: &Bundle, name: &str, decode: fn(&[u8]) -> Result<(), Rejection>) -> Subject {
    let schema = bundle.closed(&json!({"$ref": format!("#/$defs/{name}")}));
    let mut examples: Vec<Value> = Vec::new();
    for file in files {
        if file.title() == name {
            examples.extend(file.json["examples"].as_array().into_iter().flatten().cloned());
        }
        let requests = file.json.get("x-examples").and_then(Value::as_object).into_iter().flatten();
        let takes = |content: &Value| content["$ref"].as_str().is_some_and(|to| to.ends_with(&format!("/{name}")));
        if file.json["x-route"]["request"].as_object().is_some_and(|request| request.values().any(takes)) {
            examples.extend(requests.filter_map(|(_, example)| example.get("request").cloned()));
        }
    }
    let reference = Reference::One(std::rc::Rc::new(validator(&schema)));
    let examples = examples.iter().map(Node::from).collect();
    let decode: Decode = Box::new(move |text| decode(text.as_bytes()));
    Subject { name: name.to_owned(), schema, examples, decode, reference }
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(schema).expect("a schema")
}

impl Subject {
    /// The verdict of the schema, by a validator that is built at run time, not by the compiled one.
    pub fn reference(&self, text: &str) -> Verdict {
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Verdict::Unreadable };
        if depth(&value) > 32 {
            return Verdict::Unreadable;
        }
        let accepted = match &self.reference {
            Reference::One(validator) => validator.is_valid(&value),
            Reference::Frames(validators) => value["type"]
                .as_str()
                .and_then(|kind| validators.get(kind))
                .is_some_and(|validator| validator.is_valid(&value)),
        };
        if accepted { Verdict::Accepted } else { Verdict::Refused }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether some object of `text` names a key twice. Looks at the text level by level, unlike the codec.
pub fn has_duplicate_key(text: &str) -> bool {
    struct Fields<'f>(&'f Cell<bool>, Vec<Box<RawValue>>);
    impl<'de> serde::de::Visitor<'de> for Fields<'_> {
        type Value = Vec<Box<RawValue>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                self.0.set(self.0.get() || keys.contains(&key));
                keys.push(key);
                self.1.push(value);
            }
            Ok(self.1)
        }
    }
    let found = Cell::new(false);
    let children = match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            use serde::Deserializer;
            serde_json::Deserializer::from_str(text).deserialize_map(Fields(&found, Vec::new())).unwrap_or_default()
        }
        Some(b'[') => serde_json::from_str(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    found.get() || children.iter().any(|child| has_duplicate_key(child.get()))
}
