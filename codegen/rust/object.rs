//! Structs, tagged unions and string enums, with the `Deserialize` that is the validation.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

use super::{default_value, docs, encode, ident, name, type_of};
use crate::codegen::model::{Field, Model, Presence, Struct, Variant, pascal};

pub(super) fn structure(model: &Model, title: &str, docs: TokenStream, object: &Struct) -> TokenStream {
    let ident = ident(title);
    let fields = object.fields.iter().map(|field| declaration(model, field));
    let tag = object.tag.as_ref().map(|(tag, value)| quote!(#[serde(tag = #tag, rename = #value)]));
    let default =
        object.fields.iter().all(|field| !field.required && field.default.is_none()).then(|| quote!(Default,));
    let reader = reader(model, object);
    let read = match &object.tag {
        None => quote! {
            impl<'de> Object<'de> for #ident {
                fn read<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                    #reader
                }
            }
        },
        Some((tag, value)) => quote! {
            impl #ident {
                /// Reads the fields that stand beside the tag.
                fn read_fields<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                    #reader
                }
            }

            impl<'de> Object<'de> for #ident {
                fn read<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
                    let (tag, fields) = object::take_tag(map, #tag)?;
                    if &*tag == #value { Self::read_fields(fields) } else { Err(object::unknown_tag()) }
                }
            }
        },
    };
    let deserialize = deserialize(title);
    let encode = encode::implementation(&ident, &encode::structure(model, object));
    quote! {
        #docs
        #[derive(Clone, Debug, PartialEq, Eq, #default Serialize)]
        #tag
        pub struct #ident {
            #(#fields)*
        }
        #read
        #deserialize
        #encode
    }
}

fn declaration(model: &Model, field: &Field) -> TokenStream {
    let docs = docs(&field.description);
    let name = name(&field.wire);
    let wire = &field.wire;
    let used = type_of(model, &field.used);
    let (used, skip) = match model.presence(field) {
        Presence::Always => (used, None),
        Presence::Optional => (quote!(Option<#used>), Some("Option::is_none")),
        Presence::Patch => (used, Some("Patch::is_absent")),
    };
    let rename = (name != wire).then(|| quote!(rename = #wire));
    let skip = skip.map(|skip| quote!(skip_serializing_if = #skip));
    let says: Vec<_> = rename.into_iter().chain(skip).collect();
    let serde = (!says.is_empty()).then(|| quote!(#[serde(#(#says),*)]));
    quote!(#docs #serde pub #name: #used,)
}

/// The body of a function that reads every field of `map` once.
fn reader(model: &Model, object: &Struct) -> TokenStream {
    if object.fields.is_empty() {
        return quote! {
            match object::next_key(&mut map)? {
                None => Ok(Self {}),
                Some(_) => Err(object::unknown_field()),
            }
        };
    }
    let names: Vec<_> = object.fields.iter().map(|field| name(&field.wire)).collect();
    let wires: Vec<_> = object.fields.iter().map(|field| &field.wire).collect();
    let values = object.fields.iter().map(|field| {
        let name = name(&field.wire);
        match (model.presence(field), &field.default) {
            (Presence::Always, Some(default)) => {
                let default = default_value(model, &field.used, default);
                quote!(#name: #name.or_else(|| #default))
            }
            (Presence::Always, None) => quote!(#name: #name.required()?),
            (Presence::Optional, _) => quote!(#name: #name.optional()),
            (Presence::Patch, _) => quote!(#name: #name.optional().unwrap_or_default()),
        }
    });
    quote! {
        #(let mut #names = Field::new(#wires);)*
        while let Some(key) = object::next_key(&mut map)? {
            match &*key {
                #(#wires => #names.read(&mut map)?,)*
                _ => return Err(object::unknown_field()),
            }
        }
        Ok(Self { #(#values),* })
    }
}

fn deserialize(title: &str) -> TokenStream {
    let ident = ident(title);
    quote! {
        impl<'de> Deserialize<'de> for #ident {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                object::deserialize(deserializer)
            }
        }
    }
}

pub(super) fn union(title: &str, docs: TokenStream, tag: &str, variants: &[Variant]) -> TokenStream {
    let ident = ident(title);
    let values: Vec<_> = variants.iter().map(|variant| &variant.value).collect();
    let arms: Vec<_> = variants.iter().map(|variant| self::ident(&pascal(&variant.value))).collect();
    let structs: Vec<_> = variants.iter().map(|variant| self::ident(&variant.name)).collect();
    let variant_docs = variants.iter().map(|variant| super::docs(&variant.description));
    let deserialize = deserialize(title);
    let encode =
        encode::implementation(&ident, &quote!(match self { #(Self::#arms(variant) => variant.encode(out),)* }));
    quote! {
        #docs
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum #ident {
            #(#variant_docs #arms(#structs),)*
        }

        impl<'de> Object<'de> for #ident {
            fn read<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
                let (tag, fields) = object::take_tag(map, #tag)?;
                match &*tag {
                    #(#values => #structs::read_fields(fields).map(Self::#arms),)*
                    _ => Err(object::unknown_tag()),
                }
            }
        }
        #deserialize
        #encode

        #(
            impl From<#structs> for #ident {
                fn from(variant: #structs) -> Self {
                    Self::#arms(variant)
                }
            }
        )*
    }
}

pub(super) fn enumeration(title: &str, docs: TokenStream, values: &[String]) -> TokenStream {
    let ident = ident(title);
    let arms: Vec<_> = values.iter().map(|value| format_ident!("{}", pascal(value))).collect();
    let options = values.join(", ");
    let quoted = values.iter().map(|value| Literal::byte_string(encode::quoted(value).as_bytes()));
    let encode = encode::implementation(
        &ident,
        &quote! {
            out.extend_from_slice(match self {
                #(Self::#arms => &#quoted[..],)*
            });
        },
    );
    quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum #ident {
            #(#arms,)*
        }

        impl #ident {
            /// All values, in the order of the schema.
            pub const ALL: &[Self] = &[#(Self::#arms),*];

            /// The value as it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    #(Self::#arms => #values,)*
                }
            }
        }

        impl std::fmt::Display for #ident {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for #ident {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    #(#values => Ok(Self::#arms),)*
                    _ => Err(Invalid::new("enum", #options)),
                }
            }
        }

        impl TryFrom<&str> for #ident {
            type Error = Invalid;
            fn try_from(text: &str) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl Serialize for #ident {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for #ident {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                object::Key::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
        #encode
    }
}
