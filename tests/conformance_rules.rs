//! Every rule of docs/PROTOCOL.md has an id, `[R4.7]`: section and number. Scenarios and mutants name them, so they
//! must be unique and dense, and each must stand before words that state something.

use std::{collections::BTreeMap, fs};

/// As many rules as there were when this was last looked at; fewer means that some were lost.
const FLOOR: usize = 400;

#[test]
fn rule_ids_are_unique_and_dense() {
    let (rules, wrong) = rules(&fs::read_to_string("docs/PROTOCOL.md").expect("the protocol is there"));
    assert!(wrong.is_empty(), "rules of docs/PROTOCOL.md:\n{}", wrong.join("\n"));
    assert!(rules.len() >= FLOOR, "only {} rules have an id", rules.len());
    println!("{} rules", rules.len());
}

#[test]
fn what_is_wrong_with_an_id_is_told() {
    let faults: [(&str, &str); 5] = [
        ("## 1. A\n[R1.1] one.\n[R1.1] two.", "[R1.1]: [R1.2] is due"),
        ("## 1. A\n[R1.1] one.\n[R1.3] three.", "[R1.3]: [R1.2] is due"),
        ("## 1. A\n[R1.1] one.\n## 2. B\n[R1.2] two.", "[R1.2]: stands in section 2"),
        ("## 1. A\n| [R1.1] | two |", "[R1.1]: states nothing"),
        ("## 1. A\n[R1.1] one. [R1.] two.", "[R1.] is no id"),
    ];
    for (text, expected) in faults {
        let (_, wrong) = rules(text);
        assert!(wrong.iter().any(|fault| fault.contains(expected)), "{text:?} gave {wrong:?}");
    }
}

/// The rules with their words, and what is wrong with their ids.
fn rules(text: &str) -> (BTreeMap<(u32, u32), String>, Vec<String>) {
    let (mut rules, mut wrong) = (BTreeMap::new(), Vec::new());
    let (mut section, mut number) = (0, 0);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ").and_then(|rest| rest.split_once('.')) {
            (section, number) = (heading.0.parse().unwrap_or(0), 0);
        }
        for rest in line.split("[R").skip(1) {
            let (id, words) = rest.split_once(']').unwrap_or((rest, ""));
            let parsed = id.split_once('.').and_then(|(s, n)| Some((s.parse().ok()?, n.parse().ok()?)));
            let Some(parsed): Option<(u32, u32)> = parsed else {
                wrong.push(format!("[R{id}] is no id"));
                continue;
            };
            number += 1;
            if parsed.0 != section {
                wrong.push(format!("[R{id}]: stands in section {section}"));
            } else if parsed.1 != number {
                wrong.push(format!("[R{id}]: [R{section}.{number}] is due"));
            }
            // In a table, a rule ends with its cell.
            let words = words.split(" | ").next().unwrap_or_default();
            if !words.contains(char::is_alphanumeric) {
                wrong.push(format!("[R{id}]: states nothing"));
            }
            rules.insert(parsed, words.trim().to_owned());
        }
    }
    (rules, wrong)
}
