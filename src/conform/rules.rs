//! The rules of docs/PROTOCOL.md: `[R4.7]` stands before the words that state it.

use std::{collections::BTreeMap, sync::OnceLock};

use regex::Regex;

const PROTOCOL: &str = include_str!("../../docs/PROTOCOL.md");

/// Every rule's words by its id, in the words of the page up to the next rule.
pub fn rules() -> &'static BTreeMap<String, String> {
    static RULES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    RULES.get_or_init(|| read(PROTOCOL))
}

fn read(page: &str) -> BTreeMap<String, String> {
    let Ok(id) = Regex::new(r"\[(R[0-9]+\.[0-9]+)\]") else { return BTreeMap::new() };
    let mut rules = BTreeMap::new();
    for line in page.lines() {
        let places: Vec<_> = id.captures_iter(line).filter_map(|found| Some((found.get(0)?, found.get(1)?))).collect();
        for (index, (place, name)) in places.iter().enumerate() {
            let end = places.get(index + 1).map_or(line.len(), |(next, _)| next.start());
            let words = line[place.end()..end].trim_matches([' ', '|', '(', ';', ',']);
            // What the list or table is about stands before its first rule.
            let lead = line[..places[0].0.start()].trim_matches([' ', '|', '-', '(', '·', '*']);
            let words = if lead.is_empty() { words.to_owned() } else { format!("{lead} … {words}") };
            rules.insert(name.as_str().to_owned(), words);
        }
    }
    rules
}

/// That a file names only rules that there are: a misspelt one would seem to be checked.
pub fn known<'r>(named: impl IntoIterator<Item = &'r String>) -> Result<(), String> {
    match named.into_iter().find(|id| !rules().contains_key(*id)) {
        None => Ok(()),
        Some(id) => Err(format!("docs/PROTOCOL.md has no rule {id}")),
    }
}

/// In the order of the page: `R4.10` after `R4.9`.
pub fn order(id: &str) -> (u32, u32) {
    let number = |text: &str| text.parse().unwrap_or_default();
    id.trim_start_matches('R').split_once('.').map_or((0, 0), |(section, rule)| (number(section), number(rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_the_words_behind_its_id() {
        let rules = read("- [R1.1] One. [R1.2] Two,\n| `ping` | [R1.3] `pong` | – |\nno rule");
        let words = |id: &str| rules[id].as_str();
        assert_eq!((words("R1.1"), words("R1.2")), ("One.", "Two"));
        assert_eq!(words("R1.3"), "`ping` … `pong` | –");
        assert!(super::rules().len() >= 400);
        assert!(order("R4.10") > order("R4.9"));
    }
}
