//! The schemas and the generator: what the profile refuses, that every example and counter-example is what it says,
//! and that an independent generator reads the same types out of the same schemas.

#[path = "../../codegen/mod.rs"]
mod codegen;

mod bundle;
mod examples;
mod profile;
mod structure;
#[path = "../differential/wording.rs"]
mod wording;
