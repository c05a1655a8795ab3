//! What the build generates and what is committed are the same bytes, so that a change of the
//! protocol is read in review as what it does to clients.

mod rules;

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use agent_world::protocol::{self, schemas::SCHEMAS};

const MEND: &str = "UPDATE=1 cargo test --test generated";

macro_rules! built {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!(env!("OUT_DIR"), "/", $name)))),*] };
}

/// What belongs below `generated/`, by path.
fn built() -> BTreeMap<String, String> {
    let documents = built![
        "asyncapi-client.json",
        "asyncapi.json",
        "catalogue.json",
        "openapi-3.0.json",
        "openapi.json",
        "protocol.rs",
        "schema-bundle.json",
    ];
    let documents = documents.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let schemas = SCHEMAS.iter().map(|(path, text)| (format!("schema/{path}"), (*text).to_owned()));
    documents.into_iter().chain(schemas).collect()
}

/// What belongs below `clients/typescript/src/generated/`, by path.
fn typescript() -> BTreeMap<String, String> {
    built!["protocol.ts", "routes.ts", "schemas.ts"].map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

/// Each folder that the build fills.
fn folders() -> [(PathBuf, BTreeMap<String, String>); 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [(root.join("generated"), built()), (root.join("clients/typescript/src/generated"), typescript())]
}

/// Every file below `folder`, by path.
fn read(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                files.insert(path, fs::read_to_string(entry.path())?);
            }
        }
    }
    Ok(files)
}

fn write(folder: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// One line for each file that is not as it should be.
fn differences(built: &BTreeMap<String, String>, committed: &BTreeMap<String, String>) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, text) in built {
        match committed.get(path) {
            None => differences.push(format!("{path}: is missing")),
            Some(found) if found != text => {
                let line = found.lines().zip(text.lines()).take_while(|(found, text)| found == text).count() + 1;
                differences.push(format!("{path}: differs from line {line} on"));
            }
            Some(_) => {}
        }
    }
    let stale = committed.keys().filter(|path| !built.contains_key(*path));
    differences.extend(stale.map(|path| format!("{path}: is not generated any more")));
    differences
}

#[test]
fn what_is_committed_is_what_is_built() {
    for (folder, built) in folders() {
        if env::var_os("UPDATE").is_some() {
            write(&folder, &built).expect("the folder is writable");
        }
        let committed = read(&folder).unwrap_or_default();
        let differences = differences(&built, &committed);
        assert!(
            differences.is_empty(),
            "{} is not what the build makes:\n  {}\nmend it with: {MEND}",
            folder.display(),
            differences.join("\n  ")
        );
    }
}

#[test]
fn one_byte_is_enough_to_be_noticed() {
    let mut built = built();
    assert!(built.len() > 60, "only {} files are generated", built.len());
    built.extend(typescript());
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &built).expect("the folder is writable");
    assert_eq!(differences(&built, &read(folder.path()).expect("readable")), [""; 0]);
    for (path, text) in &built {
        let file = folder.path().join(path);
        let mut edited = text.clone().into_bytes();
        let middle = edited.iter().rposition(|byte| *byte == b' ').expect("a space");
        edited[middle] = b'\t';
        fs::write(&file, edited).expect("writable");
        let found = differences(&built, &read(folder.path()).expect("readable"));
        assert!(found.len() == 1 && found[0].starts_with(path.as_str()), "{path}: {found:?}");
        fs::remove_file(&file).expect("removable");
        let found = differences(&built, &read(folder.path()).expect("readable"));
        assert_eq!(found, [format!("{path}: is missing")]);
        fs::write(&file, text).expect("writable");
    }
    fs::write(folder.path().join("old.json"), "{}").expect("writable");
    assert_eq!(differences(&built, &read(folder.path()).expect("readable")), ["old.json: is not generated any more"]);
}

#[test]
fn the_catalogue_speaks_of_this_protocol() {
    let catalogue: serde_json::Value = serde_json::from_str(&built()["catalogue.json"]).expect("JSON");
    assert_eq!(catalogue["protocol"], protocol::VERSION);
    assert_eq!(catalogue["version"], env!("CARGO_PKG_VERSION"));
    let messages = catalogue["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), protocol::MESSAGES.len());
}
