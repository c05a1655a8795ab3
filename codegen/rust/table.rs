//! Tables: error codes, close codes, the catalogue of messages, and the published schemas.

use super::{docs, ident};
use crate::codegen::{
    catalogue::{Catalogue, Code, Message},
    model::pascal,
    publish::{Published, pretty},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;

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
    let titles = catalogue.codes.iter().map(Code::title);
    let docs = catalogue.codes.iter().map(Code::docs);
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

            /// The code in words, the same for every error of it.
            pub const fn title(self) -> &'static str {
                match self { #(Self::#arms => #titles,)* }
            }

            /// Where this server explains it: a path on itself.
            pub const fn docs(self) -> &'static str {
                match self { #(Self::#arms => #docs,)* }
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
            let reply =
                reply.variant.as_ref().map_or(reply.wire.clone(), |variant| format!("{}/{variant}", reply.wire));
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

/// The schema files as they are published.
pub(super) fn schemas(published: &Published) -> TokenStream {
    let entries = published.files().map(|(path, schema)| {
        let text = pretty(&schema);
        quote!((#path, #text))
    });
    quote! {
        /// Every schema by its path below `/schema/`, as it is published.
        pub const SCHEMAS: &[(&str, &str)] = &[#(#entries,)*];
    }
}
