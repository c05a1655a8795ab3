//! Many files with relative `$ref`s → one document with flat `$defs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    catalogue::{File, Message, entries},
    fault::{Fault, Faults},
};

/// A definition of the bundle.
pub struct Definition {
    /// The definition itself: `$ref`s are `#/$defs/Name`, `x-` keywords and `examples` are gone, except for what the
    /// model reads: `x-frames`, which stands for a shape, and `x-secret`.
    pub schema: Value,
    pub file: String,
    pub pointer: String,
}

/// Every definition by name: all `$defs`, and the roots of the files that are definitions, by title.
pub struct Bundle {
    pub definitions: BTreeMap<String, Definition>,
}

pub fn bundle(files: &[File]) -> Result<Bundle, Faults> {
    let mut definitions: BTreeMap<String, Definition> = BTreeMap::new();
    let mut faults = Faults::default();
    for file in files {
        let named =
            entries(file.json.get("$defs")).map(|(name, schema)| (name.as_str(), format!("/$defs/{name}"), schema));
        let root = file.is_definition().then(|| (file.title(), String::new(), &file.json));
        for (name, pointer, schema) in named.chain(root) {
            if file.path == "envelope.json" {
                continue;
            }
            if let Some(other) = definitions.get(name) {
                let rule = format!("the name {name} is taken by {}", other.file);
                faults.0.push(Fault::new(file.path.as_str(), pointer, rule, "another name"));
                continue;
            }
            let schema = rewrite(files, file, schema)?;
            definitions.insert(name.to_owned(), Definition { schema, file: file.path.clone(), pointer });
        }
    }
    faults.or(Bundle { definitions })
}

impl Bundle {
    /// `root` with the definitions that it reaches.
    pub fn closed(&self, root: &Value) -> Value {
        let mut defs = Map::new();
        let mut open = references(root);
        while let Some(name) = open.pop() {
            if let Some(definition) = self.definitions.get(&name)
                && !defs.contains_key(&name)
            {
                open.extend(references(&definition.schema));
                defs.insert(name, definition.schema.clone());
            }
        }
        let mut root = root.clone();
        if let Some(root) = root.as_object_mut() {
            root.insert("$defs".to_owned(), Value::Object(defs));
        }
        root
    }
}

/// Envelope and payload of one client message in one schema.
pub fn client_frame(envelope: &Value, message: &Message) -> Value {
    let mut frame = frame(envelope, message);
    if let Some(properties) = frame["properties"].as_object_mut()
        && !message.idempotent
    {
        properties.remove("idempotencyKey");
    }
    if let Some(required) = frame["required"].as_array_mut() {
        required.retain(|name| !(message.payload_optional && name == "payload"));
    }
    frame
}

/// Envelope and payload of one server message in one schema.
pub fn server_frame(envelope: &Value, message: &Message) -> Value {
    let mut frame = frame(envelope, message);
    if let Some(properties) = frame["properties"].as_object_mut()
        && !message.durable
    {
        properties.remove("seq");
    }
    frame
}

fn frame(envelope: &Value, message: &Message) -> Value {
    let mut frame = envelope.clone();
    frame["properties"]["type"] = json!({"type": "string", "const": message.wire});
    frame["properties"]["payload"] = json!({"$ref": format!("#/$defs/{}", message.title)});
    frame
}

/// The names that `schema` refers to, after [`rewrite`].
pub fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => vec![to.trim_start_matches("#/$defs/").to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The name of the definition that `to`, written in `file`, refers to: one of a file's `$defs`, or the file's
/// root, which is called by its title.
pub fn target(files: &[File], file: &File, to: &str) -> Result<String, Fault> {
    let (path, fragment) = to.split_once('#').unwrap_or((to, ""));
    let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
    let found = files.iter().find(|file| file.path == path).and_then(|file| match fragment.strip_prefix("/$defs/") {
        Some(name) => file.json["$defs"].get(name).map(|_| name.to_owned()),
        None => (fragment.is_empty() && file.is_definition()).then(|| file.title().to_owned()),
    });
    found.ok_or_else(|| {
        Fault::new(file.path.as_str(), "", format!("$ref leads nowhere: {to}"), "a relative `path.json#/$defs/Name`")
    })
}

/// `../common/a.json`, seen from `client/b.json`, is `common/a.json`.
fn resolve(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A schema of `file` as it stands in the bundle.
pub fn rewrite(files: &[File], file: &File, schema: &Value) -> Result<Value, Fault> {
    rewrite_at(files, file, schema, true)
}

fn rewrite_at(files: &[File], file: &File, schema: &Value, keywords: bool) -> Result<Value, Fault> {
    Ok(match schema {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (key, value) in fields {
                // Among `properties`, names are the user's and not keywords.
                let value = match key.as_str() {
                    "$id" | "$schema" | "$defs" | "examples" if keywords => continue,
                    key if keywords && key.starts_with("x-") && !matches!(key, "x-frames" | "x-secret") => {
                        continue;
                    }
                    "$ref" if keywords => {
                        Value::String(format!("#/$defs/{}", target(files, file, value.as_str().unwrap_or_default())?))
                    }
                    "default" | "const" | "enum" if keywords => value.clone(),
                    key => rewrite_at(files, file, value, !(keywords && key == "properties"))?,
                };
                out.insert(key.clone(), value);
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| rewrite_at(files, file, item, true)).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}
