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
        quote! {
            #docs
            fn #method(
                &mut self,
                request: Request,
                payload: #payload,
            ) -> impl Future<Output = Result<#reply, ErrorInfo>> + Send;
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
        quote!(ClientMessage::#arm(payload) => handler.#method(request, payload).await.map(#wrap))
    });
    quote! {
        /// What the envelope says about a request.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Request {
            pub id: FrameId,
            pub idempotency_key: Option<IdempotencyKey>,
        }

        /// Answers the client's messages, one method for each. The return type is the message's reply, so a
        /// wrong reply or a missing method does not compile.
        pub trait Handle: Send {
            #(#methods)*
        }

        /// Calls the method for `frame`. What comes back is to be sent with the frame's `id` as `replyTo`.
        pub async fn dispatch<H: Handle>(handler: &mut H, frame: ClientFrame) -> ServerMessage {
            let request = Request { id: frame.id, idempotency_key: frame.idempotency_key };
            let answer = match frame.message {
                #(#arms,)*
            };
            answer.unwrap_or_else(ServerMessage::from)
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
