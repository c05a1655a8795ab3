//! The routes: an `Operation` for each, a call struct and an answer enum, the `Api` trait, and the dispatch.

mod answer;
mod call;
mod operation;

use proc_macro2::TokenStream;
use quote::quote;

use super::{docs, ident, name};
use crate::codegen::{
    catalogue::{Catalogue, Parameter},
    model::{Model, Use},
};

pub(super) fn routes(model: &Model, catalogue: &Catalogue) -> TokenStream {
    let operations = operation::operations(model, &catalogue.routes);
    let types = catalogue.routes.iter().map(|route| {
        let call = call::structure(model, route);
        let media = answer::media(route);
        let answer = answer::answer(model, route);
        quote!(#call #media #answer)
    });
    let methods = catalogue.routes.iter().map(|route| {
        let docs = docs(&route.description);
        let (method, call, answer) =
            (name(&route.id), ident(&route.title), answer::answer_type(route, quote!(Self::Body)));
        quote! {
            #docs
            fn #method(
                &self,
                call: #call<Self::Context>,
            ) -> impl Future<Output = Result<#answer, Failure>> + Send;
        }
    });
    let arms = catalogue.routes.iter().map(|route| call::arm(model, route));
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

/// A parameter as a type; one without a definition is a boolean.
fn parameter_type(model: &Model, parameter: &Parameter) -> TokenStream {
    parameter.definition.as_ref().map_or(quote!(bool), |name| super::type_of(model, &Use::Named(name.clone())))
}
