//! The routes: written in the second stage.

use proc_macro2::TokenStream;
use quote::quote;

use crate::codegen::{catalogue::Catalogue, model::Model};

pub(super) fn routes(model: &Model, catalogue: &Catalogue) -> TokenStream {
    let _ = (model, catalogue);
    quote!()
}
