//! A run as JUnit writes it, which every CI system shows.

use std::fmt::Write as _;

use super::{report::Report, run::Outcome};

pub fn junit(report: &Report<'_>) -> String {
    let failures = report.played.iter().filter(|one| matches!(one.outcome, Outcome::Failed(_) | Outcome::Harness(_)));
    let skipped = report.played.iter().filter(|one| matches!(one.outcome, Outcome::Skipped(_)));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"agent-world conform\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        report.played.len(),
        failures.count(),
        skipped.count(),
        report.elapsed.as_secs_f64()
    );
    for played in &report.played {
        let (area, name) = played.scenario.split_once('/').unwrap_or(("", &played.scenario));
        let head = format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(area),
            escaped(name),
            played.elapsed.as_secs_f64()
        );
        let body = match &played.outcome {
            Outcome::Passed => None,
            Outcome::Skipped(why) => Some(format!("<skipped message=\"{}\"/>", escaped(why))),
            Outcome::Harness(why) => Some(format!("<failure type=\"harness\" message=\"{}\"/>", escaped(why))),
            Outcome::Failed(failure) => Some(format!(
                "<failure type=\"{}\" message=\"{}\">{}</failure>",
                escaped(&failure.checks().join(" ")),
                escaped(&failure.text),
                escaped(&failure.told.join("\n"))
            )),
        };
        let _ = match body {
            None => writeln!(text, "{head}/>"),
            Some(body) => writeln!(text, "{head}>{body}</testcase>"),
        };
    }
    text.push_str("</testsuite>\n");
    text
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
