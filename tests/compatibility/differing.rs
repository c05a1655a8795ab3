//! Where in a document two versions of its schema say different things. Near misses elsewhere would show nothing new.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::node::{Node, quoted};

/// The paths of the values whose own definition differs; a definition's own is all but what its `$ref`s lead to.
pub fn differing(old: &Value, new: &Value, document: &Node) -> BTreeSet<Vec<usize>> {
    let mut walk = Walk { old, new, found: BTreeSet::new() };
    walk.compare(old, new, document, &mut Vec::new());
    walk.found
}

struct Walk<'s> {
    old: &'s Value,
    new: &'s Value,
    found: BTreeSet<Vec<usize>>,
}

impl Walk<'_> {
    fn compare(&mut self, old: &Value, new: &Value, document: &Node, path: &mut Vec<usize>) {
        let (old, new) = (resolve(self.old, old), resolve(self.new, new));
        if own(old) != own(new) {
            self.found.insert(path.clone());
        }
        let (old, new) = (branch(old, document), branch(new, document));
        match document {
            Node::Text(_) => {}
            Node::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.child(old.get("items"), new.get("items"), item, path, at);
                }
            }
            Node::Object(fields) => {
                for (at, (key, value)) in fields.iter().enumerate() {
                    let property = |schema: &'_ Value| -> Option<Value> {
                        let properties = schema.get("properties")?.as_object()?;
                        properties.iter().find(|(name, _)| quoted(name) == *key).map(|(_, schema)| schema.clone())
                    };
                    let (old, new) = (property(old), property(new));
                    self.child(old.as_ref(), new.as_ref(), value, path, at);
                }
            }
        }
    }

    fn child(&mut self, old: Option<&Value>, new: Option<&Value>, node: &Node, path: &mut Vec<usize>, at: usize) {
        if let (Some(old), Some(new)) = (old, new) {
            path.push(at);
            self.compare(old, new, node, path);
            path.pop();
        }
    }
}

fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    while let Some(to) = schema.get("$ref").and_then(Value::as_str) {
        schema = root.pointer(to.trim_start_matches('#')).expect("the schema is closed");
    }
    match schema.get("anyOf") {
        Some(branches) => resolve(root, &branches[0]),
        None => schema,
    }
}

/// A closed schema without the definitions that it reaches.
pub fn own(schema: &Value) -> Value {
    let fields = schema.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| *key != "$defs")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// The variant of a union that the document is; anything else is itself.
fn branch<'s>(schema: &'s Value, document: &Node) -> &'s Value {
    let Some(branches) = schema.get("oneOf").and_then(Value::as_array) else { return schema };
    let is = |branch: &&Value| {
        let Node::Object(fields) = document else { return false };
        let constant = |key: &str| {
            let name: String = serde_json::from_str(key).unwrap_or_default();
            branch["properties"].get(&name)?.get("const")?.as_str().map(quoted)
        };
        fields.iter().any(|(key, value)| constant(key).is_some_and(|constant| constant == value.to_string()))
    };
    branches.iter().find(is).unwrap_or(schema)
}
