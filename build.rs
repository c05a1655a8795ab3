//! Reads `schema/` and generates the protocol into `OUT_DIR`; a schema outside the profile fails the build.

mod codegen;

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=codegen");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    if let Err(faults) = codegen::generate(&root.join("schema"), &out) {
        eprintln!("{faults}");
        std::process::exit(1);
    }
}
