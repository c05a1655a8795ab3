//! The published form of the schemas: no keywords of our own, and what the server sends is open ("ignore fields
//! that you do not know"), so that a field more breaks nobody. What clients send stays closed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    bundle::{Bundle, client_frame, references, server_frame},
    catalogue::{Catalogue, Content, File, Message, entries, text},
};

/// What WebSocket clients name as subprotocol.
pub const PROTOCOL: &str = "agent-world.v1";
/// The version of the server, and so of its documents.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const TITLE: &str = "Agent World";
/// The draft of every schema that is published. In `schema/` no file says it: the profile does.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
pub const LICENSE: &str = env!("CARGO_PKG_LICENSE");
/// SPDX explains its identifiers there.
pub const LICENSE_URL: &str = "https://spdx.org/licenses/";
pub const HOME: &str = "https://agent-world.example";
pub const EMAIL: &str = "contact@agent-world.example";

/// Where the components of OpenAPI and AsyncAPI are.
pub const COMPONENTS: &str = "#/components/schemas/";

/// Everything that the documents are made from.
pub struct Published<'a> {
    pub catalogue: &'a Catalogue,
    pub frames: Vec<Frame<'a>>,
    files: &'a [File],
    /// The definitions that the server sends.
    sent: BTreeSet<String>,
    /// The bundle's definitions, the variants of its unions under their titles, and the frames. `$ref`s are
    /// `#/$defs/Name`; a union has a `discriminator`.
    definitions: BTreeMap<String, Value>,
}

/// Envelope and payload of a message, or of one variant of it.
pub struct Frame<'a> {
    /// The name of its definition: ends in `Message`.
    pub name: String,
    pub message: &'a Message,
    /// The variant's tag, where the payload is a tagged union.
    pub variant: Option<String>,
    /// The definition of the payload.
    pub payload: String,
    pub description: String,
    /// Payloads, as they stand in the schema.
    pub examples: Vec<Value>,
}

impl Frame<'_> {
    /// `world_selected`, or `status/message_accepted`: what `x-reply` says.
    pub fn wire(&self) -> String {
        let wire = &self.message.wire;
        self.variant.as_ref().map_or(wire.clone(), |variant| format!("{wire}/{variant}"))
    }
}

impl<'a> Published<'a> {
    pub fn new(files: &'a [File], bundle: &Bundle, catalogue: &'a Catalogue) -> Self {
        let sent = sent(bundle, catalogue);
        let mut published = Self { catalogue, frames: Vec::new(), files, sent, definitions: BTreeMap::new() };
        for (name, definition) in &bundle.definitions {
            let mut schema = definition.schema.clone();
            match schema.as_object_mut().and_then(|fields| fields.remove("x-frames")) {
                Some(types) => {
                    unite(&mut schema, "type", &frames_of(&catalogue.server, &types));
                    published.definitions.insert(name.clone(), schema);
                }
                None => published.define(name, schema),
            }
        }
        for message in &catalogue.client {
            published.frame("client", client_frame(&catalogue.client_envelope, message), message);
        }
        for message in &catalogue.server {
            published.frame("server", server_frame(&catalogue.server_envelope, message), message);
        }
        published
    }

    /// The file that a message or route is made from.
    pub fn file(&self, folder: &str, stem: &str) -> &'a Value {
        let file = self.files.iter().find(|file| file.is_in(folder) && file.stem() == stem);
        file.map_or(&Value::Null, |file| &file.json)
    }

    pub fn description(&self, definition: &str) -> &str {
        self.definitions.get(definition).map_or("", |schema| text(schema, "description"))
    }

    /// Every schema file by its path below `/schema/`, as it is served.
    pub fn files(&self) -> impl Iterator<Item = (&str, Value)> {
        self.files.iter().map(|file| {
            let mut root = file.json.clone();
            publish(&mut root, self.sent.contains(file.title()));
            for (name, schema) in entries(file.json.get("$defs")) {
                let mut schema = schema.clone();
                if let Some(types) = schema.get("x-frames").and_then(Value::as_array) {
                    let above = "../".repeat(file.path.matches('/').count());
                    schema["oneOf"] = types.iter().map(|wire| linked_frame(&above, wire)).collect();
                }
                publish(&mut schema, self.sent.contains(name));
                root["$defs"][name] = schema;
            }
            let mut whole = json!({"$schema": DRAFT});
            whole.as_object_mut().into_iter().zip(root.as_object_mut()).for_each(|(whole, root)| whole.append(root));
            (file.path.as_str(), whole)
        })
    }

    /// `roots` and all that they reach, as the components of a document.
    pub fn components(&self, roots: impl IntoIterator<Item = String>) -> Map<String, Value> {
        let mut open: Vec<String> = roots.into_iter().collect();
        let mut found = BTreeMap::new();
        while let Some(name) = open.pop() {
            let Some(schema) = self.definitions.get(&name).filter(|_| !found.contains_key(&name)) else { continue };
            open.extend(references(schema).into_iter().filter(|to| self.definitions.contains_key(to)));
            let mut schema = schema.clone();
            each(&mut schema, &mut refer);
            found.insert(name, schema);
        }
        found.into_iter().collect()
    }

    /// One JSON Schema with every definition and frame, for those who want one file.
    pub fn bundle(&self) -> Value {
        let mut defs: Map<String, Value> = self.definitions.clone().into_iter().collect();
        for schema in defs.values_mut() {
            each(schema, &mut |fields| drop(fields.remove("discriminator")));
        }
        for (name, messages, who) in [
            ("ClientMessage", &self.catalogue.client, "a client"),
            ("ServerMessage", &self.catalogue.server, "the server"),
        ] {
            let all = messages.iter().flat_map(|message| self.of(&message.wire));
            let refs: Vec<Value> = all.map(|frame| json!({"$ref": format!("#/$defs/{}", frame.name)})).collect();
            defs.insert(name.to_owned(), json!({"description": format!("Any frame that {who} sends."), "oneOf": refs}));
        }
        json!({
            "$schema": DRAFT,
            "title": TITLE,
            "description": "Every message, body and definition of Agent World in one schema. What the server sends is open: ignore fields that you do not know.",
            "$defs": defs,
        })
    }

    pub fn of<'s>(&'s self, wire: &'s str) -> impl Iterator<Item = &'s Frame<'a>> {
        self.frames.iter().filter(move |frame| frame.message.wire == wire)
    }

    /// Takes a definition in; the variants of a union become definitions of their own.
    fn define(&mut self, name: &str, mut schema: Value) {
        publish(&mut schema, self.sent.contains(name));
        let (tag, variants) = variants(&schema);
        if !variants.is_empty() {
            let names: Vec<_> = variants.iter().map(|(value, title, _)| (value.clone(), title.clone())).collect();
            unite(&mut schema, &tag, &names);
            self.definitions.extend(variants.into_iter().map(|(_, title, variant)| (title, variant)));
        }
        self.definitions.insert(name.to_owned(), schema);
    }

    fn frame(&mut self, folder: &str, whole: Value, message: &'a Message) {
        let file = self.file(folder, &message.wire);
        let examples = file["examples"].as_array().cloned().unwrap_or_default();
        let (tag, variants) = variants(file);
        let mut payloads: Vec<_> = variants
            .into_iter()
            .map(|(value, title, variant)| (Some(value), title, text(&variant, "description").to_owned()))
            .collect();
        if payloads.is_empty() {
            payloads.push((None, message.title.clone(), message.description.clone()));
        }
        for (variant, payload, description) in payloads {
            let name = format!("{payload}Message");
            let mut schema = whole.clone();
            publish(&mut schema, folder == "server");
            schema["title"] = json!(name);
            schema["description"] =
                json!(format!("A frame of the type `{}`: the envelope, and `{payload}` in it.", message.wire));
            schema["properties"]["type"]["description"] = json!("The type of the message.");
            schema["properties"]["payload"]["$ref"] = json!(format!("#/$defs/{payload}"));
            self.definitions.insert(name.clone(), schema);
            let examples =
                examples.iter().filter(|example| variant.as_deref().is_none_or(|value| text(example, &tag) == value));
            let examples = examples.cloned().collect();
            self.frames.push(Frame { name, message, variant, payload, description, examples });
        }
    }
}

/// The tag of a union of inline objects, and of each variant the tag's value, the title and the schema.
fn variants(schema: &Value) -> (String, Vec<(String, String, Value)>) {
    let all = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let mut tag = String::new();
    let mut variants = Vec::new();
    for variant in all {
        let constant = entries(variant.get("properties"))
            .find(|(_, property)| property.get("const").is_some_and(Value::is_string));
        if let Some((name, property)) = constant {
            tag.clone_from(name);
            variants.push((text(property, "const").to_owned(), text(variant, "title").to_owned(), variant.clone()));
        }
    }
    (tag, variants)
}

/// The types of an `x-frames` with the names of their frames.
fn frames_of(server: &[Message], types: &Value) -> Vec<(String, String)> {
    let named = |wire: &Value| server.iter().find(|message| Some(message.wire.as_str()) == wire.as_str());
    let messages = types.as_array().into_iter().flatten().filter_map(named);
    messages.map(|message| (message.wire.clone(), format!("{}Message", message.title))).collect()
}

/// A server's frame as a schema file says it: the envelope's file, with the type and the payload's file.
fn linked_frame(above: &str, wire: &Value) -> Value {
    let payload = format!("{above}server/{}.json", wire.as_str().unwrap_or_default());
    json!({
        "$ref": format!("{above}envelope.json#/$defs/ServerEnvelope"),
        "type": "object",
        "properties": {"type": {"const": wire}, "payload": {"$ref": payload}},
    })
}

/// Makes `schema` the union of definitions, which are given with the value of their tag.
fn unite(schema: &mut Value, tag: &str, variants: &[(String, String)]) {
    let to = |name: &String| format!("#/$defs/{name}");
    schema["oneOf"] = variants.iter().map(|(_, name)| json!({"$ref": to(name)})).collect();
    let mapping: Map<_, _> = variants.iter().map(|(value, name)| (value.clone(), json!(to(name)))).collect();
    schema["discriminator"] = json!({"propertyName": tag, "mapping": mapping});
}

/// The definitions that can be part of something that goes out.
fn sent(bundle: &Bundle, catalogue: &Catalogue) -> BTreeSet<String> {
    let messages = catalogue.server.iter().map(|message| message.title.clone());
    let bodies = catalogue.routes.iter().flat_map(|route| &route.responses).flat_map(|response| &response.content);
    let bodies =
        bodies.filter_map(|(_, content)| if let Content::Json(name) = content { Some(name.clone()) } else { None });
    let mut open: Vec<String> = messages.chain(bodies).chain(["Problem".to_owned()]).collect();
    let mut found = BTreeSet::from(["ServerEnvelope".to_owned()]);
    while let Some(name) = open.pop() {
        if let Some(definition) = bundle.definitions.get(&name).filter(|_| !found.contains(&name)) {
            open.extend(references(&definition.schema));
            found.insert(name);
        }
    }
    found
}

/// `#/$defs/X` → `#/components/schemas/X`.
fn refer(fields: &mut Map<String, Value>) {
    let moved = |to: &Value| json!(to.as_str().unwrap_or_default().replace("#/$defs/", COMPONENTS));
    if let Some(to) = fields.get_mut("$ref") {
        *to = moved(to);
    }
    let mapping = fields.get_mut("discriminator").and_then(|discriminator| discriminator["mapping"].as_object_mut());
    for to in mapping.into_iter().flat_map(Map::values_mut) {
        *to = moved(to);
    }
}

/// Removes the keywords of our own, and, from what is `open`, the closing.
fn publish(schema: &mut Value, open: bool) {
    each(schema, &mut |fields| {
        fields.retain(|key, _| !key.starts_with("x-"));
        if open && fields.get("additionalProperties") == Some(&json!(false)) {
            fields.remove("additionalProperties");
        }
    });
}

/// Calls `edit` on every schema inside `schema`, inner ones first. It knows the places that the profile has.
pub fn each(schema: &mut Value, edit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(fields) = schema.as_object_mut() else { return };
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(|inner| each(inner, edit)),
            ("items", inner) => each(inner, edit),
            ("oneOf" | "anyOf" | "allOf", Value::Array(all)) => all.iter_mut().for_each(|inner| each(inner, edit)),
            _ => {}
        }
    }
    edit(fields);
}

/// A document as text, the same for the same schemas.
pub fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}
