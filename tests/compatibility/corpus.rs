//! The proof of a label: documents that pass before an edit, held to what is accepted after it, and the reverse.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::{
    codegen::catalogue::File,
    differing::{differing, own},
    mutate::{apply, variants},
    node::Node,
    surface::{Direction, Slot, Surface, open},
};

/// A definition that changed is looked at in as many slots of one direction: where it is used, it is the same.
const SLOTS: usize = 3;

/// Near misses in how a document is written: no schema sees them.
const SPELLINGS: [&str; 7] = ["escape", "surrogate", "control", "order", "duplicateKey", "depth", "number"];

const LIMITS: [&str; 8] =
    ["pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems"];

pub struct Verdict {
    pub broken: BTreeSet<Direction>,
    /// How many documents were looked at.
    pub frames: usize,
}

/// What the documents say about an edit.
pub fn verdict(before: (&[File], &Surface), after: (&[File], &Surface)) -> Verdict {
    let mut verdict = Verdict { broken: BTreeSet::new(), frames: 0 };
    let (old_examples, new_examples) = (examples(before.0), examples(after.0));
    let mut looked: BTreeMap<(Direction, String), usize> = BTreeMap::new();
    let names: BTreeSet<&String> = before.1.slots.keys().chain(after.1.slots.keys()).collect();
    for name in names {
        let documents = old_examples.get(name).into_iter().chain(new_examples.get(name)).flatten();
        match (before.1.slots.get(name), after.1.slots.get(name)) {
            (Some(old), Some(new)) if old.schema != new.schema && !verdict.broken.contains(&old.direction) => {
                let mut news = false;
                for changed in changed_definitions(name, &old.schema, &new.schema) {
                    let times = looked.entry((old.direction, changed)).or_default();
                    news |= *times < SLOTS;
                    *times += 1;
                }
                if !news {
                    continue;
                }
                let documents = near(documents, [old, new]);
                verdict.frames += documents.len();
                if is_broken(old, new, &documents) {
                    verdict.broken.insert(old.direction);
                }
            }
            (Some(_), Some(_)) => {}
            // Of a route that is gone, only the request is sent; of one that is new, nothing to those who do not know it.
            (Some(_), None) if !name.ends_with(" parameters") && before.1.knows(name) != after.1.knows(name) => {}
            (Some(slot), None) => drop(verdict.broken.insert(slot.direction)),
            (None, Some(slot)) if name.starts_with("server ") => drop(verdict.broken.insert(slot.direction)),
            (None, _) => {}
        }
    }
    verdict
}

/// The names of what differs: definitions, and the slot itself where it is more than its references.
fn changed_definitions(slot: &str, old: &Value, new: &Value) -> Vec<String> {
    let definitions = |schema: &Value| schema["$defs"].as_object().cloned().unwrap_or_default();
    let (before, after) = (definitions(old), definitions(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned();
    differ.chain((own(old) != own(new)).then(|| slot.to_owned())).collect()
}

/// Whether some document may be sent by one and is refused by the other.
fn is_broken(old: &Slot, new: &Slot, documents: &[Value]) -> bool {
    let (sent, accepted) = match old.direction {
        Direction::ClientToServer => (validator(&old.schema), validator(&new.schema)),
        Direction::ServerToClient => (validator(&new.schema), validator(&open(&old.schema))),
    };
    let mut sendable = documents.iter().filter(|document| sent.is_valid(document)).peekable();
    assert!(sendable.peek().is_some(), "no document is valid: the corpus shows nothing");
    sendable.any(|document| !accepted.is_valid(document))
}

/// The documents, and what lies just inside and outside of what differs between the two schemas.
fn near<'d>(documents: impl Iterator<Item = &'d Value>, slots: [&Slot; 2]) -> Vec<Value> {
    // What is the same in both is not varied, for it is most of it: limits and patterns take many near misses.
    let same = |keyword: &&str| values(&slots[0].schema, keyword) == values(&slots[1].schema, keyword);
    let same: Vec<&str> = LIMITS.into_iter().filter(same).collect();
    let varied = slots.map(|slot| without(&slot.schema, &same));
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for document in documents {
        let node = Node::from(document);
        let changed = differing(&slots[0].schema, &slots[1].schema, &node);
        if seen.insert(node.to_string()) {
            all.push(document.clone());
        }
        for schema in &varied {
            for variant in variants(schema, schema, &node) {
                let around = variant.path.split_last().map_or(&[][..], |(_, parent)| parent);
                if SPELLINGS.contains(&variant.probe) || !(changed.contains(&variant.path) || changed.contains(around))
                {
                    continue;
                }
                let mut near = node.clone();
                if apply(&mut near, &variant)
                    && seen.insert(near.to_string())
                    && let Ok(value) = serde_json::from_str(&near.to_string())
                {
                    all.push(value);
                }
            }
        }
    }
    all
}

/// The schema without some keywords; a property may be called as a keyword is.
fn without(schema: &Value, keywords: &[&str]) -> Value {
    match schema {
        Value::Object(fields) => {
            let limits = |key: &str, value: &Value| keywords.contains(&key) && !value.is_object();
            let kept = fields.iter().filter(|(key, value)| !limits(key, value));
            kept.map(|(key, value)| (key.clone(), without(value, keywords))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| without(item, keywords)).collect(),
        _ => schema.clone(),
    }
}

/// The examples of a version by the slot that they belong to.
fn examples(files: &[File]) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for file in files {
        for payload in file.json["examples"].as_array().into_iter().flatten() {
            if file.is_in("client") {
                let frame = json!({"id": "1", "type": file.stem(), "payload": payload});
                found.entry(format!("client {}", file.stem())).or_default().extend(with(
                    frame,
                    [("idempotencyKey", json!("7d0f3c5e")), ("timestamp", json!("2026-01-15T10:00:00Z"))],
                ));
            } else if file.is_in("server") {
                let frame = json!({
                    "id": "019bc0d1-7a50-7c3e-9f21-3a5d8c6e1b50", "type": file.stem(),
                    "timestamp": "2026-01-15T10:01:10.000Z", "payload": payload,
                });
                let more = [("seq", json!(5)), ("replyTo", json!("1"))];
                found.entry(format!("server {}", file.stem())).or_default().extend(with(frame, more));
            } else {
                found.entry(format!("document {}", file.title())).or_default().push(payload.clone());
            }
        }
        for example in file.json["x-examples"].as_object().into_iter().flat_map(Map::values) {
            let id = file.stem();
            let mut parameters = Map::new();
            for (place, group) in [("path", "pathParameters"), ("query", "query"), ("header", "headers")] {
                for (name, value) in example[group].as_object().into_iter().flatten() {
                    parameters.insert(format!("{place}/{name}"), value.clone());
                }
            }
            found.entry(format!("{id} parameters")).or_default().push(Value::Object(parameters));
            let media =
                |content: &Value| content.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
            for media in media(&file.json["x-route"]["request"]) {
                found.entry(format!("{id} request {media}")).or_default().extend(example.get("request").cloned());
            }
            for (status, response) in file.json["x-route"]["responses"].as_object().into_iter().flatten() {
                for media in media(&response["content"]) {
                    let body = example["response"].get("body").cloned();
                    found.entry(format!("{id} {status} {media}")).or_default().extend(body);
                }
                found.entry(format!("{id} {status} headers")).or_default().push(json!({}));
            }
        }
    }
    found
}

/// A frame alone, and with each of the fields that it may have.
fn with<const N: usize>(frame: Value, more: [(&str, Value); N]) -> Vec<Value> {
    let added = more.map(|(field, value)| {
        let mut frame = frame.clone();
        frame[field] = value;
        frame
    });
    std::iter::once(frame).chain(added).collect()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(schema).expect("a schema")
}

/// What a keyword says all over a schema.
fn values<'s>(schema: &'s Value, keyword: &str) -> Vec<&'s Value> {
    match schema {
        Value::Object(fields) => {
            let within = fields.values().flat_map(|value| values(value, keyword));
            fields.get(keyword).into_iter().chain(within).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| values(item, keyword)).collect(),
        _ => Vec::new(),
    }
}
