//! One compiled `jsonschema` validator for each client frame and each JSON body.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use serde_json::{Value, json};

use super::ident;
use crate::codegen::{
    bundle::{Bundle, client_frame},
    catalogue::{Catalogue, Content},
    model::pascal,
};

pub(super) fn validators(bundle: &Bundle, catalogue: &Catalogue) -> TokenStream {
    let mut compiled = Vec::new();
    let mut arms = Vec::new();
    for message in &catalogue.client {
        let name = format_ident!("{}Frame", message.title);
        compiled.push(validator(&name, &bundle.closed(&client_frame(&catalogue.client_envelope, message))));
        let arm = ident(&pascal(&message.wire));
        arms.push(quote!(ClientMessageType::#arm => #name::compiled()));
    }
    let types: Vec<&str> = catalogue.client.iter().map(|message| message.wire.as_str()).collect();
    let mut envelope = catalogue.client_envelope.clone();
    envelope["properties"]["type"]["enum"] = json!(types);
    envelope["properties"]["payload"] = json!({});
    envelope["required"] = json!(["id", "type"]);
    compiled.push(validator(&ident("AnyClientFrame"), &bundle.closed(&envelope)));
    let mut bodies = Vec::new();
    let mut table = Vec::new();
    for body in bodies_of(catalogue) {
        let (name, body) = (format_ident!("{body}Schema"), ident(body));
        let root = json!({"$ref": format!("#/$defs/{body}")});
        compiled.push(validator(&name, &bundle.closed(&root)));
        let text = body.to_string();
        table.push(quote!((#text, |body| decode_body::<#body>(body).map(drop))));
        bodies.push(quote! {
            impl Body for #body {
                fn compiled() -> &'static Compiled {
                    #name::compiled()
                }
            }
        });
    }
    quote! {
        use std::sync::LazyLock;
        use crate::protocol::{*, violation::Compiled};

        /// The schema of a client's frame, envelope and payload, by its type.
        pub(super) fn client(kind: ClientMessageType) -> &'static Compiled {
            match kind { #(#arms,)* }
        }

        /// The envelope alone, for frames without a known type.
        pub(super) fn client_envelope() -> &'static Compiled {
            AnyClientFrame::compiled()
        }

        /// Every type that is read whole, by the name of its definition, with its decoder: for tests that must
        /// not miss one.
        pub const BODIES: &[(&str, fn(&[u8]) -> Result<(), Rejection>)] = &[#(#table,)*];

        #(#compiled)*
        #(#bodies)*
    }
}

/// The definitions that are read whole from outside: JSON bodies, and files that a person writes.
pub fn bodies_of(catalogue: &Catalogue) -> BTreeSet<&str> {
    let request = catalogue.routes.iter().flat_map(|route| &route.request);
    let bodies =
        request.filter_map(|(_, content)| if let Content::Json(name) = content { Some(name.as_str()) } else { None });
    bodies.chain(catalogue.documents.iter().map(String::as_str)).collect()
}

fn validator(name: &proc_macro2::Ident, schema: &Value) -> TokenStream {
    let schema = serde_json::to_string(schema).unwrap_or_default();
    quote! {
        #[jsonschema::validator(
            schema = #schema,
            draft = Draft202012,
            validate_formats = true,
            ignore_unknown_formats = false,
            methods = { validate = false }
        )]
        struct #name;

        impl #name {
            fn compiled() -> &'static Compiled {
                static COMPILED: Compiled = Compiled {
                    is_valid: #name::is_valid,
                    errors: #name::iter_errors,
                    schema: LazyLock::new(|| serde_json::from_str(#schema).unwrap_or_default()),
                };
                &COMPILED
            }
        }
    }
}
