//! What was recorded, and what came: the same frames, frame by frame and field by field?

use std::collections::BTreeMap;

use serde_json::Value;

use super::Difference;

/// The frames of one connection, by which frame they are, in the order in which they came.
pub type Streams = BTreeMap<String, Vec<Value>>;

/// Compares the frames of a connection, both sides in canonical form.
pub fn compare(connection: u64, recorded: &Streams, came: &Streams, differences: &mut Vec<Difference>) {
    let none = Vec::new();
    let keys: std::collections::BTreeSet<&String> = recorded.keys().chain(came.keys()).collect();
    for key in keys {
        let (expected, got) = (recorded.get(key).unwrap_or(&none), came.get(key).unwrap_or(&none));
        for index in 0..expected.len().max(got.len()) {
            let frame = if index == 0 { key.clone() } else { format!("{key} (number {})", index + 1) };
            let differ = |pointer: String, expected: Option<Value>, got: Option<Value>, note: Option<&str>| {
                Difference { connection, frame: frame.clone(), pointer, expected, got, note: note.map(str::to_owned) }
            };
            match (expected.get(index), got.get(index)) {
                (Some(expected), Some(got)) => {
                    let mut fields = Vec::new();
                    unequal(expected, got, "", &mut fields);
                    let told = fields.into_iter().map(|(at, expected, got)| differ(at, expected, got, None));
                    differences.extend(told);
                }
                (Some(expected), None) => {
                    differences.push(differ(String::new(), Some(expected.clone()), None, Some("did not come")));
                }
                (None, Some(got)) => {
                    differences.push(differ(String::new(), None, Some(got.clone()), Some("was not expected")));
                }
                (None, None) => {}
            }
        }
    }
}

type Unequal = (String, Option<Value>, Option<Value>);

fn unequal(expected: &Value, got: &Value, at: &str, found: &mut Vec<Unequal>) {
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => unequal(left, right, &at, found),
                    (left, right) => found.push((at, left.cloned(), right.cloned())),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                unequal(left, right, &format!("{at}/{index}"), found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => found.push((at.to_owned(), Some(left.clone()), Some(right.clone()))),
    }
}
