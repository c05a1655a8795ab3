//! Reads `schema/` and generates the protocol into `OUT_DIR`; a schema outside the profile fails the build. Then it
//! puts the documents and the web app into a form that the server can send.

mod codegen;
#[path = "codegen/embed.rs"]
mod embed;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=codegen");
    println!("cargo:rerun-if-changed=tests/conformance");
    println!("cargo:rerun-if-changed=clients/web/dist");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    if let Err(faults) = codegen::generate(&root.join("schema"), &out) {
        eprintln!("{faults}");
        std::process::exit(1);
    }
    fs::write(out.join("conformance.rs"), conformance(&root.join("tests/conformance")).expect("the kit can be read"))
        .expect("the output folder can be written");
    if let Err(error) = embed::embed(&root.join("clients/web/dist"), &out) {
        eprintln!("the web app cannot be embedded: {error}\nnpm --prefix clients/web run build makes it");
        std::process::exit(1);
    }
    let client = client_scenarios(&root.join("tests/conformance/client")).expect("the scenarios can be read");
    fs::write(out.join("conformance_client.rs"), client).expect("the output folder can be written");
}

/// The scenarios with which clients are judged, as a table of name and text.
fn client_scenarios(dir: &Path) -> io::Result<String> {
    let mut scenarios = String::new();
    for file in sorted(dir)? {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("names are ASCII");
        scenarios += &format!("({name:?}, include_str!({file:?})),\n");
    }
    Ok(format!("const CLIENT_SCENARIOS: &[(&str, &str)] = &[\n{scenarios}];\n"))
}

/// The files of the conformance kit as two tables of name and text.
fn conformance(kit: &Path) -> io::Result<String> {
    let (mut scenarios, mut templates) = (String::new(), String::new());
    for area in sorted(&kit.join("scenarios"))? {
        for file in sorted(&area)? {
            let name = file.strip_prefix(kit.join("scenarios")).expect("it is below").with_extension("");
            let name = name.to_str().expect("names are ASCII").replace('\\', "/");
            scenarios += &format!("({name:?}, include_str!({file:?})),\n");
        }
    }
    for file in sorted(&kit.join("templates"))? {
        let name = file.file_name().and_then(|name| name.to_str()).expect("names are ASCII");
        templates += &format!("({name:?}, include_str!({file:?})),\n");
    }
    Ok(format!(
        "const SCENARIOS: &[(&str, &str)] = &[\n{scenarios}];\nconst TEMPLATES: &[(&str, &str)] = &[\n{templates}];\n"
    ))
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
