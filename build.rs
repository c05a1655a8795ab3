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
    let [servers, clients] = conformance(&root.join("tests/conformance")).expect("the kit can be read");
    for (name, text) in [("conformance.rs", servers), ("conformance_client.rs", clients)] {
        fs::write(out.join(name), text).expect("the output folder can be written");
    }
    if let Err(error) = embed::embed(&root.join("clients/web/dist"), &out) {
        eprintln!("the web app cannot be embedded: {error}\nnpm --prefix clients/web run build makes it");
        std::process::exit(1);
    }
}

/// The files of the conformance kit, for servers and for clients: tables of name and text.
fn conformance(kit: &Path) -> io::Result<[String; 2]> {
    let mut scenarios = Vec::new();
    for area in sorted(&kit.join("scenarios"))? {
        for file in sorted(&area)? {
            let name = file.strip_prefix(kit.join("scenarios")).expect("it is below").with_extension("");
            scenarios.push((name, file));
        }
    }
    let templates = sorted(&kit.join("templates"))?.into_iter().map(|file| (last(&file), file)).collect();
    let clients = sorted(&kit.join("client"))?.into_iter().map(|file| (last(&file).with_extension(""), file)).collect();
    let servers = table("SCENARIOS", scenarios) + &table("TEMPLATES", templates);
    Ok([servers, table("CLIENT_SCENARIOS", clients)])
}

fn last(file: &Path) -> PathBuf {
    file.file_name().map(PathBuf::from).unwrap_or_default()
}

fn table(constant: &str, files: Vec<(PathBuf, PathBuf)>) -> String {
    let rows = files.into_iter().map(|(name, file)| {
        let name = name.to_str().expect("names are ASCII").replace('\\', "/");
        format!("({name:?}, include_str!({file:?})),\n")
    });
    format!("const {constant}: &[(&str, &str)] = &[\n{}];\n", rows.collect::<String>())
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
