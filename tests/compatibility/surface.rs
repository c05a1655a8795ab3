//! What crosses the wire: every frame, body and set of parameters, by name, with who sends it.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use crate::{
    codegen::{
        bundle::{Bundle, bundle, client_frame, server_frame},
        catalogue::{Catalogue, Content, File, Parameter},
    },
    subsumption::{self, Gap},
};

/// Who is old in the pair that a change may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// An old client sends to the new server.
    ClientToServer,
    /// The new server sends to an old client.
    ServerToClient,
}

/// One thing that is sent.
pub struct Slot {
    pub direction: Direction,
    /// Closed: with the definitions that it reaches.
    pub schema: Value,
}

#[derive(Default)]
pub struct Surface {
    /// By name: `client chat_send`, `createAgent request application/json`, `getWorld 200 application/json`.
    pub slots: BTreeMap<String, Slot>,
    /// What is compared as it stands: where a route is, what answers a message, what an error code means.
    facts: BTreeMap<String, String>,
}

/// A change that somebody who was built before it does not survive.
#[derive(Debug)]
pub struct Break {
    pub direction: Direction,
    pub at: String,
    pub reason: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.direction {
            Direction::ClientToServer => "client to server",
            Direction::ServerToClient => "server to client",
        };
        write!(f, "{who}: {}: {}", self.at, self.reason)
    }
}

use Direction::{ClientToServer, ServerToClient};

impl Surface {
    pub fn of(files: &[File]) -> Self {
        let bundle = bundle(files).unwrap_or_else(|faults| panic!("schemas do not bundle: {faults}"));
        let catalogue = Catalogue::new(files).unwrap_or_else(|faults| panic!("schemas are no catalogue: {faults}"));
        let mut surface = Self::default();
        surface.messages(&bundle, &catalogue);
        for route in &catalogue.routes {
            surface.route(&bundle, route);
        }
        for code in &catalogue.codes {
            surface
                .fact(format!("error {}", code.name), format!("status {}, retryable {}", code.status, code.retryable));
        }
        surface
    }

    fn messages(&mut self, bundle: &Bundle, catalogue: &Catalogue) {
        for message in &catalogue.client {
            let schema = bundle.closed(&client_frame(&catalogue.client_envelope, message));
            self.slot(format!("client {}", message.wire), ClientToServer, schema);
            if let Some(reply) = &message.reply {
                let variant = reply.variant.as_deref().map(|variant| format!("/{variant}")).unwrap_or_default();
                self.fact(format!("client {}", message.wire), format!("answered by {}{variant}", reply.wire));
            }
        }
        for message in &catalogue.server {
            let schema = bundle.closed(&server_frame(&catalogue.server_envelope, message));
            self.slot(format!("server {}", message.wire), ServerToClient, schema);
        }
        for title in &catalogue.documents {
            self.slot(format!("document {title}"), ClientToServer, bundle.closed(&reference(title)));
        }
    }

    fn route(&mut self, bundle: &Bundle, route: &crate::codegen::catalogue::Route) {
        self.fact(format!("{} route", route.id), format!("{} {}", route.method, route.path));
        // A token may always be sent; that it must be is what breaks.
        let token = if route.auth == "required" { "needs a token" } else { "needs no token" };
        self.fact(format!("{} token", route.id), token.to_owned());
        let mut fields = Vec::new();
        for (place, parameters) in
            [("path", &route.path_parameters), ("query", &route.query), ("header", &route.headers)]
        {
            let required = |parameter: &Parameter| parameter.required || place == "path";
            fields.extend(parameters.iter().map(|one| (format!("{place}/{}", one.name), one, required(one))));
        }
        self.slot(format!("{} parameters", route.id), ClientToServer, bundle.closed(&object(&fields)));
        for (media, content) in &route.request {
            self.content(bundle, format!("{} request {media}", route.id), ClientToServer, content);
        }
        for response in &route.responses {
            let name = format!("{} {}", route.id, response.status);
            for (media, content) in &response.content {
                self.content(bundle, format!("{name} {media}"), ServerToClient, content);
            }
            let headers: Vec<_> = response.headers.iter().map(|one| (one.name.clone(), one, one.required)).collect();
            self.slot(format!("{name} headers"), ServerToClient, bundle.closed(&object(&headers)));
        }
    }

    fn content(&mut self, bundle: &Bundle, name: String, direction: Direction, content: &Content) {
        let schema = match content {
            Content::Json(title) => bundle.closed(&reference(title)),
            // Streams consist of frames, which are compared as such.
            Content::Text | Content::Stream | Content::Ndjson => json!({"type": "string"}),
        };
        self.slot(name, direction, schema);
    }

    fn slot(&mut self, name: String, direction: Direction, schema: Value) {
        self.slots.insert(name, Slot { direction, schema });
    }

    fn fact(&mut self, name: String, fact: String) {
        self.facts.insert(name, fact);
    }

    /// Whether the route or message that a slot belongs to is here at all.
    pub fn knows(&self, slot: &str) -> bool {
        let id = slot.split(' ').next().unwrap_or_default();
        self.facts.contains_key(&format!("{id} route"))
    }

    fn is_answer_of(&self, wire: &str) -> impl Iterator<Item = &String> {
        let answers = [format!("answered by {wire}"), format!("answered by {wire}/")];
        self.facts
            .iter()
            .filter(move |(_, fact)| **fact == answers[0] || fact.starts_with(&answers[1]))
            .map(|(of, _)| of)
    }
}

fn reference(title: &str) -> Value {
    json!({"$ref": format!("#/$defs/{title}")})
}

fn object(fields: &[(String, &Parameter, bool)]) -> Value {
    let schema = |one: &Parameter| one.definition.as_deref().map_or_else(|| json!({"type": "boolean"}), reference);
    let properties: Map<String, Value> = fields.iter().map(|(name, one, _)| (name.clone(), schema(one))).collect();
    let required: Vec<&String> = fields.iter().filter(|(.., required)| *required).map(|(name, ..)| name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// All that breaks between two versions.
pub fn breaks(before: &Surface, after: &Surface) -> Vec<Break> {
    let mut found = Vec::new();
    let mut add = |direction, at: String, reason: String| found.push(Break { direction, at, reason });
    for (name, old) in &before.slots {
        match after.slots.get(name) {
            Some(new) => {
                for Gap { pointer, reason } in gaps(old, new) {
                    add(old.direction, format!("{name}: {}", if pointer.is_empty() { "/" } else { &pointer }), reason);
                }
            }
            // Of a route that is gone, it is enough to say so once.
            None if before.knows(name) && !after.knows(name) && !name.ends_with(" parameters") => {}
            None if old.direction == ClientToServer => add(ClientToServer, name.clone(), "is gone".to_owned()),
            None => add(ServerToClient, name.clone(), "is gone, and old clients wait for it".to_owned()),
        }
    }
    for (name, new) in after.slots.iter().filter(|(name, _)| !before.slots.contains_key(*name)) {
        if let Some(wire) = name.strip_prefix("server ") {
            // What only answers new messages reaches nobody who does not know it.
            let mut asked = after.is_answer_of(wire).peekable();
            let known = asked.peek().is_none() || asked.any(|client| before.facts.contains_key(client));
            if known {
                add(ServerToClient, name.clone(), "is new, and old clients do not know it".to_owned());
            }
        } else if before.knows(name) {
            let beginning: Vec<&str> = name.split(' ').take(2).collect();
            let beginning = beginning.join(" ");
            let had = before.slots.keys().any(|old| old.starts_with(&beginning));
            // Another media type beside the old one must be asked for.
            if !had {
                add(new.direction, name.clone(), "is new where old clients expect nothing".to_owned());
            }
        }
    }
    for (name, old) in &before.facts {
        match after.facts.get(name) {
            Some(new) if new != old && old != "needs a token" => {
                let direction = if name.starts_with("error ") { ServerToClient } else { ClientToServer };
                add(direction, name.clone(), format!("{old}, now {new}"));
            }
            _ => {}
        }
    }
    found
}

/// What may be sent in this slot by one side, and is not accepted by the other.
fn gaps(old: &Slot, new: &Slot) -> Vec<Gap> {
    match old.direction {
        ClientToServer => subsumption::gaps(&old.schema, &new.schema),
        ServerToClient => subsumption::gaps(&new.schema, &open(&old.schema)),
    }
}

/// As clients read it: fields that they do not know are ignored (docs/PROTOCOL.md §1).
pub fn open(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let closed = |(key, value): &(&String, &Value)| *key == "additionalProperties" && **value == false;
            fields.iter().filter(|field| !closed(field)).map(|(key, value)| (key.clone(), open(value))).collect()
        }
        Value::Array(items) => items.iter().map(open).collect(),
        _ => schema.clone(),
    }
}
