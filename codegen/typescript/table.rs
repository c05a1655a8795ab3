//! The tables of `protocol.ts`: messages and their replies, codes, and which values a frame's tags may have.

use super::{
    super::{
        catalogue::{Catalogue, Message},
        model::{Model, Shape, Use},
        publish::PROTOCOL,
    },
    WIDTH, docs, key, quoted,
};

pub fn tables(model: &Model, catalogue: &Catalogue) -> Vec<String> {
    vec![
        constant(
            "PROTOCOL",
            "The version that this client speaks, as it is named in the WebSocket handshake.",
            &quoted(PROTOCOL),
        ),
        messages(catalogue),
        request_errors(catalogue),
        known(model, catalogue),
        error_codes(catalogue),
        close_codes(catalogue),
    ]
}

fn constant(name: &str, description: &str, value: &str) -> String {
    format!("{}export const {name} = {value};\n", docs("", description))
}

fn messages(catalogue: &Catalogue) -> String {
    let lines = catalogue.client.iter().map(|message| {
        let reply = message.reply.as_ref();
        let answer = reply.map_or("", |reply| &reply.wire);
        let variant = reply.and_then(|reply| reply.variant.as_deref()).map_or("null".to_owned(), quoted);
        format!(
            "  {}: {{ reply: {}, variant: {variant}, idempotent: {} }},\n",
            key(&message.wire),
            quoted(answer),
            message.idempotent
        )
    });
    let description = "What a client can send: the type of the answer and, where that is `status`, its variant; whether the frame may carry an idempotency key.";
    table("REQUESTS", description, &lines.collect::<String>(), "Record<keyof ClientPayloads, unknown>")
}

fn request_errors(catalogue: &Catalogue) -> String {
    let lines = catalogue.client.iter().map(|message| {
        let errors: Vec<String> = message.errors.iter().map(|code| quoted(code)).collect();
        format!("  {}: [{}],\n", key(&message.wire), broken(&errors, "    ", "  "))
    });
    let description = "The errors that can come instead of the answer to each message.";
    table(
        "REQUEST_ERRORS",
        description,
        &lines.collect::<String>(),
        "Record<keyof ClientPayloads, readonly ErrorCode[]>",
    )
}

fn error_codes(catalogue: &Catalogue) -> String {
    let lines = catalogue.codes.iter().map(|code| {
        format!(
            "  {}: {{\n    status: {},\n    retryable: {},\n    description: {},\n    advice: {},\n  }},\n",
            key(&code.name),
            code.status,
            quoted(&code.retryable),
            quoted(&code.description),
            quoted(&code.advice)
        )
    });
    let description = "Every error code: its HTTP status, whether the same request may succeed later (`varies`: the error itself says), what it means, and what to do about it.";
    table("ERROR_CODES", description, &lines.collect::<String>(), "Record<ErrorCode, unknown>")
}

fn close_codes(catalogue: &Catalogue) -> String {
    let lines = catalogue.close_codes.iter().map(|code| {
        format!(
            "  {}: {{\n    name: {},\n    reconnect: {},\n    description: {},\n  }},\n",
            code.code,
            quoted(&code.name),
            code.reconnect,
            quoted(&code.description)
        )
    });
    let description = "The codes with which the server closes a connection, and whether to come back after each.";
    table("CLOSE_CODES", description, &lines.collect::<String>(), "Record<CloseCode, unknown>")
}

fn table(name: &str, description: &str, lines: &str, satisfies: &str) -> String {
    format!("{}export const {name} = {{\n{lines}}} as const satisfies {satisfies};\n", docs("", description))
}

/// Items with commas, on as many lines as they need.
fn broken(items: &[String], indent: &str, outer: &str) -> String {
    let line = items.join(", ");
    if line.len() + 24 <= WIDTH {
        return line;
    }
    let items: String = items.iter().map(|item| format!("\n{indent}{item},")).collect();
    format!("{items}\n{outer}")
}

/// Where the payload of each server message says by a tag what it is, and the values that the tag can have.
fn known(model: &Model, catalogue: &Catalogue) -> String {
    let lines = catalogue.server.iter().map(|message: &Message| {
        format!("  {}: {},\n", key(&message.wire), tags(model, &message.title, "  ").unwrap_or_else(|| "{}".to_owned()))
    });
    format!(
        "{}export interface Known {{\n  readonly tag?: string;\n  readonly variants?: Readonly<Record<string, Known>>;\n  readonly fields?: Readonly<Record<string, Known>>;\n}}\n\n{}export const KNOWN: Readonly<Record<string, Known>> = {{\n{}}};\n",
        docs(
            "",
            "What tells a newer server's frame from one that this client knows: an object's tag with the values that are known, and the fields that hold such an object."
        ),
        docs("", "The server messages that this client knows, with the tags inside their payloads."),
        lines.collect::<String>()
    )
}

/// None where there is no tag inside.
fn tags(model: &Model, name: &str, indent: &str) -> Option<String> {
    let deeper = format!("{indent}    ");
    match &model.types.get(name)?.shape {
        Shape::Union { tag, variants } => {
            let lines = variants.iter().map(|variant| {
                let inner = tags(model, &variant.name, &deeper).unwrap_or_else(|| "{}".to_owned());
                format!("{deeper}{}: {inner},\n", key(&variant.value))
            });
            Some(format!(
                "{{\n{indent}  tag: {},\n{indent}  variants: {{\n{}{indent}  }},\n{indent}}}",
                quoted(tag),
                lines.collect::<String>()
            ))
        }
        Shape::Struct(object) => {
            let lines: String = object
                .fields
                .iter()
                .filter(|field| field.required)
                .filter_map(|field| match &field.used {
                    Use::Named(inner) => Some((field, tags(model, inner, &deeper)?)),
                    _ => None,
                })
                .map(|(field, inner)| format!("{deeper}{}: {inner},\n", key(&field.wire)))
                .collect();
            (!lines.is_empty()).then(|| format!("{{\n{indent}  fields: {{\n{lines}{indent}  }},\n{indent}}}"))
        }
        _ => None,
    }
}
