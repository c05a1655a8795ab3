//! Patterns that need no regex engine: a sequence of character classes with bounds, where greedy matching is never
//! wrong. Everything else the profile allows goes to `regex`.

use std::{iter::Peekable, str::Chars};

use proc_macro2::{Literal, TokenStream};
use quote::quote;

/// `{min,max}` characters out of `class`, which holds inclusive ranges of ASCII.
struct Step {
    class: Vec<(u8, u8)>,
    min: usize,
    max: usize,
}

/// The check of `text` against `pattern`.
pub(super) fn check(pattern: &str) -> TokenStream {
    if let Some(steps) = steps(pattern) {
        return check_steps(pattern, &steps);
    }
    match ending(pattern) {
        Some((steps, last)) => {
            let (check, last) = (check_steps(pattern, &steps), last.tokens());
            quote! {
                #check
                static LAST: Step = #last;
                pattern::last(text, &LAST, #pattern)?;
            }
        }
        None => quote! {
            static PATTERN: std::sync::LazyLock<regex::Regex> =
                std::sync::LazyLock::new(|| pattern::compiled(#pattern));
            pattern::regex(text, &PATTERN)?;
        },
    }
}

fn check_steps(pattern: &str, steps: &[Step]) -> TokenStream {
    let count = Literal::usize_unsuffixed(steps.len());
    let steps = steps.iter().map(Step::tokens);
    quote! {
        static STEPS: [Step; #count] = [#(#steps),*];
        pattern::steps(text, &STEPS, #pattern)?;
    }
}

impl Step {
    fn tokens(&self) -> TokenStream {
        let ranges: Vec<u8> = self.class.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let ranges = Literal::byte_string(&ranges);
        let (min, max) = (Literal::usize_unsuffixed(self.min), Literal::usize_unsuffixed(self.max));
        quote!(Step::new(#ranges, #min, #max))
    }
}

/// `None` where there are groups, or where taking as much as possible could leave too little for what follows.
fn steps(pattern: &str) -> Option<Vec<Step>> {
    let steps = sequence(pattern.strip_prefix('^')?.strip_suffix('$')?)?;
    let greedy_is_right = (0..steps.len()).all(|at| {
        let step = &steps[at];
        let optional = steps[at + 1..].iter().take_while(|next| next.min == 0).count();
        let mut following = steps[at + 1..].iter().take(optional + 1);
        step.min == step.max || following.all(|next| disjoint(&step.class, &next.class))
    });
    greedy_is_right.then_some(steps)
}

/// `^x(y{0,9}z)?$`, where whatever x is may stand for z and z for y: `^xy{0,10}$`, and z is what it ends with.
fn ending(pattern: &str) -> Option<(Vec<Step>, Step)> {
    let (head, group) = pattern.strip_prefix('^')?.strip_suffix(")?$")?.split_once('(')?;
    let mut steps = sequence(head)?;
    let [mut inside, last] = <[Step; 2]>::try_from(sequence(group)?).ok()?;
    let first = steps.last()?;
    let fits = within(&first.class, &last.class) && within(&last.class, &inside.class);
    if !fits || steps.iter().any(|step| step.min != step.max) || inside.min != 0 || (last.min, last.max) != (1, 1) {
        return None;
    }
    inside.max += 1;
    steps.push(inside);
    Some((steps, last))
}

fn sequence(pattern: &str) -> Option<Vec<Step>> {
    let mut chars = pattern.chars().peekable();
    let mut steps = Vec::new();
    while let Some(c) = chars.next() {
        let class = match c {
            '[' => class(&mut chars)?,
            '(' | ')' | '|' => return None,
            '\\' => single(chars.next()?)?,
            c => single(c)?,
        };
        let (min, max) = bounds(&mut chars)?;
        steps.push(Step { class, min, max });
    }
    Some(steps)
}

fn single(c: char) -> Option<Vec<(u8, u8)>> {
    let byte = u8::try_from(c).ok()?;
    Some(vec![(byte, byte)])
}

/// What stands between `[` and `]`.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Vec<(u8, u8)>> {
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next()? {
            ']' => return Some(ranges),
            '^' if ranges.is_empty() => return None,
            '\\' => chars.next()?,
            c => c,
        };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                chars.next();
                if chars.next() == Some('\\') { chars.next()? } else { to }
            }
            _ => from,
        };
        ranges.push((u8::try_from(from).ok()?, u8::try_from(to).ok()?));
    }
}

/// The quantifier that follows, if one does. One without an upper bound is left to `regex`.
fn bounds(chars: &mut Peekable<Chars<'_>>) -> Option<(usize, usize)> {
    match chars.peek() {
        Some('?') => {
            chars.next();
            Some((0, 1))
        }
        Some('*' | '+') => None,
        Some('{') => {
            let text: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
            let (min, max) = text.split_once(',').unwrap_or((&text, &text));
            Some((min.parse().ok()?, max.parse().ok()?))
        }
        _ => Some((1, 1)),
    }
}

fn disjoint(one: &[(u8, u8)], other: &[(u8, u8)]) -> bool {
    one.iter().all(|(from, to)| other.iter().all(|(start, end)| to < start || end < from))
}

fn within(inner: &[(u8, u8)], outer: &[(u8, u8)]) -> bool {
    inner
        .iter()
        .all(|(from, to)| (*from..=*to).all(|byte| outer.iter().any(|(start, end)| (*start..=*end).contains(&byte))))
}

#[cfg(test)]
mod tests {
    use super::{ending, steps};

    #[test]
    fn an_ending_of_its_own_is_looked_at_last() {
        for (pattern, expected) in [
            ("^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?$", Some((2, 63))),
            ("^a{3}([a-z]{0,5}[a-f])?$", Some((2, 6))),
            ("^ab([ab]{0,1}b)?$", Some((3, 2))),
            // What it may end with before the group, it may not end with behind it; and other things that differ.
            ("^[a-z]([a-z]{0,5}[a-f])?$", None),
            ("^a([b-z]{0,5}[a-f])?$", None),
            ("^a([a-z]{1,5}[a-f])?$", None),
            ("^a([a-z]{0,5}[a-f]{2})?$", None),
            ("^a{1,2}([a-z]{0,5}[a-f])?$", None),
            ("^a([a-z]{0,5})?$", None),
            ("^([a-z]{0,5}[a-f])?$", None),
            ("^a([a-z]{0,5}[a-f])$", None),
            ("^a([a-z]{0,5}(b|c))?$", None),
        ] {
            let found = ending(pattern).map(|(steps, _)| (steps.len(), steps[steps.len() - 1].max));
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn only_what_is_read_right_in_one_pass_becomes_steps() {
        for (pattern, expected) in [
            ("^[!-~]{1,128}$", Some(1)),
            ("^[A-Za-z][A-Za-z0-9_-]{0,63}$", Some(2)),
            ("^https?://[!-~]{1,500}$", Some(9)),
            ("^[a-z]{1,9}[0-9]?[.]json$", Some(7)),
            ("^\\[[\\]\\-]{3}$", Some(2)),
            ("^$", Some(0)),
            // Taking all would leave nothing for the rest.
            ("^a{0,2}a$", None),
            ("^a?b?a$", None),
            ("^[a-c]{1,3}d?[c-e]$", None),
            ("^[a-z]{1,2}[0-9]{0,3}[m-n]$", None),
            // For regex.
            ("^a+$", None),
            ("^a{1,}$", None),
            ("^(a|b)$", None),
            ("^[^a]$", None),
        ] {
            assert_eq!(steps(pattern).map(|steps| steps.len()), expected, "{pattern}");
        }
    }
}
