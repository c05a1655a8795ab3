//! How a route succeeds: its statuses and media types.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::parameter_type;
use crate::codegen::{
    catalogue::{Content, Response, Route},
    model::{Model, Use, pascal},
    rust::{docs, ident, name, type_of},
};

/// The media types of a success that comes in several.
pub(super) fn negotiated(route: &Route) -> Option<&[(String, Content)]> {
    route.responses.iter().map(|response| response.content.as_slice()).find(|content| content.len() > 1)
}

pub(super) fn media(route: &Route) -> TokenStream {
    let Some(content) = negotiated(route) else { return quote!() };
    let ident = format_ident!("{}Media", route.title);
    let arms = content.iter().map(|(media, _)| media_name(media));
    quote! {
        /// The media types that a client can choose from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum #ident {
            #(#arms,)*
        }
    }
}

/// `application/x-ndjson` → `Ndjson`, `text/event-stream` → `EventStream`.
pub(super) fn media_name(media: &str) -> Ident {
    let subtype = media.split_once('/').map_or(media, |(_, subtype)| subtype);
    ident(&pascal(subtype.strip_prefix("x-").unwrap_or(subtype)))
}

/// One variant of an answer: its name, status and content.
struct Success<'r> {
    name: Ident,
    response: &'r Response,
    media: Option<&'r (String, Content)>,
}

fn successes(route: &Route) -> Vec<Success<'_>> {
    let mut all = Vec::new();
    for response in &route.responses {
        let status = match response.status {
            201 => "Created".to_owned(),
            202 => "Accepted".to_owned(),
            204 => "NoContent".to_owned(),
            200 => "Ok".to_owned(),
            status => format!("Status{status}"),
        };
        match response.content.as_slice() {
            [] => all.push(Success { name: ident(&status), response, media: None }),
            [media] => all.push(Success { name: ident(&status), response, media: Some(media) }),
            several => all.extend(several.iter().map(|media| Success {
                name: format_ident!("{status}{}", media_name(&media.0)),
                response,
                media: Some(media),
            })),
        }
    }
    all
}

/// Whether an answer holds a body of the transport's own type.
fn is_open(route: &Route) -> bool {
    successes(route)
        .iter()
        .any(|success| success.media.is_some_and(|(_, content)| !matches!(content, Content::Json(_))))
}

pub(super) fn answer_type(route: &Route, body: TokenStream) -> TokenStream {
    let ident = format_ident!("{}Answer", route.title);
    if is_open(route) { quote!(#ident<#body>) } else { quote!(#ident) }
}

pub(super) fn answer(model: &Model, route: &Route) -> TokenStream {
    let docs = docs(&format!("How `{} {}` succeeds.", route.method, route.path));
    let answer = answer_type(route, quote!(B));
    let generic = if is_open(route) { quote!() } else { quote!(<B>) };
    let successes = successes(route);
    let variants = successes.iter().map(|success| {
        let docs = self::docs(&success.response.description);
        let name = &success.name;
        let body = success.media.map(|(_, content)| match content {
            Content::Json(name) => type_of(model, &Use::Named(name.clone())),
            _ => quote!(B),
        });
        let headers: Vec<_> = success
            .response
            .headers
            .iter()
            .map(|header| {
                let docs = self::docs(&header.description);
                let (name, used) = (self::name(&header.name), parameter_type(model, header));
                quote!(#docs #name: Option<#used>)
            })
            .collect();
        match (body, headers.is_empty()) {
            (None, true) => quote!(#docs #name),
            (None, false) => quote!(#docs #name { #(#headers),* }),
            (Some(body), true) => quote!(#docs #name(#body)),
            (Some(body), false) => quote!(#docs #name { body: #body, #(#headers),* }),
        }
    });
    let arms = successes.iter().map(|success| {
        let name = &success.name;
        let status = Literal::u16_unsuffixed(success.response.status);
        let names: Vec<_> = success.response.headers.iter().map(|header| self::name(&header.name)).collect();
        let wires = success.response.headers.iter().map(|header| header.name.to_ascii_lowercase());
        let reply = match success.media {
            None => quote!(Reply::empty(#status)),
            Some((media, Content::Json(_))) => quote!(Reply::json(#status, #media, &body)),
            Some((media, _)) => quote!(Reply::open(#status, #media, body)),
        };
        let pattern = match (success.media.is_some(), names.is_empty()) {
            (false, true) => quote!(Self::#name),
            (false, false) => quote!(Self::#name { #(#names),* }),
            (true, true) => quote!(Self::#name(body)),
            (true, false) => quote!(Self::#name { body, #(#names),* }),
        };
        quote!(#pattern => #reply #(.header(#wires, #names.map(|value| value.to_string())))*,)
    });
    let (answer_impl, method) =
        if is_open(route) { (quote!(impl<B> #answer), quote!()) } else { (quote!(impl #answer), generic) };
    quote! {
        #docs
        #[derive(Clone, Debug)]
        pub enum #answer {
            #(#variants,)*
        }

        #answer_impl {
            /// The answer as status, headers and content.
            pub fn into_reply #method(self) -> Reply<B> {
                match self { #(#arms)* }
            }
        }
    }
}
