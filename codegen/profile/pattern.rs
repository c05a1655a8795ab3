//! What a pattern may be.

/// Anchored, ASCII, classes, quantifiers, groups and alternation: what every dialect reads alike.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let Some(inner) = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else {
        return Err("a pattern is anchored at both ends".to_owned());
    };
    if !inner.is_ascii() {
        return Err("a pattern is ASCII".to_owned());
    }
    let mut chars = inner.chars().peekable();
    let (mut in_class, mut depth, mut top_level_alternation) = (false, 0_i32, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped) if "\\.+*?()[]{}^$|/-".contains(escaped) => {}
                Some(class) => return Err(format!("\\{class} means different things in different dialects")),
                None => return Err("ends in a backslash".to_owned()),
            },
            '[' if in_class => return Err("a [ in a class is written \\[".to_owned()),
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '(' => {
                depth += 1;
                if chars.peek() == Some(&'?') {
                    return Err("(?…) is not read alike everywhere".to_owned());
                }
            }
            ')' => depth -= 1,
            '|' if depth == 0 => top_level_alternation = true,
            '^' | '$' => return Err("an anchor stands only at the ends".to_owned()),
            '.' => return Err(". means different things in different dialects".to_owned()),
            '?' | '+' if chars.peek() == Some(&'?') || chars.peek() == Some(&'+') => {
                return Err("lazy and possessive quantifiers are not read alike everywhere".to_owned());
            }
            _ => {}
        }
    }
    if top_level_alternation {
        return Err("the anchors do not hold a whole alternation".to_owned());
    }
    if depth != 0 || in_class {
        return Err("is not balanced".to_owned());
    }
    Ok(())
}
