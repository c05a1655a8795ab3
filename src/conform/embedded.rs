//! The files of the kit, which are in the program: scenarios, templates and the script.

use std::{fs, io, path::Path};

use super::scenario::{InvalidScenario, Scenario};

// `SCENARIOS` and `TEMPLATES`: name and text of each file, made by build.rs.
include!(concat!(env!("OUT_DIR"), "/conformance.rs"));

pub const SCRIPT: &str = include_str!("../../tests/conformance/script.json");

/// The scenarios that are in the program.
pub fn scenarios() -> Result<Vec<Scenario>, InvalidScenario> {
    SCENARIOS.iter().map(|(name, text)| Scenario::parse(name, text)).collect()
}

/// The scenarios in a folder, `<area>/<name>.json` each.
pub fn read(dir: &Path) -> Result<Vec<Scenario>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for area in sorted(dir)? {
        if !area.is_dir() {
            continue;
        }
        for file in sorted(&area)? {
            let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", stem(&area), stem(&file));
            let parsed = Scenario::parse(&name, &fs::read_to_string(&file)?);
            // Where it is helps its author more than what it is called.
            let named = |invalid| InvalidScenario { name: file.display().to_string(), ..invalid };
            found.push(parsed.map_err(named)?);
        }
    }
    Ok(found)
}

fn sorted(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut paths: Vec<_> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
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
