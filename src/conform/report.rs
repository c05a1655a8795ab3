//! What a run has to say: while it runs, in the end for people, and as JSON.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{
    baseline::Compared,
    published::published,
    rules::{order, rules},
    run::{Failure, Outcome, Played},
    scenario::Scenario,
    stage::Touched,
};

pub struct Report<'a> {
    pub against: String,
    pub scenarios: &'a [Scenario],
    pub played: Vec<Played>,
    pub compared: Compared,
    pub elapsed: Duration,
    /// Whether every scenario of the set was asked for.
    pub whole: bool,
    /// Whether scenarios that were skipped are no failure.
    pub skips_allowed: bool,
}

/// How a run ends, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed = 0,
    Failed = 1,
    Unusable = 2,
    Skipped = 3,
}

/// As few as a whole run may have; fewer means that the set was lost on the way.
const FLOOR: usize = 100;

impl Report<'_> {
    fn count(&self, is_it: impl Fn(&Outcome) -> bool) -> usize {
        self.played.iter().filter(|played| is_it(&played.outcome)).count()
    }

    pub fn verdict(&self) -> Verdict {
        let harness = self.count(|outcome| matches!(outcome, Outcome::Harness(_)));
        let ran = self.played.len() - self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let Compared { unexpected, passing, unknown, .. } = &self.compared;
        let surprises = unexpected.len() + passing.len() + unknown.len();
        if harness > 0 || self.lost() > 0 || surprises > 0 {
            Verdict::Failed
        } else if ran < self.played.len() && !self.skips_allowed {
            Verdict::Skipped
        } else if ran == 0 || self.whole && ran < FLOOR {
            Verdict::Unusable
        } else {
            Verdict::Passed
        }
    }

    /// How many scenarios were started and never came back.
    fn lost(&self) -> usize {
        self.scenarios.len().saturating_sub(self.played.len())
    }

    pub fn touched(&self) -> Touched {
        let mut all = Touched::default();
        for played in &self.played {
            let touched = played.touched.clone();
            all.client.extend(touched.client);
            all.server.extend(touched.server);
            all.routes.extend(touched.routes);
            all.codes.extend(touched.codes);
            all.closes.extend(touched.closes);
        }
        all
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for played in &self.played {
            match &played.outcome {
                Outcome::Failed(failure) => self.failure(&mut text, played, failure),
                Outcome::Harness(why) => {
                    let _ = writeln!(
                        text,
                        "\n✗ {}: a fault of the kit or the scenario, not of the server\n    {why}",
                        played.scenario
                    );
                }
                _ => {}
            }
        }
        self.skips(&mut text);
        for entry in &self.compared.passing {
            let _ = writeln!(text, "\n✗ {entry} stands in the baseline and does not fail: take it out");
        }
        for entry in &self.compared.unknown {
            let what = if entry.contains('#') { "check" } else { "scenario" };
            let _ = writeln!(text, "\n✗ {entry} stands in the baseline, and there is no such {what}: take it out");
        }
        if self.lost() > 0 {
            let _ = writeln!(text, "\n✗ {} scenarios were lost: a fault of the kit", self.lost());
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let checks: usize = self.played.iter().map(|played| played.held.len()).sum();
        let _ = writeln!(
            text,
            "\n{} of {} scenarios passed, {} failed{}, {skipped} skipped; {checks} checks held; {:.1} s",
            passed,
            self.played.len(),
            self.played.len() - passed - skipped,
            match self.compared.expected.len() {
                0 => String::new(),
                known => format!(" ({known} as the baseline says)"),
            },
            self.elapsed.as_secs_f64()
        );
        let touched = self.touched();
        let catalogue = &published().catalogue;
        let of = |list: &str| catalogue[list].as_array().map_or(0, Vec::len);
        let provokable = catalogue["errorCodes"].as_array().into_iter().flatten();
        let _ = writeln!(
            text,
            "touched: {} of {} client messages, {} of {} server frames, {} of {} routes, {} of {} error codes that can be provoked, {} rules named",
            touched.client.len(),
            published().client_types().count(),
            touched.server.len(),
            published().server_types().count(),
            touched.routes.len(),
            of("routes"),
            touched.codes.len(),
            provokable.filter(|code| code["provokable"] == true).count(),
            self.rules().len()
        );
        text
    }

    /// The rules that the scenarios which ran name.
    fn rules(&self) -> Vec<String> {
        let ran = |name: &str| {
            self.played.iter().any(|played| played.scenario == name && !matches!(played.outcome, Outcome::Skipped(_)))
        };
        let mut rules: Vec<String> =
            self.scenarios.iter().filter(|one| ran(&one.name)).flat_map(Scenario::all_rules).collect();
        rules.extend(super::standing::rules());
        rules.sort_by_key(|id| order(id));
        rules.dedup();
        rules
    }

    fn skips(&self, text: &mut String) {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for played in &self.played {
            if let Outcome::Skipped(reason) = &played.outcome {
                reasons.entry(reason).or_default().push(&played.scenario);
            }
        }
        for (reason, names) in reasons {
            let _ = writeln!(text, "\n– {} skipped: {reason}\n    {}", names.len(), names.join(", "));
        }
    }

    fn failure(&self, text: &mut String, played: &Played, failure: &Failure) {
        let title = self.scenarios.iter().find(|one| one.name == played.scenario).map_or("", |one| &one.title);
        let mark = if self.compared.expects(&played.scenario) { " (as the baseline says)" } else { "" };
        let name = failure.check.as_deref().unwrap_or(&played.scenario);
        let _ = writeln!(text, "\n✗ {name}{mark}\n    {title}");
        for line in failure.words().lines() {
            let _ = writeln!(text, "    {line}");
        }
        for rule in &failure.rules {
            let _ = writeln!(text, "    [{rule}] {}", rules().get(rule).map_or("", String::as_str));
        }
        let _ = writeln!(text, "    the conversation up to there:");
        for line in &failure.told {
            let _ = writeln!(text, "      {line}");
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let scenarios: Vec<Value> = self.played.iter().map(|played| self.scenario_json(played)).collect();
        let touched = self.touched();
        json!({
            "protocol": crate::protocol::VERSION,
            "against": self.against,
            "exitCode": self.verdict() as u8,
            "passed": self.count(|outcome| matches!(outcome, Outcome::Passed)),
            "failed": self.count(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Harness(_))),
            "skipped": self.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            "checks": self.played.iter().map(|played| played.held.len()).sum::<usize>(),
            "milliseconds": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "passingInBaseline": self.compared.passing,
            "unknownInBaseline": self.compared.unknown,
            "rules": self.rules(),
            "touched": {
                "client": touched.client, "server": touched.server, "routes": touched.routes,
                "codes": touched.codes, "closeCodes": touched.closes,
            },
            "scenarios": scenarios,
        })
    }

    fn scenario_json(&self, played: &Played) -> Value {
        let mut json = json!({
            "name": played.scenario,
            "milliseconds": u64::try_from(played.elapsed.as_millis()).unwrap_or(u64::MAX),
            "checks": played.held.len(),
        });
        match &played.outcome {
            Outcome::Passed => json["outcome"] = json!("passed"),
            Outcome::Harness(why) => {
                json["outcome"] = json!("harness");
                json["why"] = json!(why);
            }
            Outcome::Skipped(why) => {
                json["outcome"] = json!("skipped");
                json["why"] = json!(why);
            }
            Outcome::Failed(failure) => {
                json["outcome"] = json!("failed");
                json["failedChecks"] = json!(failure.checks());
                json["baseline"] = json!(failure.entries(&played.scenario));
                json["expected"] = json!(self.compared.expects(&played.scenario));
                json["step"] = json!(failure.step);
                json["why"] = json!(failure.text);
                json["standing"] =
                    failure.standing.iter().map(|(check, text)| json!({"check": check, "why": text})).collect();
                json["rules"] = json!(failure.rules);
                json["conversation"] = json!(failure.told);
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scenarios: &[Scenario], outcomes: Vec<Outcome>) -> Report<'_> {
        let played = scenarios.iter().zip(outcomes).map(|(one, outcome)| Played::new(&one.name, outcome)).collect();
        Report {
            against: String::new(),
            scenarios,
            played,
            compared: Compared::default(),
            elapsed: Duration::ZERO,
            whole: false,
            skips_allowed: false,
        }
    }

    #[test]
    fn only_what_was_played_to_its_end_can_pass() {
        let text = r#"{"title": "a title", "rules": ["R1.1"], "steps": [{"connect": "a"}]}"#;
        let scenarios = ["x/one", "x/two"].map(|name| Scenario::parse(name, text).unwrap());
        let verdict = |outcomes| report(&scenarios, outcomes).verdict();
        assert_eq!(verdict(vec![Outcome::Passed, Outcome::Passed]), Verdict::Passed);
        assert_eq!(verdict(vec![Outcome::Passed, Outcome::Harness(String::new())]), Verdict::Failed);
        assert_eq!(verdict(vec![Outcome::Passed]), Verdict::Failed);
        assert!(report(&scenarios, vec![Outcome::Passed]).text().contains("1 scenarios were lost"));
    }
}
