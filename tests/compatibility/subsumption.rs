//! Whether every value of one schema is a value of another, and where not. Knows the shapes of the profile
//! (schema/README.md); single values are left to the algebra of `jsonschema::canonical`, and what that cannot prove
//! counts as a gap.

use std::collections::HashSet;

use jsonschema::canonical::{self, Containment};
use serde_json::{Map, Value};

/// A value that may be sent and is not accepted: where in the document, and why.
#[derive(Debug)]
pub struct Gap {
    /// A JSON Pointer into the document; `*` is any item of a list.
    pub pointer: String,
    pub reason: String,
}

/// Both schemas are closed: their references lead to their own `$defs`.
pub fn gaps(sent: &Value, accepted: &Value) -> Vec<Gap> {
    let mut walk = Walk { sent, accepted, seen: HashSet::new(), gaps: Vec::new() };
    walk.compare(sent, accepted, "");
    walk.gaps
}

struct Walk<'s> {
    sent: &'s Value,
    accepted: &'s Value,
    /// Pairs of definitions whose comparison has begun: definitions may be recursive.
    seen: HashSet<(String, String, String)>,
    gaps: Vec<Gap>,
}

impl<'s> Walk<'s> {
    fn gap(&mut self, pointer: &str, reason: impl Into<String>) {
        self.gaps.push(Gap { pointer: pointer.to_owned(), reason: reason.into() });
    }

    fn compare(&mut self, sent: &'s Value, accepted: &'s Value, at: &str) {
        let names = (name(sent), name(accepted));
        let (sent, accepted) = (resolve(self.sent, sent), resolve(self.accepted, accepted));
        if let (Some(from), Some(to)) = names
            && !self.seen.insert((at.to_owned(), from.to_owned(), to.to_owned()))
        {
            return;
        }
        if at.matches('/').count() > 32 {
            return;
        }
        match (shape(sent), shape(accepted)) {
            (_, "any") => {}
            ("frames", "frames") => self.frames(sent, accepted, at),
            ("nullable", "nullable") => self.compare(&sent["anyOf"][0], &accepted["anyOf"][0], at),
            ("nullable", _) => self.gap(at, "may be null, which is not accepted"),
            (_, "nullable") => self.compare(sent, &accepted["anyOf"][0], at),
            ("union", "union") => self.union(sent, accepted, at),
            ("object", "object") => self.object(sent, accepted, at),
            ("list", "list") => {
                self.value(&without_items(sent), &without_items(accepted), at);
                self.compare(&sent["items"], &accepted["items"], &format!("{at}/*"));
            }
            ("value", "value") => self.value(sent, accepted, at),
            (from, to) => self.gap(at, format!("was of another kind: {from} is sent, {to} accepted")),
        }
    }

    fn frames(&mut self, sent: &Value, accepted: &Value, at: &str) {
        for kind in sent["x-frames"].as_array().into_iter().flatten() {
            if !accepted["x-frames"].as_array().is_some_and(|known| known.contains(kind)) {
                self.gap(at, format!("may be a {kind}, which is not expected there"));
            }
        }
    }

    fn union(&mut self, sent: &'s Value, accepted: &'s Value, at: &str) {
        let variants = |schema: &'s Value| schema["oneOf"].as_array().into_iter().flatten();
        for variant in variants(sent) {
            let tag = tag(variant);
            match variants(accepted).find(|known| self::tag(known) == tag) {
                Some(known) => self.compare(variant, known, at),
                None => {
                    let (field, value) = tag.unwrap_or_default();
                    self.gap(&format!("{at}/{field}"), format!("may be `{value}`, which is not accepted"));
                }
            }
        }
    }

    fn object(&mut self, sent: &'s Value, accepted: &'s Value, at: &str) {
        for field in required(accepted) {
            if !required(sent).any(|always| always == field) {
                self.gap(&format!("{at}/{field}"), "may be missing, and is required");
            }
        }
        for (field, schema) in fields(sent) {
            let at = format!("{at}/{field}");
            match accepted["properties"].get(field) {
                Some(known) => self.compare(schema, known, &at),
                None if accepted["additionalProperties"] == false => self.gap(&at, "may be there, and is not known"),
                None => {}
            }
        }
        // Free-form data fits only where nothing is asked of it.
        if sent["additionalProperties"] != false && accepted["additionalProperties"] == false {
            self.gap(at, "may have any field, and only some are accepted");
        }
    }

    fn value(&mut self, sent: &Value, accepted: &Value, at: &str) {
        let (sent, accepted) = (constraints(sent), constraints(accepted));
        if sent == accepted || covers(&Value::Object(accepted.clone()), &Value::Object(sent.clone())) {
            return;
        }
        for value in options(&sent).filter(|value| !options(&accepted).any(|known| known == *value)) {
            if options(&accepted).next().is_some() {
                self.gap(at, format!("may be {value}, which is not accepted"));
            }
        }
        let mut changed: Vec<String> = Vec::new();
        for key in accepted.keys().filter(|key| *key != "enum" && *key != "const") {
            if sent.get(key) != accepted.get(key) {
                let from = sent.get(key).map_or_else(|| "not limited".to_owned(), Value::to_string);
                changed.push(format!("{key} is {from} where it is sent, {} where it is accepted", accepted[key]));
            }
        }
        if options(&accepted).next().is_some() && options(&sent).next().is_none() {
            changed.push("may be any value, and only some are accepted".to_owned());
        }
        if !changed.is_empty() {
            self.gap(at, changed.join("; "));
        }
    }
}

/// Whether it is proven that `outer` accepts all that `inner` accepts.
fn covers(outer: &Value, inner: &Value) -> bool {
    let canonical = |schema: &Value| canonical::options().should_validate_formats(true).offline().canonicalize(schema);
    match (canonical(outer), canonical(inner)) {
        (Ok(outer), Ok(inner)) => matches!(outer.covers(&inner), Ok(Containment::Yes)),
        _ => false,
    }
}

fn name(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    while let Some(to) = name(schema) {
        schema = root.pointer(to.trim_start_matches('#')).expect("the schema is closed");
    }
    schema
}

fn shape(schema: &Value) -> &'static str {
    let has = |key: &str| schema.get(key).is_some();
    match schema.get("type").and_then(Value::as_str) {
        _ if has("x-frames") => "frames",
        _ if has("anyOf") => "nullable",
        _ if has("oneOf") => "union",
        Some("object") => "object",
        Some("array") => "list",
        Some(_) => "value",
        None if has("const") || has("enum") => "value",
        None => "any",
    }
}

/// The field and value that tell a variant of a union from the others.
fn tag(variant: &Value) -> Option<(&str, &str)> {
    let mut required = variant["required"].as_array()?.iter().filter_map(Value::as_str);
    required.find_map(|field| Some((field, variant["properties"][field]["const"].as_str()?)))
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn options(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"))
}

/// Without what constrains nothing.
fn constraints(schema: &Value) -> Map<String, Value> {
    let free =
        |key: &str| matches!(key, "description" | "title" | "default" | "examples" | "$id") || key.starts_with("x-");
    let fields = schema.as_object().into_iter().flatten();
    fields.filter(|(key, _)| !free(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn without_items(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("items");
    }
    schema
}
