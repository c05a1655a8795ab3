//! `agent-world conform --client COMMAND`: every scenario with a driver of its own; and `--mutants`: the same with a driver
//! that is asked to do one thing wrong, which the named check must notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use serde_json::json;

use super::{
    Stop,
    play::{Played, play},
    scenario::{self, Scenario},
};
use crate::conform::{command::print, report::Verdict};

/// How many scenarios run at the same time.
const WIDTH: usize = 3;
/// As few scenarios and broken clients as there may be; fewer means that some were lost on the way.
const FLOOR: usize = 20;
/// The broken clients by name, and the checks that each must fail.
const MUTANTS: &str = include_str!("../../../tests/conformance/client-mutants.json");
/// What holds in every scenario.
const STANDING: [&str; 3] = ["standing#valid-frames", "standing#own-ids", "standing#version"];

const NOBODY: &str = "nothing could be tested: the driver never connected";

/// What is asked for on the command line.
pub struct Asked<'o> {
    pub command: &'o str,
    pub only: &'o [String],
    pub scenarios: Option<&'o Path>,
    pub list: bool,
    pub mutants: bool,
    pub json: bool,
    pub limit: Duration,
}

pub async fn run(asked: &Asked<'_>) -> Result<Verdict, String> {
    let mut all = match asked.scenarios {
        Some(dir) => scenario::read(dir).map_err(|error| format!("--scenarios: {error}"))?,
        None => scenario::embedded()?,
    };
    let every = all.len();
    all.retain(|one| asked.only.is_empty() || asked.only.iter().any(|part| one.name.contains(part.as_str())));
    if all.is_empty() {
        return Err("no scenario has such a name; --list shows them".to_owned());
    }
    if asked.list {
        print(&list(&all, asked.json)).map_err(|error| error.to_string())?;
        return Ok(Verdict::Passed);
    }
    if asked.mutants {
        return prove(asked, &all, all.len() == every).await;
    }
    let since = Instant::now();
    let jobs = futures_util::stream::iter(&all).map(|one| play(one, asked.command, None, asked.limit));
    let mut played: Vec<Played> = Vec::new();
    let mut running = jobs.buffered(WIDTH);
    while let Some(one) = running.next().await {
        if !asked.json {
            let mark = if one.result.is_ok() { "✓" } else { "✗" };
            eprintln!("{mark} {:<22} {} checks", one.scenario, one.held.len());
        }
        played.push(one);
    }
    print(&report(asked, &played, since.elapsed())).map_err(|error| error.to_string())?;
    if !played.iter().any(|one| one.connected) {
        return Err(NOBODY.to_owned());
    }
    let failed = played.iter().any(|one| one.result.is_err());
    let whole = asked.only.is_empty() && asked.scenarios.is_none();
    Ok(match (failed, whole && played.len() < FLOOR) {
        (true, _) => Verdict::Failed,
        (_, true) => Verdict::Unusable,
        _ => Verdict::Passed,
    })
}

fn list(scenarios: &[Scenario], as_json: bool) -> String {
    if as_json {
        let one = |one: &Scenario| json!({"name": one.name, "title": one.title, "rules": one.rules, "checks": one.checks().collect::<Vec<_>>()});
        return format!("{:#}\n", json!(scenarios.iter().map(one).collect::<Vec<_>>()));
    }
    let mut text = String::new();
    for one in scenarios {
        let _ = writeln!(text, "{:<22} {}  [{}]", one.name, one.title, one.rules.join(" "));
        for check in one.checks() {
            let _ = writeln!(text, "    {check}");
        }
    }
    text
}

fn report(asked: &Asked<'_>, played: &[Played], elapsed: Duration) -> String {
    let held: usize = played.iter().map(|one| one.held.len()).sum();
    let passed = played.iter().filter(|one| one.result.is_ok()).count();
    if asked.json {
        let one = |one: &Played| {
            let (outcome, check, reason) = match &one.result {
                Ok(()) => ("passed", None, None),
                Err(Stop::Failed(check, reason)) => ("failed", Some(check), Some(reason)),
                Err(Stop::Kit(reason)) => ("kit", None, Some(reason)),
            };
            json!({"scenario": one.scenario, "outcome": outcome, "check": check, "reason": reason, "held": one.held,
                   "conversation": if one.result.is_ok() { &[][..] } else { &one.told[..] }})
        };
        let all: Vec<_> = played.iter().map(one).collect();
        let all = json!({"passed": passed, "scenarios": all, "checks": held, "seconds": elapsed.as_secs_f64()});
        return format!("{all}\n");
    }
    let mut text = String::new();
    for one in played {
        let told = match &one.result {
            Ok(()) => continue,
            // A standing check does not name where it failed.
            Err(Stop::Failed(check, reason)) if check.starts_with("standing#") => {
                format!("✗ {}, {check}\n    {reason}", one.scenario)
            }
            Err(Stop::Failed(check, reason)) => format!("✗ {check}\n    {reason}"),
            Err(Stop::Kit(reason)) => {
                format!("✗ {}: a fault of the kit, not of the client\n    {reason}", one.scenario)
            }
        };
        let _ = writeln!(text, "\n{told}\n    the conversation:");
        for line in &one.told {
            let _ = writeln!(text, "      {line}");
        }
    }
    let _ = writeln!(
        text,
        "\n{passed} of {} scenarios passed; {held} checks held; {:.1} s",
        played.len(),
        elapsed.as_secs_f64()
    );
    text
}

/// Each broken client must fail the checks that stand beside it, and each check must be failed by one.
async fn prove(asked: &Asked<'_>, all: &[Scenario], whole: bool) -> Result<Verdict, String> {
    let table: BTreeMap<String, Vec<String>> = serde_json::from_str(MUTANTS).map_err(|error| error.to_string())?;
    let since = Instant::now();
    let mut jobs = Vec::new();
    for (mutant, checks) in &table {
        for check in checks {
            // A standing check says in which scenario it is provoked.
            let (place, expected) =
                check.split_once(' ').unwrap_or_else(|| (check.split('#').next().unwrap_or(check), check));
            match all.iter().find(|one| one.name == place) {
                Some(scenario) => jobs.push((mutant.as_str(), expected.to_owned(), scenario)),
                None if whole => return Err(format!("{mutant}: there is no scenario {place}")),
                None => {}
            }
        }
    }
    let known: BTreeSet<String> = all.iter().flat_map(Scenario::checks).chain(STANDING.map(str::to_owned)).collect();
    let named: BTreeSet<String> = jobs.iter().map(|(_, check, _)| check.clone()).collect();
    let (count, mut wrong) = (jobs.len(), Vec::new());
    if whole {
        wrong.extend(known.difference(&named).map(|check| format!("{check} is failed by no broken client")));
        if table.len() < FLOOR {
            wrong.push(format!("there are only {} broken clients", table.len()));
        }
    }
    wrong.extend(named.difference(&known).map(|check| format!("{check} is no check")));
    let jobs = futures_util::stream::iter(jobs).map(|(mutant, check, scenario)| async move {
        (mutant, check, play(scenario, asked.command, Some(mutant), asked.limit).await)
    });
    let mut running = jobs.buffered(WIDTH);
    let mut connected = false;
    while let Some((mutant, check, played)) = running.next().await {
        connected |= played.connected;
        let found = match played.result {
            Err(Stop::Failed(found, _)) if found == check => {
                if !asked.json {
                    eprintln!("✓ {mutant:<24} fails {check}");
                }
                continue;
            }
            Ok(()) => "nothing".to_owned(),
            Err(Stop::Failed(found, reason)) => format!("{found} ({reason})"),
            Err(Stop::Kit(reason)) => format!("the kit itself: {reason}"),
        };
        wrong.push(format!("{mutant} must fail {check}, and fails {found}"));
    }
    let mut text: String = wrong.iter().map(|one| format!("✗ {one}\n")).collect();
    let seconds = since.elapsed().as_secs_f64();
    let (broken, checks) = (table.len(), known.len());
    let _ = writeln!(
        text,
        "{broken} broken clients, {checks} checks, {count} proofs, {} wrong; {seconds:.1} s",
        wrong.len()
    );
    print(&text).map_err(|error| error.to_string())?;
    if count > 0 && !connected {
        return Err(NOBODY.to_owned());
    }
    Ok(if wrong.is_empty() { Verdict::Passed } else { Verdict::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::rules::rules;

    #[test]
    fn scenarios_name_rules_that_exist_and_every_check_once() {
        let all = scenario::embedded().expect("they can be read");
        assert!(all.len() >= FLOOR, "{}", all.len());
        let mut checks = BTreeSet::new();
        for one in &all {
            assert!(!one.rules.is_empty() && !one.steps.is_empty(), "{}", one.name);
            let unknown: Vec<_> = one.rules.iter().filter(|rule| !rules().contains_key(*rule)).collect();
            assert!(unknown.is_empty(), "{}: {unknown:?} are no rules of docs/PROTOCOL.md", one.name);
            assert!(one.checks().all(|check| checks.insert(check)), "{} names a check twice", one.name);
        }
        assert!(checks.len() >= 50, "{}", checks.len());
        let table: BTreeMap<String, Vec<String>> = serde_json::from_str(MUTANTS).expect("it is a table");
        assert!(table.len() >= FLOOR && table.values().all(|checks| !checks.is_empty()));
    }

    /// Far beyond what a test waits for.
    const LONG: Duration = Duration::from_secs(1_000);

    #[cfg(unix)]
    #[tokio::test]
    async fn a_driver_that_ends_before_it_connects_is_told_so_at_once() {
        let all = scenario::embedded().expect("they can be read");
        for (command, how) in [
            ("true", "exit status: 0"),
            ("no-such-driver-anywhere", "exit status: 127"),
            ("kill -KILL $$", "signal: 9 (SIGKILL)"),
            ("sh -c 'exit 7'; exit 3", "exit status: 3"),
        ] {
            let played = play(&all[0], command, None, LONG).await;
            let told = format!("the driver ended ({how}) without connecting");
            assert!(matches!(&played.result, Err(Stop::Failed(_, reason)) if *reason == told), "{:?}", played.result);
            assert!(!played.connected);
        }
        let played = play(&all[0], "sleep 1000", None, Duration::from_millis(300)).await;
        assert!(matches!(&played.result, Err(Stop::Failed(_, reason)) if reason == "the client did not connect"));
    }

    #[tokio::test]
    async fn without_a_connection_nothing_is_tested() {
        for (mutants, command) in [(false, "true"), (true, "true"), (false, "no-such-driver-anywhere")] {
            let asked = Asked { command, only: &[], scenarios: None, list: false, mutants, json: true, limit: LONG };
            assert_eq!(run(&asked).await.map(drop), Err(NOBODY.to_owned()), "{command}");
        }
    }
}
