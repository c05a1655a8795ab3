//! A baseline: the checks that are expected to fail, one a line. One that passes is an error, so that it is taken out.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::run::{Outcome, Played};

/// What a run is beside its baseline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Scenarios that fail and were not expected to.
    pub unexpected: Vec<String>,
    /// Scenarios that fail as expected.
    pub expected: Vec<String>,
    /// Entries whose check did not fail.
    pub passing: Vec<String>,
    /// Entries of scenarios that do not exist.
    pub unknown: Vec<String>,
}

/// Reads a baseline; empty lines and what follows `//` do not count.
pub fn read(file: &Path) -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// What to write into a baseline for a failed scenario: its check, or itself.
pub fn entry(played: &Played) -> Option<String> {
    match &played.outcome {
        Outcome::Failed(failure) => Some(failure.check.clone().unwrap_or_else(|| played.scenario.clone())),
        _ => None,
    }
}

/// Holds a run against a baseline. `exists`: the names of all scenarios; entries of those that did not run say nothing.
pub fn compare(played: &[Played], baseline: &BTreeSet<String>, exists: &BTreeSet<String>) -> Compared {
    let mut compared = Compared::default();
    let failed: BTreeSet<String> = played.iter().filter_map(entry).collect();
    for entry in &failed {
        let list = if baseline.contains(entry) { &mut compared.expected } else { &mut compared.unexpected };
        list.push(entry.clone());
    }
    for entry in baseline.iter().filter(|entry| !failed.contains(*entry)) {
        let name = entry.split('#').next().unwrap_or_default();
        let found = played.iter().find(|played| played.scenario == name);
        if found.is_some_and(|played| !matches!(played.outcome, Outcome::Skipped(_))) {
            compared.passing.push(entry.clone());
        } else if !exists.contains(name) {
            compared.unknown.push(entry.clone());
        }
    }
    compared
}
