//! The values that a scenario captures and names: `"$name"` is the value itself, `"…${name}…"` its text.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A message or reply id that no world knows.
const UNKNOWN_ID: &str = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";

#[derive(Clone, Debug)]
pub struct Values(BTreeMap<String, Value>);

/// What a scenario names and nothing has set: its author's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadValue {
    #[error("nothing has captured ${0}")]
    Unknown(String),
    #[error("${0} is no text or number, and cannot stand inside a text")]
    NoText(String),
    #[error("`${{` without `}}` in {0:?}")]
    Open(String),
}

impl Values {
    /// With what every scenario can name: where the server is, and an id that it does not know.
    pub fn new(host: &str, port: u16) -> Self {
        let known = [("host", json!(host)), ("port", json!(port)), ("unknown", json!(UNKNOWN_ID))];
        Self(known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    pub fn get(&self, name: &str) -> Result<&Value, BadValue> {
        self.0.get(name).ok_or_else(|| BadValue::Unknown(name.to_owned()))
    }

    /// `value` with every name replaced, and `{"$repeat": text, "times": n}` written out.
    pub fn fill(&self, value: &Value) -> Result<Value, BadValue> {
        Ok(match value {
            Value::String(text) => self.fill_text(text)?,
            Value::Array(items) => Value::Array(items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?),
            Value::Object(object) => match (object.get("$repeat"), object.get("times").and_then(Value::as_u64)) {
                (Some(Value::String(text)), Some(times)) => {
                    json!(text.repeat(usize::try_from(times).unwrap_or_default()))
                }
                _ => Value::Object(
                    object
                        .iter()
                        .map(|(key, value)| Ok((key.clone(), self.fill(value)?)))
                        .collect::<Result<Map<_, _>, BadValue>>()?,
                ),
            },
            other => other.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<Value, BadValue> {
        if let Some(literal) = text.strip_prefix("$$") {
            return Ok(json!(format!("${literal}")));
        }
        if let Some(name) = text.strip_prefix('$')
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            return self.get(name).cloned();
        }
        let (mut filled, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("${") {
            filled.push_str(&rest[..at]);
            let (name, after) =
                rest[at + 2..].split_once('}').ok_or_else(|| BadValue::Open(text.chars().take(60).collect()))?;
            match self.get(name)? {
                Value::String(value) => filled.push_str(value),
                Value::Number(value) => filled.push_str(&value.to_string()),
                _ => return Err(BadValue::NoText(name.to_owned())),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(json!(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced() {
        let mut values = Values::new("127.0.0.1", 3001);
        values.set("seq", json!(7));
        values.set("list", json!([1]));
        for (given, filled) in [
            (json!("$seq"), Ok(json!(7))),
            (json!("a:${seq}!"), Ok(json!("a:7!"))),
            (json!({"x": ["$list", "$$seq"]}), Ok(json!({"x": [[1], "$seq"]}))),
            (json!({"$repeat": "ab", "times": 3}), Ok(json!("ababab"))),
            (json!("costs $"), Ok(json!("costs $"))),
            (json!("$gone"), Err(BadValue::Unknown("gone".into()))),
            (json!("${list}"), Err(BadValue::NoText("list".into()))),
            (json!("${seq"), Err(BadValue::Open("${seq".into()))),
        ] {
            assert_eq!(values.fill(&given), filled, "{given}");
        }
    }
}
