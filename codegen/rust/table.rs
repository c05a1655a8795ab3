//! Tables: error codes, close codes, the catalogue of messages, and the published schemas.

use std::collections::BTreeSet;

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use serde_json::Value;

use super::{docs, ident, validator::bodies_of};
use crate::codegen::{
    bundle::{Bundle, references},
    catalogue::{Catalogue, File, Message},
    model::pascal,
};

pub(super) fn tables(catalogue: &Catalogue) -> TokenStream {
    let codes = error_codes(catalogue);
    let close_codes = close_codes(catalogue);
    let messages = messages(catalogue);
    quote!(#codes #close_codes #messages)
}

fn error_codes(catalogue: &Catalogue) -> TokenStream {
    let arms: Vec<_> = catalogue.codes.iter().map(|code| ident(&pascal(&code.name))).collect();
    let statuses = catalogue.codes.iter().map(|code| Literal::u64_unsuffixed(code.status));
    let retryable = catalogue.codes.iter().map(|code| ident(&pascal(&code.retryable)));
    let provokable = catalogue.codes.iter().map(|code| code.provokable);
    let descriptions = catalogue.codes.iter().map(|code| &code.description);
    quote! {
        /// Whether the same request may succeed later.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Retryable {
            Yes,
            No,
            /// The error itself says.
            Varies,
        }

        impl ErrorCode {
            /// The HTTP status that the code has.
            pub const fn status(self) -> u16 {
                match self { #(Self::#arms => #statuses,)* }
            }

            pub const fn retryable(self) -> Retryable {
                match self { #(Self::#arms => Retryable::#retryable,)* }
            }

            /// Whether a client can bring it about.
            pub const fn provokable(self) -> bool {
                match self { #(Self::#arms => #provokable,)* }
            }

            pub const fn description(self) -> &'static str {
                match self { #(Self::#arms => #descriptions,)* }
            }
        }
    }
}

fn close_codes(catalogue: &Catalogue) -> TokenStream {
    let constants = catalogue.close_codes.iter().map(|code| {
        let docs = docs(&code.description);
        let (name, number, reconnect) = (ident(&code.name), Literal::u16_unsuffixed(code.code), code.reconnect);
        let reason = code.name.to_lowercase().replace('_', " ");
        quote! {
            #docs
            pub const #name: Self = Self { code: #number, reason: #reason, reconnect: #reconnect };
        }
    });
    quote! {
        /// Why the server closes a connection, beside the codes of RFC 6455 itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct CloseCode {
            /// The code of the WebSocket close frame.
            pub code: u16,
            pub reason: &'static str,
            /// Whether the client should come back.
            pub reconnect: bool,
        }

        impl CloseCode {
            #(#constants)*
        }
    }
}

fn messages(catalogue: &Catalogue) -> TokenStream {
    let client = catalogue.client.iter().map(|message| info(message, quote!(Direction::Client)));
    let server = catalogue.server.iter().map(|message| info(message, quote!(Direction::Server)));
    quote! {
        /// Who sends a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Direction {
            Client,
            Server,
        }

        /// One entry of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct MessageInfo {
            /// The wire `type`.
            pub name: &'static str,
            pub direction: Direction,
            /// The one answer of a client message: a server message, or `message/variant`.
            pub reply: Option<&'static str>,
            /// What a client message can be refused with.
            pub errors: &'static [ErrorCode],
            /// The frame may carry `idempotencyKey`.
            pub idempotent: bool,
            /// The frame may enter the log and carry `seq`.
            pub durable: bool,
        }

        /// Every message of the protocol.
        pub const MESSAGES: &[MessageInfo] = &[#(#client,)* #(#server,)*];
    }
}

fn info(message: &Message, direction: TokenStream) -> TokenStream {
    let name = &message.wire;
    let reply = match &message.reply {
        None => quote!(None),
        Some(reply) => {
            let reply = reply.variant.as_ref().map_or(reply.wire.clone(), |variant| format!("{}/{variant}", reply.wire));
            quote!(Some(#reply))
        }
    };
    let errors = message.errors.iter().map(|code| ident(&pascal(code)));
    let (idempotent, durable) = (message.idempotent, message.durable);
    quote! {
        MessageInfo {
            name: #name,
            direction: #direction,
            reply: #reply,
            errors: &[#(ErrorCode::#errors),*],
            idempotent: #idempotent,
            durable: #durable,
        }
    }
}

/// The schema files as they are published: no `x-`, and what only the server sends is open, so that a field more
/// breaks nobody.
pub(super) fn schemas(files: &[File], bundle: &Bundle, catalogue: &Catalogue) -> TokenStream {
    let inbound = inbound(bundle, catalogue);
    let entries = files.iter().map(|file| {
        let text = serde_json::to_string_pretty(&published(file, &inbound)).unwrap_or_default();
        let path = &file.path;
        quote!((#path, #text))
    });
    quote! {
        /// Every schema by its path below `/schema/`, as it is published.
        pub const SCHEMAS: &[(&str, &str)] = &[#(#entries,)*];
    }
}

/// The definitions that can be part of something that comes in.
fn inbound(bundle: &Bundle, catalogue: &Catalogue) -> BTreeSet<String> {
    let messages = catalogue.client.iter().map(|message| message.title.clone());
    let mut open: Vec<String> = messages.chain(bodies_of(catalogue).into_iter().map(str::to_owned)).collect();
    let mut found = BTreeSet::from(["ClientEnvelope".to_owned()]);
    while let Some(name) = open.pop() {
        if let Some(definition) = bundle.definitions.get(&name)
            && !found.contains(&name)
        {
            open.extend(references(&definition.schema));
            found.insert(name);
        }
    }
    found
}

fn published(file: &File, inbound: &BTreeSet<String>) -> Value {
    let mut root = strip(&file.json, !inbound.contains(file.title()));
    if let Some(defs) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        for (name, schema) in defs {
            *schema = strip(&file.json["$defs"][name.as_str()], !inbound.contains(name));
        }
    }
    root
}

fn strip(schema: &Value, open: bool) -> Value {
    match schema {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, value)| {
                !key.starts_with("x-") && !(open && *key == "additionalProperties" && **value == Value::Bool(false))
            });
            Value::Object(kept.map(|(key, value)| (key.clone(), strip(value, open))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| strip(item, open)).collect()),
        other => other.clone(),
    }
}
