//! The files of the kit, which are in the program: scenarios, templates and the script.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::scenario::{InvalidScenario, Scenario};

// `SCENARIOS` and `TEMPLATES`: name and text of each file, made by build.rs.
include!(concat!(env!("OUT_DIR"), "/conformance.rs"));

pub const SCRIPT: &str = include_str!("../../tests/conformance/script.json");

/// Why the scenarios in a folder cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Scenario(#[from] InvalidScenario),
    #[error("{} holds no <area>/<name>.json", .0.display())]
    Nothing(PathBuf),
}

/// The scenarios that are in the program.
pub fn scenarios() -> Result<Vec<Scenario>, InvalidScenario> {
    SCENARIOS.iter().map(|(name, text)| Scenario::parse(name, text)).collect()
}

/// The scenarios in a folder, `<area>/<name>.json` each.
pub fn read(dir: &Path) -> Result<Vec<Scenario>, Unreadable> {
    let mut found = Vec::new();
    for area in sorted(dir)? {
        if !area.is_dir() {
            continue;
        }
        for file in sorted(&area)? {
            let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", stem(&area), stem(&file));
            let parsed = Scenario::parse(&name, &fs::read_to_string(&file).map_err(at(&file))?);
            // Where it is helps its author more than what it is called.
            let named = |invalid| InvalidScenario { name: file.display().to_string(), ..invalid };
            found.push(parsed.map_err(named)?);
        }
    }
    if found.is_empty() { Err(Unreadable::Nothing(dir.to_owned())) } else { Ok(found) }
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let entries = fs::read_dir(dir).map_err(at(dir))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map_err(at(dir))?;
    paths.sort();
    Ok(paths)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Unreadable {
    |error| Unreadable::File { path: path.to_owned(), error }
}

/// Writes the script and the templates, for a server that is to be tested.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("templates"))?;
    fs::write(dir.join("script.json"), SCRIPT)?;
    for (name, text) in TEMPLATES {
        fs::write(dir.join("templates").join(name), text)?;
    }
    Ok(())
}
