//! The routes: an `Operation` for each, a call struct and an answer enum, the `Api` trait, and the dispatch.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::{default_value, docs, ident, name, type_of};
use crate::codegen::{
    catalogue::{Catalogue, Content, Parameter, Response, Route},
    model::{Model, Shape, Use, pascal},
};

pub(super) fn routes(model: &Model, catalogue: &Catalogue) -> TokenStream {
    let operations = operations(model, &catalogue.routes);
    let types = catalogue.routes.iter().map(|route| {
        let call = call_struct(model, route);
        let media = media_enum(route);
        let answer = answer_enum(model, route);
        quote!(#call #media #answer)
    });
    let methods = catalogue.routes.iter().map(|route| {
        let docs = docs(&route.description);
        let (method, call, answer) = (name(&route.id), ident(&route.title), answer_type(route, quote!(Self::Body)));
        quote! {
            #docs
            fn #method(
                &self,
                call: #call<Self::Context>,
            ) -> impl Future<Output = Result<#answer, Failure>> + Send;
        }
    });
    let arms = catalogue.routes.iter().map(|route| arm(model, route));
    quote! {
        use axum::http::HeaderMap;
        use bytes::Bytes;

        use super::{accept, find::{Auth, Found}, inputs::Inputs, reply::Reply};
        use crate::{error::Failure, protocol::*};

        #operations
        #(#types)*

        /// Answers the routes, one method for each, so that a route without one does not compile.
        pub trait Api: Send + Sync {
            /// What the transport knows about a request beside its inputs.
            type Context: Send;
            /// A body that is no JSON of the schema: text, a stream, NDJSON.
            type Body: Send;

            #(#methods)*
        }

        /// Decodes every input of the operation that was found, and calls its method.
        pub async fn call<A: Api>(
            api: &A,
            context: A::Context,
            found: &Found,
            query: Option<&str>,
            headers: &HeaderMap,
            body: Bytes,
        ) -> Result<Reply<A::Body>, Failure> {
            let mut inputs = Inputs::new(found, query, headers);
            match found.operation {
                #(#arms)*
            }
        }
    }
}

fn operations(model: &Model, routes: &[Route]) -> TokenStream {
    let variants: Vec<_> = routes.iter().map(|route| ident(&route.title)).collect();
    let infos = routes.iter().map(|route| {
        let Route { id, title, method, path, .. } = route;
        let auth = ident(&pascal(&route.auth));
        let request = route.request.iter().map(|(media, _)| media);
        let responses = route.responses.iter().flat_map(|response| {
            let status = Literal::u16_unsuffixed(response.status);
            let media: Vec<_> = match response.content.as_slice() {
                [] => vec![quote!(None)],
                content => content.iter().map(|(media, _)| quote!(Some(#media))).collect(),
            };
            media.into_iter().map(move |media| quote!((#status, #media)))
        });
        let query = route.query.iter().map(|parameter| &parameter.name);
        let of = |place: &'static str, parameters: &[Parameter]| {
            let required = parameters.iter().filter(|parameter| parameter.required);
            required
                .map(|parameter| {
                    let name = &parameter.name;
                    quote!((#place, #name))
                })
                .collect::<Vec<_>>()
        };
        let required = [of("query", &route.query), of("header", &route.headers)].concat();
        let errors = route.errors.iter().map(|code| ident(&pascal(code)));
        let title = ident(title);
        let tail = is_tail(model, route);
        quote! {
            Self::#title => &OperationInfo {
                id: #id,
                method: #method,
                path: #path,
                tail: #tail,
                auth: Auth::#auth,
                query: &[#(#query),*],
                required: &[#(#required),*],
                request: &[#(#request),*],
                responses: &[#(#responses),*],
                errors: &[#(ErrorCode::#errors),*],
            }
        }
    });
    quote! {
        /// Every operation of the HTTP interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            #(#variants,)*
        }

        /// What the schema says about an operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct OperationInfo {
            /// The `operationId`.
            pub id: &'static str,
            pub method: &'static str,
            /// With `{parameters}`.
            pub path: &'static str,
            /// The last parameter takes the rest of the path, slashes too.
            pub tail: bool,
            pub auth: Auth,
            /// The names of the query parameters.
            pub query: &'static [&'static str],
            /// The parameters that must be given: `query` or `header`, and the name.
            pub required: &'static [(&'static str, &'static str)],
            /// The media types of the request body; empty when it takes none.
            pub request: &'static [&'static str],
            /// The statuses of success, with their media types.
            pub responses: &'static [(u16, Option<&'static str>)],
            pub errors: &'static [ErrorCode],
        }

        impl Operation {
            pub const ALL: &[Self] = &[#(Self::#variants),*];

            pub const fn info(self) -> &'static OperationInfo {
                match self { #(#infos,)* }
            }
        }
    }
}

/// A last parameter whose pattern allows slashes takes the rest of the path.
fn is_tail(model: &Model, route: &Route) -> bool {
    let last = route.path_parameters.last().and_then(|parameter| parameter.definition.as_ref());
    let shape = last.and_then(|name| model.types.get(name)).map(|entry| &entry.shape);
    matches!(shape, Some(Shape::Text { pattern: Some(pattern), .. }) if pattern.contains('/'))
}

fn parameters(route: &Route) -> impl Iterator<Item = &Parameter> {
    route.path_parameters.iter().chain(&route.query).chain(&route.headers)
}

/// A parameter as a type; one without a definition is a boolean.
fn parameter_type(model: &Model, parameter: &Parameter) -> TokenStream {
    parameter.definition.as_ref().map_or(quote!(bool), |name| type_of(model, &Use::Named(name.clone())))
}

fn call_struct(model: &Model, route: &Route) -> TokenStream {
    let ident = ident(&route.title);
    let docs = docs(&format!("`{} {}`: what its handler is given.", route.method, route.path));
    let path = route.path_parameters.iter().map(|parameter| (parameter, true));
    let rest = route.query.iter().chain(&route.headers);
    let rest = rest.map(|parameter| (parameter, parameter.required || parameter.default.is_some()));
    let fields = path.chain(rest).map(|(parameter, always)| {
        let docs = super::docs(&parameter.description);
        let (name, used) = (name(&parameter.name), parameter_type(model, parameter));
        if always { quote!(#docs pub #name: #used,) } else { quote!(#docs pub #name: Option<#used>,) }
    });
    let body = body_type(route).map(|(used, _)| quote!(pub body: #used,));
    let accept = negotiated(route).map(|_| {
        let media = format_ident!("{}Media", route.title);
        quote!(
            /// The representation that the client prefers.
            pub accept: #media,
        )
    });
    quote! {
        #docs
        #[derive(Clone, Debug)]
        pub struct #ident<C> {
            pub context: C,
            #(#fields)*
            #accept
            #body
        }
    }
}

/// The type of the body and how it is read. All media types of a route mean the same type.
fn body_type(route: &Route) -> Option<(TokenStream, TokenStream)> {
    route.request.first().map(|(_, content)| match content {
        Content::Json(name) => {
            let ident = ident(name);
            (quote!(#ident), quote!(inputs.body::<#ident>(&body)))
        }
        _ => (quote!(Bytes), quote!(Some(body))),
    })
}

/// The media types of a success that comes in several.
fn negotiated(route: &Route) -> Option<&[(String, Content)]> {
    route.responses.iter().map(|response| response.content.as_slice()).find(|content| content.len() > 1)
}

fn media_enum(route: &Route) -> TokenStream {
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
fn media_name(media: &str) -> Ident {
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

fn answer_type(route: &Route, body: TokenStream) -> TokenStream {
    let ident = format_ident!("{}Answer", route.title);
    if is_open(route) { quote!(#ident<#body>) } else { quote!(#ident) }
}

fn answer_enum(model: &Model, route: &Route) -> TokenStream {
    let docs = docs(&format!("How `{} {}` succeeds.", route.method, route.path));
    let answer = answer_type(route, quote!(B));
    let generic = if is_open(route) { quote!() } else { quote!(<B>) };
    let successes = successes(route);
    let variants = successes.iter().map(|success| {
        let docs = super::docs(&success.response.description);
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
                let docs = super::docs(&header.description);
                let (name, used) = (super::name(&header.name), parameter_type(model, header));
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
        let names: Vec<_> = success.response.headers.iter().map(|header| super::name(&header.name)).collect();
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

/// Reads the inputs of one operation and calls its method.
fn arm(model: &Model, route: &Route) -> TokenStream {
    let title = ident(&route.title);
    let method = name(&route.id);
    let path = route.path_parameters.iter().map(|parameter| {
        let wire = &parameter.name;
        quote!(inputs.path(#wire))
    });
    let read = |place: &'static str| {
        let (place, place_or) = (ident(place), format_ident!("{place}_or"));
        move |parameter: &Parameter| {
            let wire = &parameter.name;
            if let Some(default) = &parameter.default {
                let used = parameter.definition.as_ref().map_or(Use::Bool, |name| Use::Named(name.clone()));
                let default = default_value(model, &used, default);
                quote!(inputs.#place_or(#wire, || #default))
            } else if parameter.required {
                // That it is missing was noted from the operation's table.
                quote!(inputs.#place(#wire).flatten())
            } else {
                quote!(inputs.#place(#wire))
            }
        }
    };
    let query = route.query.iter().map(read("query"));
    let headers = route.headers.iter().map(read("header"));
    let mut names: Vec<Ident> = parameters(route).map(|parameter| name(&parameter.name)).collect();
    let mut reads: Vec<TokenStream> = path.chain(query).chain(headers).collect();
    let accept = negotiated(route).map(|content| {
        let media = format_ident!("{}Media", route.title);
        let offered = content.iter().map(|(media, _)| media);
        let options = content.iter().map(|(name, _)| {
            let name = media_name(name);
            quote!(#media::#name)
        });
        quote!(let accept = accept::choose(headers, &[#((#offered, #options)),*])?;)
    });
    let content_type = (!route.request.is_empty()).then(|| quote!(accept::content_type(found.operation, headers)?;));
    if let Some((_, read)) = body_type(route) {
        names.push(ident("body"));
        reads.push(read);
    }
    let accept_field = accept.as_ref().map(|_| quote!(accept,));
    let construct = quote!(#title { context, #(#names,)* #accept_field });
    let take = if names.is_empty() {
        quote!()
    } else {
        quote! {
            let (#(Some(#names),)*) = (#(#reads,)*) else { return Err(inputs.refused()) };
        }
    };
    quote! {
        Operation::#title => {
            #content_type
            #accept
            #take
            inputs.finish()?;
            api.#method(#construct).await.map(|answer| answer.into_reply())
        }
    }
}
