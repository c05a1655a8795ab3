//! The `Operation` enum and its table.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use crate::codegen::{
    catalogue::{Parameter, Route},
    model::{Model, Shape, pascal},
    rust::ident,
};

pub(super) fn operations(model: &Model, routes: &[Route]) -> TokenStream {
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
