//! A run as JUnit writes it, which every CI system shows. What fails as the baseline says is skipped there, and an entry
//! of the baseline that should go is a test that fails: what it shows and the exit code say the same.

use std::fmt::Write as _;

use super::{report::Report, run::Outcome};

pub fn junit(report: &Report<'_>) -> String {
    let (mut cases, mut count, mut failures, mut skipped) = (String::new(), 0, 0, 0);
    let mut case = |name: &str, seconds: f64, body: Option<Case>| {
        count += 1;
        let (area, name) = name.split_once('/').unwrap_or(("", name));
        let head =
            format!("  <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"", escaped(area), escaped(name));
        let _ = match body {
            None => writeln!(cases, "{head}/>"),
            Some(Case::Skipped(why)) => {
                skipped += 1;
                writeln!(cases, "{head}><skipped message=\"{}\"/></testcase>", escaped(&why))
            }
            Some(Case::Failed { kind, message, told }) => {
                failures += 1;
                let (kind, message, told) = (escaped(&kind), escaped(&message), escaped(&told));
                writeln!(cases, "{head}><failure type=\"{kind}\" message=\"{message}\">{told}</failure></testcase>")
            }
        };
    };
    for played in &report.played {
        let body = match &played.outcome {
            Outcome::Passed => None,
            Outcome::Skipped(why) => Some(Case::Skipped(why.clone())),
            Outcome::Harness(why) => Some(Case::failed("harness", why)),
            Outcome::Failed(failure) if report.compared.expects(&played.scenario) => {
                Some(Case::Skipped(format!("fails as the baseline says: {}", failure.checks().join(" "))))
            }
            Outcome::Failed(failure) => Some(Case::Failed {
                kind: failure.checks().join(" "),
                message: failure.words(),
                told: format!("[{}]\n{}", failure.rules.join("] ["), failure.told.join("\n")),
            }),
        };
        case(&played.scenario, played.elapsed.as_secs_f64(), body);
    }
    for entry in &report.compared.passing {
        case(entry, 0.0, Some(Case::failed("baseline", "stands in the baseline and does not fail: take it out")));
    }
    for entry in &report.compared.unknown {
        case(entry, 0.0, Some(Case::failed("baseline", "stands in the baseline and does not exist: take it out")));
    }
    let seconds = report.elapsed.as_secs_f64();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"agent-world conform\" tests=\"{count}\" \
         failures=\"{failures}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n{cases}</testsuite>\n"
    )
}

/// A test that did not simply pass.
enum Case {
    Skipped(String),
    Failed { kind: String, message: String, told: String },
}

impl Case {
    fn failed(kind: &str, message: &str) -> Self {
        Self::Failed { kind: kind.to_owned(), message: message.to_owned(), told: String::new() }
    }
}

/// Text as XML can hold it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push_str(&format!("&#{};", u32::from(c))),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
