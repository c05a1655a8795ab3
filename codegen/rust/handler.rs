//! The `Handle` trait, one method for each client message, and the dispatch to it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::{docs, ident, name};
use crate::codegen::{
    catalogue::{Catalogue, Message},
    model::pascal,
};

pub(super) fn handler(catalogue: &Catalogue) -> TokenStream {
    let methods = catalogue.client.iter().map(|message| {
        let docs = docs(&message.description);
        let (method, payload, reply) = (name(&message.wire), ident(&message.title), reply_type(catalogue, message));
        let key = message.idempotent.then(|| quote!(, key: Option<IdempotencyKey>));
        quote! {
            #docs
            fn #method(
                &mut self,
                payload: #payload #key
            ) -> impl Future<Output = Result<#reply, Box<ErrorInfo>>> + Send;
        }
    });
    let arms = catalogue.client.iter().map(|message| {
        let (arm, method) = (ident(&pascal(&message.wire)), name(&message.wire));
        let wrap = match &message.reply {
            Some(reply) if reply.variant.is_some() => {
                let title = server_title(catalogue, &reply.wire);
                quote!(|reply| ServerMessage::from(#title::from(reply)))
            }
            _ => quote!(ServerMessage::from),
        };
        let key = message.idempotent.then(|| quote!(, key));
        quote!(ClientMessage::#arm(payload) => handler.#method(*payload #key).await.map(#wrap))
    });
    quote! {
        /// Answers the client's messages, one method for each; those that may be repeated get the idempotency key of
        /// their frame. The return type is the message's reply, so a wrong reply or a missing method does not compile.
        pub trait Handle: Send {
            #(#methods)*
        }

        /// Calls the method for the `message` of a frame. What comes back is to be sent with the frame's `id` as
        /// `replyTo`.
        pub async fn dispatch<H: Handle>(
            handler: &mut H,
            message: ClientMessage,
            key: Option<IdempotencyKey>,
        ) -> ServerMessage {
            let answer = match message {
                #(#arms,)*
            };
            answer.unwrap_or_else(ServerMessage::Error)
        }
    }
}

/// The struct that answers `message`.
fn reply_type(catalogue: &Catalogue, message: &Message) -> TokenStream {
    let Some(reply) = &message.reply else { return quote!(()) };
    let title = server_title(catalogue, &reply.wire);
    match &reply.variant {
        None => quote!(#title),
        // The profile holds a variant's title to this form.
        Some(variant) => {
            let variant = format_ident!("{title}{}", pascal(variant));
            quote!(#variant)
        }
    }
}

fn server_title(catalogue: &Catalogue, wire: &str) -> proc_macro2::Ident {
    let title = catalogue.server.iter().find(|message| message.wire == wire).map(|message| message.title.as_str());
    ident(title.unwrap_or("MissingReply"))
}
