//! What a route's handler is given, and how it is read from a request.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{
    answer::{media_name, negotiated},
    parameter_type,
};
use crate::codegen::{
    catalogue::{Content, Parameter, Route},
    model::{Model, Use},
    rust::{default_value, docs, ident, name},
};

pub(super) fn structure(model: &Model, route: &Route) -> TokenStream {
    let ident = ident(&route.title);
    let docs = docs(&format!("`{} {}`: what its handler is given.", route.method, route.path));
    let path = route.path_parameters.iter().map(|parameter| (parameter, true));
    let rest = route.query.iter().chain(&route.headers);
    let rest = rest.map(|parameter| (parameter, parameter.required || parameter.default.is_some()));
    let fields = path.chain(rest).map(|(parameter, always)| {
        let docs = self::docs(&parameter.description);
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

fn parameters(route: &Route) -> impl Iterator<Item = &Parameter> {
    route.path_parameters.iter().chain(&route.query).chain(&route.headers)
}

/// Reads the inputs of one operation and calls its method.
pub(super) fn arm(model: &Model, route: &Route) -> TokenStream {
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
