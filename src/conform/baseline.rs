//! A baseline: the checks that are expected to fail, one a line. One that passes is an error, so that it is taken out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use super::run::{Outcome, Played};

/// What a run is beside its baseline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Scenarios that fail and were not expected to, or not in this way.
    pub unexpected: Vec<String>,
    /// Scenarios that fail as expected.
    pub expected: Vec<String>,
    /// Entries of what did not fail.
    pub passing: Vec<String>,
    /// Entries of scenarios or checks that do not exist.
    pub unknown: Vec<String>,
}

impl Compared {
    pub fn expects(&self, scenario: &str) -> bool {
        self.expected.iter().any(|name| name == scenario)
    }
}

/// Reads a baseline; empty lines and what follows `//` do not count.
pub fn read(file: &Path) -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(file)?;
    // Some editors begin a file with a mark of its encoding.
    let lines = text.trim_start_matches('\u{feff}').lines();
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Holds a run against a baseline. `exists`: all scenarios, with their checks. What was not reached says nothing: a
/// scenario that did not run, and the checks after the one that failed.
pub fn compare(played: &[Played], baseline: &BTreeSet<String>, exists: &BTreeMap<String, Vec<String>>) -> Compared {
    let mut compared = Compared::default();
    let mut failed = BTreeSet::new();
    for one in played {
        let Outcome::Failed(failure) = &one.outcome else { continue };
        let entries = failure.entries(&one.scenario);
        let known = baseline.contains(&one.scenario) || entries.iter().all(|entry| baseline.contains(entry));
        if known { &mut compared.expected } else { &mut compared.unexpected }.push(one.scenario.clone());
        failed.extend(entries);
        failed.insert(one.scenario.clone());
    }
    for entry in baseline.iter().filter(|entry| !failed.contains(*entry)) {
        let (name, check) = entry.split_once('#').map_or((entry.as_str(), None), |(name, check)| (name, Some(check)));
        let checks = exists.get(name);
        if checks.is_none_or(|checks| check.is_some_and(|check| checks.iter().all(|known| known != check))) {
            compared.unknown.push(entry.clone());
        } else if let Some(one) = played.iter().find(|one| one.scenario == name)
            && (matches!(one.outcome, Outcome::Passed) || one.held.contains(entry))
        {
            compared.passing.push(entry.clone());
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::run::Failure;

    fn failed(scenario: &str, held: &[&str], check: Option<&str>, also: &[&str], standing: &[&str]) -> Played {
        let full = |check: &&str| format!("{scenario}#{check}");
        let failure = Failure {
            check: check.as_ref().map(full),
            also: also.iter().map(|check| (full(check), String::new())).collect(),
            standing: standing.iter().map(|check| ((*check).to_owned(), String::new())).collect(),
            step: String::new(),
            text: String::new(),
            rules: Vec::new(),
            told: Vec::new(),
        };
        let mut played = Played::new(scenario, Outcome::Failed(Box::new(failure)));
        played.held = held.iter().map(full).collect();
        played
    }

    #[test]
    fn a_baseline_names_everything_that_fails_and_nothing_else() {
        let checks = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let exists =
            BTreeMap::from([("x/one".to_owned(), checks(&["a", "b", "c", "d"])), ("x/two".to_owned(), checks(&["a"]))]);
        let one = failed("x/one", &["a"], Some("b"), &["c"], &[]);
        let standing = failed("x/one", &["a"], None, &[], &["schema"]);
        let both = failed("x/one", &["a"], Some("b"), &[], &["schema"]);
        let unprepared = failed("x/one", &[], None, &[], &[]);
        // (what came of x/one, the baseline, whether it fails as expected, entries that pass, entries that are unknown)
        for (played, lines, expected, passing, unknown) in [
            (&one, &[][..], false, &[][..], &[][..]),
            (&one, &["x/one#b"], false, &[], &[]),
            (&one, &["x/one#b", "x/one#c"], true, &[], &[]),
            (&one, &["x/one"], true, &[], &[]),
            (&one, &["x/one", "x/one#a"], true, &["x/one#a"], &[]),
            // It was not reached.
            (&one, &["x/one", "x/one#d"], true, &[], &[]),
            (&one, &["x/one", "x/one#e", "x/three", "x/three#a"], true, &[], &["x/one#e", "x/three", "x/three#a"]),
            (&one, &["x/one", "x/two"], true, &["x/two"], &[]),
            (&one, &["x/one", "x/two#a"], true, &["x/two#a"], &[]),
            (&standing, &["x/one"], true, &[], &[]),
            (&both, &["x/one#b"], false, &[], &[]),
            (&both, &["x/one"], true, &[], &[]),
            (&unprepared, &["x/one"], true, &[], &[]),
        ] {
            let all = [played.clone(), Played::new("x/two", Outcome::Passed)];
            let baseline = lines.iter().map(|line| (*line).to_owned()).collect();
            let compared = compare(&all, &baseline, &exists);
            assert_eq!(compared.expects("x/one"), expected, "{lines:?}");
            assert_eq!(compared.unexpected.is_empty(), expected, "{lines:?}");
            assert_eq!((&compared.passing[..], &compared.unknown[..]), (&checks(passing)[..], &checks(unknown)[..]));
        }
        // What did not run says nothing.
        let skipped = [Played::new("x/two", Outcome::Skipped(String::new()))];
        assert_eq!(compare(&skipped, &["x/two#a".to_owned()].into(), &exists), Compared::default());
    }
}
