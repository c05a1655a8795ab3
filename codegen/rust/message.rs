//! The message enums and the two frames.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use serde_json::Value;

use super::{
    docs,
    encode::{self, Written},
    ident, name, object, type_of,
};
use crate::codegen::{
    catalogue::{Catalogue, Message, entries, strings, text},
    model::{Model, Presence, Use, pascal},
};

pub(super) fn messages(catalogue: &Catalogue) -> TokenStream {
    let client = side("Client", "A message that a client sends, by `type`.", &catalogue.client);
    let server = side("Server", "A message that the server sends, by `type`.", &catalogue.server);
    quote!(#client #server)
}

fn side(side: &str, description: &str, messages: &[Message]) -> TokenStream {
    let ident = format_ident!("{side}Message");
    let kind = format_ident!("{side}MessageType");
    let lower = side.to_lowercase();
    let wires: Vec<String> = messages.iter().map(|message| message.wire.clone()).collect();
    let arms: Vec<_> = wires.iter().map(|wire| self::ident(&pascal(wire))).collect();
    let titles: Vec<_> = messages.iter().map(|message| self::ident(&message.title)).collect();
    let kinds = object::enumeration(&kind.to_string(), docs(&format!("The types of the {lower}'s messages.")), &wires);
    let docs = docs(&format!("{description} The payload is on the heap: messages are moved, and most are small."));
    let optional: Vec<_> = messages.iter().filter(|message| message.payload_optional).collect();
    let without_payload = if optional.is_empty() {
        quote!(fn without_payload(_: #kind) -> Option<Self> { None })
    } else {
        let optional_arms = optional.iter().map(|message| {
            let (arm, title) = (self::ident(&pascal(&message.wire)), self::ident(&message.title));
            quote!(#kind::#arm => Some(Self::from(#title {})),)
        });
        quote! {
            fn without_payload(kind: #kind) -> Option<Self> {
                match kind {
                    #(#optional_arms)*
                    _ => None,
                }
            }
        }
    };
    let encode =
        encode::implementation(&ident, &quote!(match self { #(Self::#arms(payload) => payload.encode(out),)* }));
    quote! {
        #kinds

        #docs
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum #ident {
            #(#arms(Box<#titles>),)*
        }

        impl #ident {
            pub const fn kind(&self) -> #kind {
                match self {
                    #(Self::#arms(_) => #kind::#arms,)*
                }
            }
        }

        impl Message for #ident {
            type Type = #kind;

            fn read<'de, D: Deserializer<'de>>(kind: #kind, payload: D) -> Result<Self, D::Error> {
                match kind {
                    #(#kind::#arms => #titles::deserialize(payload).map(Self::from),)*
                }
            }

            #without_payload
        }

        #encode

        #(
            impl From<#titles> for #ident {
                fn from(payload: #titles) -> Self {
                    Self::#arms(Box::new(payload))
                }
            }
        )*
    }
}

pub(super) fn frames(model: &Model, catalogue: &Catalogue) -> TokenStream {
    let client = frame(model, "Client", &catalogue.client_envelope, &catalogue.client);
    let server = frame(model, "Server", &catalogue.server_envelope, &catalogue.server);
    quote!(#client #server)
}

/// An envelope's fields but for `type` and `payload`, which together are the message.
fn frame(model: &Model, side: &str, envelope: &Value, messages: &[Message]) -> TokenStream {
    let ident = format_ident!("{side}Frame");
    let message = format_ident!("{side}Message");
    let kind = format_ident!("{side}MessageType");
    let docs = docs(text(envelope, "description"));
    let required = strings(envelope.get("required"));
    let fields: Vec<(&String, &Value)> =
        entries(envelope.get("properties")).filter(|(wire, _)| !matches!(wire.as_str(), "type" | "payload")).collect();
    let wires: Vec<_> = fields.iter().map(|(wire, _)| wire.as_str()).collect();
    let names: Vec<_> = wires.iter().map(|wire| name(wire)).collect();
    let is_required = |wire: &str| required.iter().any(|required| required == wire);
    let declarations = fields.iter().map(|(wire, schema)| {
        let docs = super::docs(text(schema, "description"));
        let name = name(wire);
        let used = type_of(model, &Use::Named(text(schema, "$ref").trim_start_matches("#/$defs/").to_owned()));
        if is_required(wire) { quote!(#docs pub #name: #used,) } else { quote!(#docs pub #name: Option<#used>,) }
    });
    let values = wires.iter().zip(&names).map(|(wire, name)| {
        if is_required(wire) { quote!(#name: #name.required()?) } else { quote!(#name: #name.optional()) }
    });
    // Some fields exist for some messages only.
    let only = |wire: &str, has: fn(&Message) -> bool| {
        wires.contains(&wire).then(|| {
            let field = name(wire);
            let arms =
                messages.iter().filter(|message| has(message)).map(|message| super::ident(&pascal(&message.wire)));
            quote! {
                if #field.peek().is_some() && !matches!(kind, #(#kind::#arms)|*) {
                    return Err(object::unknown_field());
                }
            }
        })
    };
    let idempotent = only("idempotencyKey", |message| message.idempotent);
    let durable = only("seq", |message| message.durable);
    // `id` and `type` come first, so that a reader can take them before the rest.
    let write = |wire: &&str| {
        let name = name(wire);
        if is_required(wire) {
            quote!(frame.serialize_field(#wire, &self.#name)?;)
        } else {
            quote!(if let Some(#name) = &self.#name { frame.serialize_field(#wire, #name)?; })
        }
    };
    let (first, rest): (Vec<_>, Vec<_>) = wires.iter().partition(|wire| **wire == "id");
    let written = |wire: &&str| {
        let (name, presence) = (name(wire), if is_required(wire) { Presence::Always } else { Presence::Optional });
        Written { wire: (*wire).to_owned(), value: quote!(self.#name), presence }
    };
    let always = |wire: &str, value| Written { wire: wire.to_owned(), value, presence: Presence::Always };
    let all = (first.iter().copied().map(written))
        .chain([always("type", quote!(self.message.kind()))])
        .chain(rest.iter().copied().map(written))
        .chain([always("payload", quote!(self.message))]);
    let encode = encode::implementation(&ident, &encode::fields_of(None, all));
    let (first, rest) = (first.into_iter().map(write), rest.into_iter().map(write));
    let length = wires.len() + 2;
    quote! {
        #docs
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct #ident {
            #(#declarations)*
            /// `type` and `payload`.
            pub message: #message,
        }

        impl<'de> Object<'de> for #ident {
            fn read<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                #(let mut #names = Field::new(#wires);)*
                let mut kind = Field::<#kind>::new("type");
                let mut payload = Payload::Absent;
                while let Some(key) = object::next_key(&mut map)? {
                    match &*key {
                        #(#wires => #names.read(&mut map)?,)*
                        "type" => kind.read(&mut map)?,
                        "payload" => payload.read(&mut map, kind.peek())?,
                        _ => return Err(object::unknown_field()),
                    }
                }
                let kind = kind.required()?;
                #idempotent
                #durable
                Ok(Self { #(#values,)* message: payload.finish(kind)? })
            }
        }

        impl<'de> Deserialize<'de> for #ident {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                object::deserialize(deserializer)
            }
        }

        impl Serialize for #ident {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut frame = serializer.serialize_struct(stringify!(#ident), #length)?;
                #(#first)*
                frame.serialize_field("type", &self.message.kind())?;
                #(#rest)*
                frame.serialize_field("payload", &self.message)?;
                frame.end()
            }
        }
        #encode
    }
}
