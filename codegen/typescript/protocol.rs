//! `protocol.ts`: a type for every definition, message and frame, and the tables that the runtime goes by.

use serde_json::Value;

use super::{
    super::{
        bundle::{client_frame, server_frame},
        catalogue::{Catalogue, Message, entries, strings, text},
        model::{Model, Shape, Struct},
        publish::Published,
    },
    HEADER, Property, docs, interface, key, quoted, table, type_of, union,
};

pub fn protocol(model: &Model, published: &Published) -> String {
    let catalogue = published.catalogue;
    let mut parts = vec![HEADER.to_owned()];
    parts.extend(model.types.iter().map(|(name, entry)| definition(model, catalogue, name, entry)));
    parts.extend(
        catalogue.client.iter().map(|message| frame(&client_frame(&catalogue.client_envelope, message), message)),
    );
    parts.extend(
        catalogue.server.iter().map(|message| frame(&server_frame(&catalogue.server_envelope, message), message)),
    );
    parts.push(union("ClientMessage", "Any frame that a client sends.", frames(&catalogue.client)));
    parts.push(union("ServerMessage", "Any frame that the server sends.", frames(&catalogue.server)));
    parts.push(payloads("ClientPayloads", "What a client sends, by message type.", &catalogue.client));
    parts.push(payloads("ServerPayloads", "What the server sends, by message type.", &catalogue.server));
    parts.push(replies(model, catalogue));
    parts.extend(table::tables(model, catalogue));
    parts.join("\n")
}

fn definition(model: &Model, catalogue: &Catalogue, name: &str, entry: &super::super::model::Type) -> String {
    let alias = |kind: &str| format!("{}export type {name} = {kind};\n", docs("", &entry.description));
    match &entry.shape {
        Shape::Text { .. } | Shape::Uuid | Shape::DateTime => alias("string"),
        Shape::Integer { .. } | Shape::Number { .. } => alias("number"),
        Shape::Enum(values) => union(name, &entry.description, values.iter().map(|value| quoted(value))),
        Shape::List { item, .. } => alias(&format!("{}[]", type_of(model, item))),
        Shape::Struct(object) => interface(name, &entry.description, &properties(model, object)),
        Shape::Union { variants, .. } => {
            union(name, &entry.description, variants.iter().map(|variant| variant.name.clone()))
        }
        Shape::Patch(inner) => alias(&format!("{} | null", type_of(model, inner))),
        Shape::Free => alias("Record<string, unknown>"),
        // The only frames inside a body are those that a log holds.
        Shape::Frames => union(name, &entry.description, frames(catalogue.server.iter().filter(|one| one.durable))),
    }
}

fn properties(model: &Model, object: &Struct) -> Vec<Property> {
    let tag = object.tag.iter().map(|(name, value)| Property {
        name: name.clone(),
        description: String::new(),
        kind: quoted(value),
        required: true,
        default: None,
    });
    let fields = object.fields.iter().map(|field| Property {
        name: field.wire.clone(),
        description: field.description.clone(),
        kind: type_of(model, &field.used),
        required: field.required,
        default: field.default.clone(),
    });
    tag.chain(fields).collect()
}

/// Envelope and payload of one message.
fn frame(schema: &Value, message: &Message) -> String {
    let required = strings(schema.get("required"));
    let properties: Vec<Property> = entries(schema.get("properties"))
        .map(|(name, property)| Property {
            name: name.clone(),
            description: if name == "type" { String::new() } else { text(property, "description").to_owned() },
            kind: match text(property, "const") {
                "" => text(property, "$ref").trim_start_matches("#/$defs/").to_owned(),
                constant => quoted(constant),
            },
            required: required.contains(name),
            default: None,
        })
        .collect();
    let description =
        format!("A frame of the type `{}`: the envelope, and {{@link {}}} in it.", message.wire, message.title);
    interface(&frame_name(message), &description, &properties)
}

/// As in the published documents.
fn frame_name(message: &Message) -> String {
    format!("{}Message", message.title)
}

fn frames<'m>(messages: impl IntoIterator<Item = &'m Message>) -> impl Iterator<Item = String> {
    messages.into_iter().map(frame_name)
}

fn payloads(name: &str, description: &str, messages: &[Message]) -> String {
    let lines = messages.iter().map(|message| format!("  {}: {};\n", key(&message.wire), message.title));
    format!("{}export interface {name} {{\n{}}}\n", docs("", description), lines.collect::<String>())
}

/// The payload that answers each request.
fn replies(model: &Model, catalogue: &Catalogue) -> String {
    let lines = catalogue.client.iter().filter_map(|message| {
        let reply = message.reply.as_ref()?;
        let server = catalogue.server.iter().find(|server| server.wire == reply.wire)?;
        let kind = match (&reply.variant, &model.types.get(&server.title)?.shape) {
            (Some(value), Shape::Union { variants, .. }) => {
                &variants.iter().find(|variant| variant.value == *value)?.name
            }
            _ => &server.title,
        };
        Some(format!("  {}: {kind};\n", key(&message.wire)))
    });
    let description =
        "The payload of the frame that answers each message of a client. Instead of it an `error` may come.";
    format!("{}export interface Replies {{\n{}}}\n", docs("", description), lines.collect::<String>())
}
