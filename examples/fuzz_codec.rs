//! Fuzzes the codec against JSON Schema: near misses made from the schemas, and texts with random bytes changed, until
//! time is over. A disagreement ends it with the text that caused it.
//!
//! ```sh
//! cargo run --release --example fuzz_codec -- --seconds 60 --seed 7
//! ```
//!
//! The same seed gives the same texts. Without `--seed` the clock chooses one, which is printed.

#[path = "../codegen/mod.rs"]
#[expect(dead_code, reason = "the build uses the rest")]
mod codegen;
#[path = "../tests/differential/mutate.rs"]
mod mutate;
#[path = "../tests/differential/node.rs"]
mod node;
#[path = "../tests/differential/random.rs"]
mod random;
#[path = "../tests/differential/subject.rs"]
mod subject;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent_world::protocol::{
    Validate,
    codec::{self, set_validate},
};
use mutate::{apply, variants};
use random::Random;
use subject::{Subject, Verdict, has_duplicate_key, subjects};

fn main() {
    let seconds = argument("--seconds").unwrap_or(10);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let seed = argument("--seed").unwrap_or(clock);
    println!("seed {seed}, {seconds} s");
    set_validate(Validate::Both);
    let subjects = subjects();
    let mut random = Random(seed);
    let (end, mut texts, mut accepted) = (Instant::now() + Duration::from_secs(seconds), 0_u64, 0_u64);
    while Instant::now() < end {
        let Some(subject) = random.pick(&subjects) else { return };
        let Some(example) = random.pick(&subject.examples) else { continue };
        let variants = variants(&subject.schema, &subject.schema, example);
        for _ in 0..500 {
            let (mut node, mut probe) = (example.clone(), "example");
            for _ in 0..random.below(4) {
                if let Some(variant) = random.pick(&variants) {
                    apply(&mut node, variant);
                    probe = variant.probe;
                }
            }
            let text = scramble(node.to_string(), &mut random);
            accepted += u64::from(check(subject, probe, &text));
            texts += 1;
        }
    }
    println!("{texts} texts, {accepted} accepted, {} disagreements", codec::disagreements());
    assert_eq!(codec::disagreements(), 0, "typed parse and compiled schemas disagree");
}

/// Whether the text was accepted, by both.
fn check(subject: &Subject, probe: &str, text: &str) -> bool {
    let (typed, reference) = ((subject.decode)(text), subject.reference(text));
    let agreed = typed.is_ok() == (reference == Verdict::Accepted);
    let duplicate = has_duplicate_key(text);
    let explained = typed.is_err() && reference == Verdict::Accepted && duplicate;
    assert!(
        agreed || explained,
        "{} ({probe}): typed parse says {typed:?}, the schema {reference:?}, to\n{text}",
        subject.name
    );
    assert!(typed.is_err() || !duplicate, "a key that comes twice was accepted in\n{text}");
    typed.is_ok()
}

/// Half of the texts get some characters changed, cut or moved.
fn scramble(text: String, random: &mut Random) -> String {
    const ALPHABET: &[char] = &[
        '{', '}', '[', ']', '"', ':', ',', '\\', ' ', '\n', '0', '1', '9', '-', '+', '.', 'e', 'u', 'a', 'Z', 'é',
        '😀', '\0',
    ];
    let mut chars: Vec<char> = text.chars().collect();
    if random.below(2) == 0 {
        return text;
    }
    for _ in 0..=random.below(3) {
        let (at, other) = (random.below(chars.len()), random.below(chars.len()));
        let Some(with) = random.pick(ALPHABET).copied().filter(|_| !chars.is_empty()) else { break };
        match random.below(5) {
            0 => drop(chars.remove(at)),
            1 => chars.insert(at, with),
            2 => chars[at] = with,
            3 => chars.swap(at, other),
            _ => {
                let part: Vec<char> = chars[at.min(other)..at.max(other)].iter().copied().take(40).collect();
                chars.splice(at..at, part);
            }
        }
    }
    chars.into_iter().collect()
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)?.parse().ok()
}
