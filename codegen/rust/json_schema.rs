//! `schemars::JsonSchema` for every type that has a definition.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;

use super::ident;
use crate::codegen::model::{Model, Type};

pub(super) fn json_schema(model: &Model, name: &str, entry: &Type) -> TokenStream {
    if !entry.defined || !entry.shape.is_type() {
        return quote!();
    }
    let mut inner = BTreeSet::new();
    collect(model, entry, &mut inner);
    let (name, inner) = (ident(name), inner.into_iter().map(ident));
    quote!(json_schema!(#name #(, #inner)*);)
}

/// The types that `entry` refers to, through what has none.
fn collect<'m>(model: &'m Model, entry: &'m Type, inner: &mut BTreeSet<&'m str>) {
    for name in entry.shape.uses() {
        let Some(used) = model.types.get(name) else { continue };
        if used.defined && used.shape.is_type() {
            inner.insert(name);
        } else {
            collect(model, used, inner);
        }
    }
}
