//! The proof behind "the typed parse is the validation" (docs/DESIGN.md, decision 1): typed parse and JSON Schema
//! come to one verdict, on valid documents and on near misses made from the schemas themselves.
//!
//! Differences that are meant, and nothing else: an object that names a key twice (no `Value` can show that), text
//! that is not JSON, and nesting deeper than 32.

#[path = "../../codegen/mod.rs"]
#[expect(dead_code, reason = "the build uses the rest")]
mod codegen;
mod mutate;
mod node;
mod random;
mod subject;
mod wording;

use std::collections::{BTreeMap, BTreeSet};

use agent_world::protocol::{MAX_VIOLATIONS, codec};
use mutate::{Variant, apply, variants};
use node::Node;
use random::Random;
use subject::{Subject, Verdict, has_duplicate_key, subjects};
use wording::assert_worded;

const FRAMES: usize = 200_000;

/// How many texts were accepted and refused, by what they probe.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, [usize; 2]>);

impl Tally {
    fn total(&self) -> usize {
        self.0.values().flatten().sum()
    }

    /// Compares the verdicts on one text.
    fn check(&mut self, subject: &Subject, probe: &'static str, text: &str) {
        let typed = (subject.decode)(text);
        let reference = subject.reference(text);
        let explained = typed.is_err() && reference == Verdict::Accepted && has_duplicate_key(text);
        let agreed = typed.is_ok() == (reference == Verdict::Accepted);
        assert!(
            agreed || explained,
            "{}: typed parse says {typed:?}, the schema {reference:?}, to\n{text}",
            subject.name
        );
        assert_eq!(
            codec::disagreements(),
            0,
            "{}: typed parse and compiled schema disagree about\n{text}",
            subject.name
        );
        if let Err(rejection) = &typed {
            assert_worded(rejection, text);
            let count = rejection.violations().len();
            assert!((1..=MAX_VIOLATIONS).contains(&count), "{count} violations in {text}");
        }
        assert!(typed.is_err() || !has_duplicate_key(text), "a key that comes twice was accepted in {text}");
        self.0.entry(probe).or_default()[usize::from(typed.is_err())] += 1;
    }
}

#[test]
fn typed_parse_and_schema_agree() {
    let subjects = subjects();
    let mut tally = Tally::default();
    // Each near miss alone.
    for subject in &subjects {
        for example in &subject.examples {
            tally.check(subject, "example", &example.to_string());
            for variant in variants(&subject.schema, &subject.schema, example) {
                let mut node = example.clone();
                assert!(apply(&mut node, &variant));
                tally.check(subject, variant.probe, &node.to_string());
            }
        }
    }
    let alone = tally.total();
    // Then several at once.
    let mut random = Random(1);
    while tally.total() < FRAMES {
        let Some(subject) = random.pick(&subjects) else { break };
        let Some(example) = random.pick(&subject.examples) else { continue };
        let variants = variants(&subject.schema, &subject.schema, example);
        // By what they probe first: what few places have is looked at as often as what is everywhere.
        let probes: BTreeSet<&str> = variants.iter().map(|variant| variant.probe).collect();
        let by_probe: Vec<Vec<&Variant>> =
            probes.iter().map(|probe| variants.iter().filter(|variant| variant.probe == *probe).collect()).collect();
        // Many combinations of one walk: the walk costs more than the check.
        for _ in 0..500 {
            let mut node: Node = example.clone();
            let mut probe = "combined";
            for _ in 0..=random.below(3) {
                if let Some(variant) = random.pick(&by_probe).and_then(|variants| random.pick(variants)) {
                    apply(&mut node, variant);
                    probe = if probe == "combined" { variant.probe } else { "combined" };
                }
            }
            tally.check(subject, probe, &node.to_string());
        }
    }
    println!("{} texts, {alone} of them single near misses of {} kinds of document", tally.total(), subjects.len());
    println!("{:>22} {:>9} {:>9}", "probe", "accepted", "refused");
    for (probe, [accepted, refused]) in &tally.0 {
        println!("{probe:>22} {accepted:>9} {refused:>9}");
    }
    assert!(tally.total() >= FRAMES);
    assert!(subjects.len() >= 9 + 6, "a kind of document is missing");
    for probe in ["example", "order", "escape", "optional", "combined", "uniqueItems"] {
        assert!(tally.0[probe][0] > 30, "too few accepted texts probe {probe}");
    }
    for probe in [
        "required",
        "additionalProperties",
        "duplicateKey",
        "type",
        "null",
        "depth",
        "pattern",
        "maxLength",
        "minLength",
        "minimum",
        "maximum",
        "maxItems",
        "minItems",
        "uniqueItems",
        "number",
        "surrogate",
        "array for object",
        "oneOf",
        "const",
        "enum",
    ] {
        assert!(tally.0[probe][1] > 5, "too few refused texts probe {probe}");
    }
}
