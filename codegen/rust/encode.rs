//! How a type is written as JSON: the implementation of `protocol::Encode`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use super::name;
use crate::codegen::model::{Field, Model, Presence, Struct};

/// The code that writes one object. What is known when it is generated becomes one piece, from value to value.
#[derive(Default)]
struct Object {
    code: Vec<TokenStream>,
    known: String,
}

impl Object {
    fn says(&mut self, text: &str) {
        self.known.push_str(text);
    }

    fn runs(&mut self, code: TokenStream) {
        self.code.extend(piece(&std::mem::take(&mut self.known)));
        self.code.push(code);
    }
}

/// Writes `text`.
fn piece(text: &str) -> Option<TokenStream> {
    let bytes = Literal::byte_string(text.as_bytes());
    (!text.is_empty()).then(|| quote!(out.extend_from_slice(#bytes);))
}

pub(super) fn implementation(ident: &Ident, body: &TokenStream) -> TokenStream {
    quote! {
        impl Encode for #ident {
            fn encode(&self, out: &mut Vec<u8>) {
                #body
            }
        }
    }
}

/// A field as it is written: its name on the wire, what leads to its value, and when it is left out.
pub(super) struct Written {
    pub wire: String,
    pub value: TokenStream,
    pub presence: Presence,
}

/// The fields of a structure, in the order of the schema.
pub(super) fn structure(model: &Model, object: &Struct) -> TokenStream {
    let tag = object.tag.as_ref().map(|(tag, value)| format!("{{{}:{}", quoted(tag), quoted(value)));
    let fields = object.fields.iter().map(|field| written(model, field));
    fields_of(tag.as_deref(), fields)
}

fn written(model: &Model, field: &Field) -> Written {
    let name = name(&field.wire);
    Written { wire: field.wire.clone(), value: quote!(self.#name), presence: model.presence(field) }
}

/// An object of these fields, behind a `tag` that opens it.
pub(super) fn fields_of(tag: Option<&str>, fields: impl Iterator<Item = Written>) -> TokenStream {
    let fields: Vec<_> = fields.collect();
    let mut object = Object::default();
    let mut opened = tag.is_some();
    object.says(tag.unwrap_or_default());
    let any = fields.first().is_some_and(|first| !matches!(first.presence, Presence::Always)) && !opened;
    if any {
        object.runs(quote!(let start = out.len();));
        opened = true;
    }
    for Written { wire, value, presence } in fields {
        let key = format!("{}{}:", if std::mem::replace(&mut opened, true) { ',' } else { '{' }, quoted(&wire));
        match presence {
            Presence::Always => {
                object.says(&key);
                object.runs(quote!(#value.encode(out);));
            }
            Presence::Optional => {
                let key = piece(&key);
                object.runs(quote!(if let Some(value) = &#value { #key value.encode(out); }));
            }
            Presence::Patch => {
                let key = piece(&key);
                object.runs(quote!(if !#value.is_absent() { #key #value.encode(out); }));
            }
        }
    }
    if any {
        object.runs(quote!(encode::end(start, out);));
    } else {
        object.says(if opened { "}" } else { "{}" });
    }
    object.runs(quote!());
    object.code.into_iter().collect()
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
