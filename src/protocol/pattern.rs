//! How a text is held to the pattern of its definition: by [`steps`] where the build found that one pass will do, by
//! `regex` otherwise.

use std::sync::LazyLock;

use regex::Regex;

use super::Invalid;

/// `min` to `max` bytes out of an ASCII class: one part of a pattern that needs no regex engine.
pub(crate) struct Step {
    class: [bool; 256],
    min: usize,
    max: usize,
}

impl Step {
    /// `ranges` holds first and last byte of each range.
    pub(crate) const fn new(ranges: &[u8], min: usize, max: usize) -> Self {
        let (mut class, mut at) = ([false; 256], 0);
        while at + 1 < ranges.len() {
            let mut byte = ranges[at] as usize;
            while byte <= ranges[at + 1] as usize {
                class[byte] = true;
                byte += 1;
            }
            at += 2;
        }
        Self { class, min, max }
    }
}

/// Checks a pattern that the build found to be a sequence of [`Step`]s, of which each takes all that it can.
pub(crate) fn steps(text: &str, steps: &[Step], pattern: &str) -> Result<(), Invalid> {
    let mut rest = text.as_bytes();
    for step in steps {
        let most = rest.len().min(step.max);
        let other = rest[..most].iter().position(|byte| !step.class[usize::from(*byte)]);
        let taken = other.unwrap_or(most);
        if taken < step.min {
            return Err(Invalid::new("pattern", pattern));
        }
        rest = &rest[taken..];
    }
    if rest.is_empty() { Ok(()) } else { Err(Invalid::new("pattern", pattern)) }
}

/// Checks that a text, if there is any, ends with what `class` holds.
pub(crate) fn last(text: &str, class: &Step, pattern: &str) -> Result<(), Invalid> {
    match text.as_bytes().last() {
        Some(byte) if !class.class[usize::from(*byte)] => Err(Invalid::new("pattern", pattern)),
        _ => Ok(()),
    }
}

/// Checks any other pattern.
pub(crate) fn regex(text: &str, regex: &LazyLock<Regex>) -> Result<(), Invalid> {
    if regex.is_match(text) { Ok(()) } else { Err(Invalid::new("pattern", regex.as_str())) }
}

/// Compiles a pattern of the schema. The build has compiled it before, so it cannot fail here.
pub(crate) fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("a pattern of the schema does not compile: {error}"))
}
