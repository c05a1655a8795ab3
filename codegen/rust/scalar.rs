//! Strings, numbers and lists with limits: a private field, a check, and a macro for the rest.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::{ident, pattern, type_of};
use crate::codegen::model::{Model, Shape};

pub(super) fn scalar(model: &Model, name: &str, docs: TokenStream, shape: &Shape) -> TokenStream {
    let ident = ident(name);
    match shape {
        Shape::Text { min, max, pattern: rule, secret } => {
            let mut checks = Vec::new();
            if min.is_some() || max.is_some() {
                let min = limit(min.unwrap_or(0));
                let max = max.map_or(quote!(usize::MAX), |max| {
                    let max = limit(max);
                    quote!(#max)
                });
                checks.push(quote!(scalar::length(text, #min, #max)?;));
            }
            if let Some(rule) = rule {
                checks.push(pattern::check(rule));
            }
            let debug = (!secret).then(|| quote!(Debug,));
            let redacted = secret.then(|| {
                quote! {
                    /// Redacted: whatever holds one can be printed.
                    impl std::fmt::Debug for #ident {
                        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                            f.write_str("***")
                        }
                    }
                }
            });
            quote! {
                #docs
                #[derive(Clone, #debug PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
                #[serde(transparent)]
                pub struct #ident(CompactString);
                #redacted
                impl Text for #ident {
                    fn check(text: &str) -> Result<(), Invalid> {
                        #(#checks)*
                        Ok(())
                    }
                    fn wrap(text: CompactString) -> Self {
                        Self(text)
                    }
                }
                text!(#ident);
            }
        }
        Shape::Uuid => quote!(#docs pub type #ident = uuid::Uuid;),
        Shape::DateTime => quote! {
            #docs
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct #ident(i64);
            timestamp!(#ident);
        },
        Shape::Integer { min, max } => {
            let (inner, value) =
                if *min >= 0 { (quote!(u64), quote!(value.unsigned_abs())) } else { (quote!(i64), quote!(value)) };
            let (min, max) = (Literal::i64_unsuffixed(*min), Literal::i64_unsuffixed(*max));
            quote! {
                #docs
                #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
                #[serde(transparent)]
                pub struct #ident(#inner);
                impl Integer for #ident {
                    const MIN: i64 = #min;
                    const MAX: i64 = #max;
                    fn wrap(value: i64) -> Self {
                        Self(#value)
                    }
                }
                integer!(#ident, #inner);
            }
        }
        Shape::Number { min, max } => {
            let (min, max) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
            quote! {
                #docs
                #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
                #[serde(transparent)]
                pub struct #ident(f64);
                impl Number for #ident {
                    const MIN: f64 = #min;
                    const MAX: f64 = #max;
                    fn wrap(value: f64) -> Self {
                        Self(value)
                    }
                }
                number!(#ident);
            }
        }
        Shape::List { item, min, max, unique } => {
            let item = type_of(model, item);
            let default = (*min == 0).then(|| quote!(#[derive(Default)]));
            let (min, max) = (limit(*min), limit(*max));
            quote! {
                #docs
                #default
                #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
                #[serde(transparent)]
                pub struct #ident(Vec<#item>);
                impl List for #ident {
                    type Item = #item;
                    const MIN: usize = #min;
                    const MAX: usize = #max;
                    const UNIQUE: bool = #unique;
                    fn wrap(items: Vec<#item>) -> Self {
                        Self(items)
                    }
                }
                list!(#ident, #item);
            }
        }
        _ => quote!(),
    }
}

fn limit(value: u64) -> Literal {
    Literal::u64_unsuffixed(value)
}
