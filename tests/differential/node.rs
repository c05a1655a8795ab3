//! JSON text as a tree that can say what no `Value` can: keys that come twice, the order of keys, and how a number
//! or a string is spelled.

use std::fmt;

use serde_json::Value;

#[derive(Clone, Debug)]
pub enum Node {
    /// Anything but an object or array, as it is written.
    Text(String),
    Array(Vec<Node>),
    /// Keys as they are written, quotes included.
    Object(Vec<(String, Node)>),
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(key, value)| (quoted(key), Self::from(value))).collect())
            }
            other => Self::Text(other.to_string()),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (at, (key, value)) in fields.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Node {
    /// The string that a text node spells.
    pub fn string(&self) -> Option<String> {
        let Self::Text(text) = self else { return None };
        serde_json::from_str(text).ok()
    }
}

pub fn text(text: impl Into<String>) -> Node {
    Node::Text(text.into())
}

pub fn string(text: &str) -> Node {
    Node::Text(quoted(text))
}

pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The same string, every character as `\uXXXX`.
pub fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}
