//! The kit proves itself: each broken server must fail the check that it is made for. What else it fails stands in a
//! committed table; a check without a broken server that fails it checks nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    mutant::{Kind, Mutant, mutants},
    run::{Outcome, Played, Target, play_all},
    scenario::Scenario,
    standing::STANDING,
    tamper::Tamper,
};

/// What came out.
#[derive(Debug, Default)]
pub struct Proof {
    pub checks: usize,
    pub mutants: usize,
    /// Broken servers that did not fail their check, and why.
    pub survivors: Vec<String>,
    /// Checks that no broken server is made for.
    pub unprovable: Vec<String>,
    /// All of them.
    pub names: BTreeSet<String>,
    /// What else each fails, by its name; those that fail nothing else are left out.
    pub also: BTreeMap<String, BTreeSet<String>>,
}

/// Runs every broken server of these scenarios.
pub async fn prove(
    scenarios: &[Scenario],
    tampers: Vec<Tamper>,
    target: Arc<Target>,
    limit: Duration,
    width: usize,
    done: impl FnMut(usize, &Played),
) -> Proof {
    let mut proof = Proof::default();
    let mut jobs = Vec::new();
    proof.checks = STANDING.len();
    for (check, ..) in STANDING {
        if !tampers.iter().any(|tamper| tamper.fails == format!("standing/{check}")) {
            proof.unprovable.push(format!("standing/{check}"));
        }
    }
    for scenario in scenarios {
        let all = mutants(scenario);
        let proved: BTreeSet<&str> = all.iter().map(|mutant| mutant.check.as_str()).collect();
        let checks = scenario.checks();
        proof.checks += checks.len();
        let unprovable = checks.iter().filter(|check| !proved.contains(check.as_str()));
        proof.unprovable.extend(unprovable.map(|check| format!("{}#{check}", scenario.name)));
        let scenario = Arc::new(scenario.clone());
        jobs.extend(all.into_iter().map(|mutant| (scenario.clone(), Some(mutant))));
    }
    for tamper in tampers {
        // Only where its scenario is among those that were asked for.
        if let Some(scenario) = scenarios.iter().find(|one| one.name == tamper.scenario) {
            let mutant = Mutant { check: tamper.fails.clone(), kind: Kind::Tamper, tamper: Some(tamper) };
            jobs.push((Arc::new(scenario.clone()), Some(mutant)));
        }
    }
    proof.mutants = jobs.len();
    let played = play_all(jobs, target, limit, width, done).await;
    if played.len() < proof.mutants {
        proof.survivors.push(format!("{} were lost: a fault of the kit", proof.mutants - played.len()));
    }
    for (mutant, played) in played {
        if let Some(mutant) = mutant {
            proof.judge(&mutant, &played);
        }
    }
    proof
}

impl Proof {
    fn judge(&mut self, mutant: &Mutant, played: &Played) {
        let (check, name) = match &mutant.tamper {
            Some(tamper) => (mutant.check.clone(), format!("{}: {}", played.scenario, tamper.name)),
            None => {
                let check = format!("{}#{}", played.scenario, mutant.check);
                (check.clone(), format!("{check} ({})", mutant.kind.name()))
            }
        };
        self.names.insert(name.clone());
        match &played.outcome {
            Outcome::Failed(failure) if failure.checks().contains(&check) => {
                let mut also: BTreeSet<String> = failure.checks().into_iter().collect();
                also.remove(&check);
                if !also.is_empty() {
                    self.also.insert(name, also);
                }
            }
            Outcome::Failed(failure) => {
                let said: Vec<&str> = [failure.text.as_str()]
                    .into_iter()
                    .chain(failure.also.iter().chain(&failure.standing).map(|(_, said)| said.as_str()))
                    .filter(|said| !said.is_empty())
                    .collect();
                self.survivors.push(format!(
                    "{name} fails {} at step {}: {}",
                    failure.checks().join(", "),
                    failure.step,
                    said.join("; ")
                ));
            }
            Outcome::Passed if !played.fired => self.survivors.push(format!("{name}: there was nothing to break")),
            Outcome::Passed => self.survivors.push(format!("{name} passes")),
            Outcome::Harness(why) | Outcome::Skipped(why) => self.survivors.push(format!("{name} did not run: {why}")),
        }
    }

    pub fn holds(&self) -> bool {
        self.survivors.is_empty() && self.unprovable.is_empty() && self.mutants > 0
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.unprovable {
            let _ = writeln!(text, "✗ no broken server is made for {check}: it asserts nothing");
        }
        for survivor in &self.survivors {
            let _ = writeln!(text, "✗ {survivor}");
        }
        let _ = writeln!(
            text,
            "{} checks, {} broken servers, {} of them fail the check that they are made for",
            self.checks,
            self.mutants,
            self.mutants - self.survivors.len()
        );
        text
    }

    /// What differs from the committed table; with `write`, the table is made anew.
    pub fn differences(&self, table: &Path, write: bool) -> io::Result<Vec<String>> {
        if write {
            fs::write(table, format!("{:#}\n", json!(self.also)))?;
        }
        let known: Value = serde_json::from_slice(&fs::read(table)?)?;
        let known = known.as_object().cloned().unwrap_or_default();
        let mut wrong = Vec::new();
        for (name, also) in &self.also {
            // It depends on the moment whether some of them are still seen; one more than is listed is news.
            let listed = known.get(name).and_then(Value::as_array);
            let is_listed = |check: &String| listed.is_some_and(|list| list.iter().any(|one| one == check.as_str()));
            if !also.iter().all(is_listed) {
                wrong.push(format!(
                    "{name} fails {also:?} too; the table says {}",
                    known.get(name).unwrap_or(&Value::Null)
                ));
            }
        }
        for name in known.keys().filter(|name| !self.names.contains(*name)) {
            wrong.push(format!("the table lists {name}, which does not exist"));
        }
        Ok(wrong)
    }
}
