//! A scenario: what the server does, step by step, and what must be seen of the client.

use std::{fs, path::Path, sync::OnceLock};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::conform::{definitions::Definitions, rules};

/// What a scenario's file may say.
pub const SCHEMA: &str = include_str!("../../../tests/conformance/client.schema.json");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    #[serde(skip)]
    pub name: String,
    pub title: String,
    /// The rules of docs/PROTOCOL.md that it checks.
    pub rules: Vec<String>,
    pub steps: Vec<Step>,
}

/// What a step does only to find a fault: without a `check` no broken client would prove that it does.
const ASSERTIONS: [&str; 5] = ["never", "count", "nobody", "same", "notBefore"];

/// One thing that the server does or waits for; the verbs are in `play.rs`.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// The name of what it asserts.
    pub check: Option<String>,
    #[serde(flatten)]
    pub verb: Map<String, Value>,
}

include!(concat!(env!("OUT_DIR"), "/conformance_client.rs"));

/// The scenarios that are in the program.
pub fn embedded() -> Result<Vec<Scenario>, String> {
    CLIENT_SCENARIOS.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The scenarios in a folder.
pub fn read(dir: &Path) -> Result<Vec<Scenario>, String> {
    let at = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let told = |error| at(dir, error);
    let mut paths: Vec<_> = fs::read_dir(dir)
        .map_err(told)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(told)?
        .iter()
        .map(|one| one.path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    if paths.is_empty() {
        return Err(format!("{} holds no <name>.json", dir.display()));
    }
    paths.sort();
    let parsed = paths.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).map_err(|error| at(path, error))?;
        // Where it is helps its author more than what it is called.
        parse(&name, &text).map_err(|text| dir.join(text).display().to_string())
    });
    parsed.collect()
}

/// Reads a file. The error says what is wrong where.
pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    let definitions = DEFINITIONS.get_or_init(|| Definitions::of(SCHEMA));
    let mut scenario: Scenario = serde_json::from_str(text).map_err(|error| format!("{name}.json: {error}"))?;
    scenario.name = name.to_owned();
    rules::known(&scenario.rules).map_err(|text| format!("{name}.json: {text}"))?;
    for (at, step) in scenario.steps.iter().enumerate() {
        let place = format!("{name}.json, step {}", at + 1);
        let verbs: Vec<_> = definitions.names().filter(|verb| step.verb.contains_key(*verb)).collect();
        let [verb] = verbs[..] else {
            return Err(format!("{place}: one verb is wanted, not {}: {verbs:?}", verbs.len()));
        };
        definitions.check(verb, &Value::Object(step.verb.clone()), &place)?;
        let asserted = ASSERTIONS.iter().find(|name| step.verb.contains_key(**name));
        if let (Some(name), None) = (asserted, &step.check) {
            return Err(format!("{place}/{name}: a step with this needs a `check`, the name of what it asserts"));
        }
    }
    Ok(scenario)
}

impl Scenario {
    /// The checks, as `scenario#check`.
    pub fn checks(&self) -> impl Iterator<Item = String> {
        self.steps.iter().filter_map(|step| step.check.as_ref()).map(|check| format!("{}#{check}", self.name))
    }
}
