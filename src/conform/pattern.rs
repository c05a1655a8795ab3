//! Patterns: what a scenario expects of a frame or body. An object says only what matters; the rest is free.
//!
//! | pattern | matches |
//! |---|---|
//! | an object | an object with at least these fields; `$$id` is the field `$id` |
//! | a list | a list of as many elements, each as its pattern |
//! | another value | the same value |
//! | `"$name"` | the value captured as `name`; `"…${name}…"` a text with it inside |
//! | `"$any"`, `"$absent"` | anything that is there; nothing at all |
//! | `"$as name"` | anything that is there, and captures it |
//! | `{"$not": p}`, `{"$oneOf": [p, …]}` | what `p` does not; what any does |
//! | `{"$regex": "…", "$as": ["name", …]}` | a text; its groups are captured |
//! | `{"$contains": p}` | a text with that text in it; a list with such an element |
//! | `{"$exactly": value}` | this value and no field more |
//! | `{"$unordered": [p, …]}` | a list of as many elements, in any order |
//! | `{"$length": p}` | a text (in code points) or list of that length |
//! | `{"$min": n, "$max": n}`, `{"$above": n}` | a number in that range |
//! | `{"$type": "string"}` | a value of that JSON type |

use regex::Regex;
use serde_json::{Value, json};

use super::value::{BadValue, Values};

/// Why a value is not what was expected, and where in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    pub pointer: String,
    pub text: String,
}

/// How a comparison ends that did not succeed.
#[derive(Debug)]
pub enum No {
    /// The value is another.
    Mismatch(Mismatch),
    /// The scenario is wrong.
    Scenario(String),
}

impl From<BadValue> for No {
    fn from(bad: BadValue) -> Self {
        Self::Scenario(bad.to_string())
    }
}

/// Holds `value` against `pattern`; what it captures is added to `values` only when all of it fits.
pub fn hold(pattern: &Value, value: Option<&Value>, values: &mut Values) -> Result<(), No> {
    let mut captured = values.clone();
    compare(pattern, value, "", &mut captured)?;
    *values = captured;
    Ok(())
}

/// Whether `value` fits; captures nothing. A pattern that names what is not known yet fits nothing.
pub fn fits(pattern: &Value, value: &Value, values: &Values) -> bool {
    compare(pattern, Some(value), "", &mut values.clone()).is_ok()
}

/// The same, where a name that is not known yet stands for anything.
pub fn fits_loosely(pattern: &Value, value: &Value, values: &Values) -> bool {
    fits(&loosened(pattern, values), value, values)
}

/// `pattern` with `$any` for every name that is not known yet.
fn loosened(pattern: &Value, values: &Values) -> Value {
    match pattern {
        Value::String(text) if text == "$any" || text == "$absent" || text.starts_with("$as ") => pattern.clone(),
        Value::String(_) if values.fill(pattern).is_err() => json!("$any"),
        Value::Array(items) => Value::Array(items.iter().map(|item| loosened(item, values)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), loosened(value, values))).collect())
        }
        other => other.clone(),
    }
}

fn compare(pattern: &Value, value: Option<&Value>, at: &str, values: &mut Values) -> Result<(), No> {
    let no = |text: String| Err(No::Mismatch(Mismatch { pointer: at.to_owned(), text }));
    if pattern == "$absent" {
        return value.map_or(Ok(()), |found| no(format!("should be absent, is {}", short(found))));
    }
    if let Some(inner) = operator(pattern, "$not") {
        let Some(value) = value else { return Ok(()) };
        return match compare(inner, Some(value), at, &mut values.clone()) {
            Ok(()) => no(format!("should not be {}", short(value))),
            Err(No::Mismatch(_)) => Ok(()),
            Err(wrong) => Err(wrong),
        };
    }
    let Some(value) = value else { return no(format!("is missing; expected {}", short(pattern))) };
    match pattern {
        Value::String(text) if text == "$any" => Ok(()),
        Value::String(text) if text.starts_with("$as ") => {
            values.set(&text[4..], value.clone());
            Ok(())
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| is_operator(key)) {
                return apply(pattern, value, at, values);
            }
            if !value.is_object() {
                return no(format!("expected an object, is {}", short(value)));
            }
            for (key, expected) in fields {
                // `$$id` is the field `$id`.
                let key = if key.starts_with("$$") { &key[1..] } else { key };
                compare(expected, value.get(key), &format!("{at}/{}", escape(key)), values)?;
            }
            Ok(())
        }
        Value::Array(expected) => match value.as_array() {
            Some(found) if found.len() == expected.len() => {
                for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                    compare(expected, Some(found), &format!("{at}/{index}"), values)?;
                }
                Ok(())
            }
            _ => no(format!("expected {}, is {}", short(pattern), short(value))),
        },
        other => {
            let expected = values.fill(other)?;
            if same(&expected, value) { Ok(()) } else { no(differs(&expected, value)) }
        }
    }
}

/// A pattern with operators: all of them must hold.
fn apply(pattern: &Value, value: &Value, at: &str, values: &mut Values) -> Result<(), No> {
    let no = |text: String| Err(No::Mismatch(Mismatch { pointer: at.to_owned(), text }));
    let Value::Object(operators) = pattern else { return Ok(()) };
    for (name, operand) in operators {
        match (name.as_str(), operand) {
            ("$oneOf", Value::Array(choices)) => {
                let fitting = choices.iter().find_map(|choice| {
                    let mut captured = values.clone();
                    compare(choice, Some(value), at, &mut captured).ok().map(|()| captured)
                });
                match fitting {
                    Some(captured) => *values = captured,
                    None => return no(format!("expected one of {}, is {}", short(operand), short(value))),
                }
            }
            ("$regex", Value::String(source)) => {
                let filled = values.fill(&json!(source))?;
                let regex = Regex::new(filled.as_str().unwrap_or_default())
                    .map_err(|error| No::Scenario(format!("not a regular expression: {error}")))?;
                let found = value.as_str().and_then(|text| regex.captures(text));
                let Some(found) = found else { return no(format!("expected /{source}/, is {}", short(value))) };
                for (index, name) in names(operators.get("$as")).enumerate() {
                    let group = found.get(index + 1).map(|group| json!(group.as_str()));
                    values.set(name, group.unwrap_or_default());
                }
            }
            ("$as", _) if operators.contains_key("$regex") => {}
            ("$as", Value::String(name)) => values.set(name, value.clone()),
            ("$contains", inner) => {
                let inside = match value {
                    Value::String(text) => values.fill(inner)?.as_str().is_some_and(|part| text.contains(part)),
                    Value::Array(items) => items.iter().any(|item| fits(inner, item, values)),
                    _ => false,
                };
                if !inside {
                    return no(format!("should contain {}, is {}", short(inner), short(value)));
                }
            }
            ("$exactly", exact) => {
                let exact = values.fill(exact)?;
                if !same(&exact, value) {
                    return no(differs(&exact, value));
                }
            }
            ("$unordered", Value::Array(expected)) => {
                let mut left: Vec<&Value> = value.as_array().into_iter().flatten().collect();
                for one in expected {
                    match left.iter().position(|item| fits(one, item, values)) {
                        Some(index) => drop(left.remove(index)),
                        None => return no(format!("should hold {}, is {}", short(one), short(value))),
                    }
                }
                if !left.is_empty() || !value.is_array() {
                    return no(format!("expected no more than {}, is {}", short(operand), short(value)));
                }
            }
            ("$length", length) => {
                let found = match value {
                    Value::String(text) => json!(text.chars().count()),
                    Value::Array(items) => json!(items.len()),
                    _ => Value::Null,
                };
                compare(length, Some(&found), &format!("{at} (length)"), values)?;
            }
            ("$min" | "$max" | "$above", bound) => {
                let bound = values.fill(bound)?;
                let (Some(bound), Some(number)) = (bound.as_f64(), value.as_f64()) else {
                    return no(format!("expected a number, is {}", short(value)));
                };
                let fine = match name.as_str() {
                    "$min" => number >= bound,
                    "$max" => number <= bound,
                    _ => number > bound,
                };
                if !fine {
                    return no(format!("is {number}, outside of {name} {bound}"));
                }
            }
            ("$type", kind) => {
                if kind != kind_of(value) {
                    return no(format!("expected a value of type {kind}, is {}", short(value)));
                }
            }
            _ => return Err(No::Scenario(format!("{name} is no operator, or has an operand of the wrong kind"))),
        }
    }
    Ok(())
}

/// Whether a key is an operator, and no field.
pub fn is_operator(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

fn operator<'p>(pattern: &'p Value, name: &str) -> Option<&'p Value> {
    pattern.as_object().and_then(|object| object.get(name))
}

fn names(list: Option<&Value>) -> impl Iterator<Item = String> + '_ {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.map(|name| name.as_str().unwrap_or_default().to_owned())
}

/// Equality in which `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn differs(expected: &Value, found: &Value) -> String {
    format!("expected {}, is {}", short(expected), short(found))
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value as it fits into a sentence.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 200 {
        return text;
    }
    let start: String = text.chars().take(200).collect();
    format!("{start}… ({} bytes)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: Value, value: Value, expected: Result<(), &str>) {
        let mut values = Values::new("h", 1);
        values.set("seq", json!(7));
        let outcome = hold(&pattern, Some(&value), &mut values).map_err(|no| match no {
            No::Mismatch(mismatch) => mismatch.pointer,
            No::Scenario(text) => format!("scenario: {text}"),
        });
        assert_eq!(outcome, expected.map_err(str::to_owned), "{pattern} {value}");
    }

    #[test]
    fn patterns_hold_what_they_say() {
        for (pattern, value, expected) in [
            (json!({}), json!({"a": 1}), Ok(())),
            (json!({"a": 1}), json!({"a": 1.0, "b": 2}), Ok(())),
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), Err("/a/b")),
            (json!({"$$id": 1}), json!({"$id": 2}), Err("/$id")),
            (json!({"a": "$any"}), json!({}), Err("/a")),
            (json!({"a": "$absent"}), json!({}), Ok(())),
            (json!({"a": "$absent"}), json!({"a": null}), Err("/a")),
            (json!({"a/b": 1}), json!({"a/b": 2}), Err("/a~1b")),
            (json!([1, "$any"]), json!([1, 2]), Ok(())),
            (json!([1]), json!([1, 2]), Err("")),
            (json!("$seq"), json!(7), Ok(())),
            (json!("e:${seq}"), json!("e:8"), Err("")),
            (json!({"$not": 1}), json!(2), Ok(())),
            (json!({"$not": 1}), json!(1), Err("")),
            (json!({"$oneOf": [1, 2]}), json!(2), Ok(())),
            (json!({"$oneOf": [1, 2]}), json!(3), Err("")),
            (json!({"$regex": "^a${seq}$"}), json!("a7"), Ok(())),
            (json!({"$regex": "^a$"}), json!("b"), Err("")),
            (json!({"$contains": "b"}), json!("abc"), Ok(())),
            (json!({"$contains": {"a": 1}}), json!([{"a": 2}, {"a": 1, "b": 1}]), Ok(())),
            (json!({"$contains": "x"}), json!(["y"]), Err("")),
            (json!({"$exactly": {"a": 1}}), json!({"a": 1, "b": 1}), Err("")),
            (json!({"$unordered": [1, 2]}), json!([2, 1]), Ok(())),
            (json!({"$unordered": [1, 1]}), json!([1, 2]), Err("")),
            (json!({"$unordered": [1]}), json!([1, 2]), Err("")),
            (json!({"$length": 2}), json!("né"), Ok(())),
            (json!({"$length": {"$min": 3}}), json!([1, 2]), Err(" (length)")),
            (json!({"$above": "$seq"}), json!(7), Err("")),
            (json!({"$min": 7, "$max": 7}), json!(7), Ok(())),
            (json!({"$type": "string"}), json!(7), Err("")),
            (json!("$unknown2"), json!(7), Err("scenario: nothing has captured $unknown2")),
            (
                json!({"$min": 1, "$nonsense": 1}),
                json!(7),
                Err("scenario: $nonsense is no operator, or has an operand of the wrong kind"),
            ),
        ] {
            check(pattern, value, expected);
        }
    }

    #[test]
    fn captures_count_only_when_everything_fits() {
        let mut values = Values::new("h", 1);
        let pattern = json!({"a": "$as x", "b": {"$regex": "^(.):(.)$", "$as": ["l", "r"]}, "c": 1});
        assert!(hold(&pattern, Some(&json!({"a": 5, "b": "1:2", "c": 2})), &mut values).is_err());
        assert!(values.get("x").is_err());
        assert!(hold(&pattern, Some(&json!({"a": 5, "b": "1:2", "c": 1})), &mut values).is_ok());
        assert_eq!((values.get("x"), values.get("r")), (Ok(&json!(5)), Ok(&json!("2"))));
    }
}
