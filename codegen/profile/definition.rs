//! What one definition may be: text, integer, number, list, object, union, nullable, free-form.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, folder::find, pattern};
use crate::codegen::{
    bundle::target,
    catalogue::{entries, strings, text},
    model::pascal,
};

/// The largest integer that JavaScript holds exactly.
const SAFE: i64 = 9_007_199_254_740_991;

/// The keywords that say what a value is; everything else is annotation or refused.
const KEYWORDS: &[&str] = &[
    "$ref",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "oneOf",
    "anyOf",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "enum",
    "const",
    "default",
    "title",
    "description",
    "examples",
];

/// Our own keywords at the root of a message.
const OWN: &[&str] = &["x-reply", "x-errors", "x-idempotent", "x-payload", "x-durable"];

impl Check<'_> {
    pub(super) fn definition(&mut self, at: &str, name: &str, schema: &Value) {
        if pascal(name) != name {
            self.fault(at, format!("{name} is no PascalCase name"), &pascal(name));
        }
        if name == "Error" {
            self.fault(at, "nothing is called Error: generators collide with the language's own", "ErrorInfo");
        }
        if schema.get("x-frames").is_some() {
            return;
        }
        if text(schema, "description").is_empty() {
            self.fault(at, "every definition is described", "a description");
        }
        self.keywords(at, schema);
        self.secret(at, schema);
        if schema.get("$ref").is_some() {
            self.fault(at, "a definition is no mere $ref", "the shape, or use the target itself");
        } else if let Some(branches) = schema.get("anyOf") {
            self.nullable(at, name, branches);
        } else if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
            self.union(at, variants);
        } else {
            match text(schema, "type") {
                "string" => self.string(at, name, schema),
                "integer" => self.integer(at, schema),
                "number" => self.number(at, schema),
                "array" => self.list(at, schema),
                "object" if schema.get("properties").is_some() => self.object(at, schema, None),
                "object" if schema.get("additionalProperties").is_none() => {}
                "object" => self.fault(at, "free-form data is `type: object` alone", "properties, or nothing but type"),
                _ => self.fault(at, "a definition has one type", "string, integer, number, array or object"),
            }
        }
    }

    fn keywords(&mut self, at: &str, schema: &Value) {
        let Some(fields) = schema.as_object() else {
            return self.fault(at, "boolean schemas are not in the profile", "the shape that is meant");
        };
        for (key, value) in fields {
            let own = key == "x-secret" || (at.is_empty() && OWN.contains(&key.as_str()));
            let known = KEYWORDS.contains(&key.as_str()) || own || (at.is_empty() && key.starts_with('$'));
            if !known || (key == "$anchor" || key.starts_with("$dynamic") || key == "$recursiveRef") {
                self.fault(&format!("{at}/{key}"), format!("{key} is not in the profile"), instead_of(key));
            }
            if key == "enum"
                && value.as_array().is_none_or(|options| options.is_empty() || !options.iter().all(Value::is_string))
            {
                self.fault(&format!("{at}/enum"), "an enum lists strings", "strings, and leave the field out for null");
            }
            if key == "type" && !value.is_string() {
                self.fault(
                    &format!("{at}/type"),
                    "type is one name",
                    "a nullable definition (…Patch) if null means something",
                );
            }
        }
    }

    /// Only a text is made by a generated type that can redact it.
    fn secret(&mut self, at: &str, schema: &Value) {
        let Some(says) = schema.get("x-secret") else { return };
        let is_text = text(schema, "type") == "string"
            && ["enum", "const", "format"].iter().all(|keyword| schema.get(*keyword).is_none());
        if *says != Value::Bool(true) || !is_text {
            self.fault(
                &format!("{at}/x-secret"),
                "a secret is a text",
                "\"x-secret\": true, on a definition of a string",
            );
        }
    }

    fn string(&mut self, at: &str, name: &str, schema: &Value) {
        let from_outside = self.inbound.contains(name);
        match (schema.get("pattern").and_then(Value::as_str), schema.get("format").and_then(Value::as_str)) {
            (Some(pattern), None) => {
                if let Err(rule) = pattern::check(pattern) {
                    self.fault(
                        &format!("{at}/pattern"),
                        rule,
                        "^…$ of ASCII classes, quantifiers, groups, alternation",
                    );
                }
            }
            (_, Some(_)) if from_outside => {
                self.fault(
                    &format!("{at}/format"),
                    "no format on what comes in: validators disagree about it",
                    "a pattern",
                );
            }
            (_, Some("uuid" | "date-time")) | (None, None) => {}
            (_, Some(_)) => {
                self.fault(&format!("{at}/format"), "only uuid and date-time are formats here", "a pattern")
            }
        }
        if let (Some(min), Some(max)) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64())
            && min > max
        {
            self.fault(at, "minLength is above maxLength", "a range that is not empty");
        }
    }

    fn integer(&mut self, at: &str, schema: &Value) {
        let limit = |key: &str| schema.get(key).and_then(Value::as_i64);
        match (limit("minimum"), limit("maximum")) {
            (Some(min), Some(max)) if (-SAFE..=SAFE).contains(&min) && (-SAFE..=SAFE).contains(&max) && min <= max => {}
            _ => self.fault(at, "an integer has a minimum and a maximum within ±(2^53−1)", "both"),
        }
    }

    fn number(&mut self, at: &str, schema: &Value) {
        if let (Some(min), Some(max)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64())
            && min > max
        {
            self.fault(at, "minimum is above maximum", "a range that is not empty");
        }
    }

    fn list(&mut self, at: &str, schema: &Value) {
        let plain = schema["items"] == serde_json::json!({"type": "string"});
        match schema.get("items") {
            Some(items) if items.get("$ref").is_some() => self.property(&format!("{at}/items"), items),
            Some(_) if plain => {}
            _ => {
                self.fault(&format!("{at}/items"), "items are a $ref or plain strings", "a definition and a $ref to it")
            }
        }
        match schema.get("maxItems").and_then(Value::as_u64) {
            None => self.fault(at, "a list has maxItems: nothing is unbounded", "maxItems"),
            Some(max) if max > 256 && schema.get("uniqueItems").is_some() => {
                self.fault(&format!("{at}/uniqueItems"), "a list of unique items is short", "maxItems of at most 256");
            }
            Some(_) => {}
        }
    }

    fn nullable(&mut self, at: &str, name: &str, branches: &Value) {
        let shape = branches.as_array().map(Vec::as_slice);
        let fits = matches!(shape, Some([some, null]) if some.get("$ref").is_some() && *null == serde_json::json!({"type": "null"}));
        if !fits {
            self.fault(&format!("{at}/anyOf"), "anyOf is only for a nullable", "[{\"$ref\": …}, {\"type\": \"null\"}]");
        } else {
            self.property(&format!("{at}/anyOf/0"), &branches[0]);
        }
        if !name.ends_with("Patch") {
            self.fault(at, "the name of a nullable ends in Patch", &format!("{name}Patch"));
        }
    }

    fn union(&mut self, at: &str, variants: &[Value]) {
        let tagged = |tag: &str| variants.iter().all(|variant| variant["properties"][tag]["const"].is_string());
        let Some(tag) = ["type", "action"].into_iter().find(|tag| tagged(tag)) else {
            return self.fault(
                &format!("{at}/oneOf"),
                "the variants share no tag",
                "a required `type` or `action` with a const in each",
            );
        };
        let mut values = BTreeSet::new();
        for (index, variant) in variants.iter().enumerate() {
            let at = format!("{at}/oneOf/{index}");
            let title = text(variant, "title");
            if title.is_empty() || pascal(title) != title {
                self.fault(
                    &format!("{at}/title"),
                    "a variant has a title in PascalCase",
                    "one that is unique in schema/",
                );
            }
            if !strings(variant.get("required")).iter().any(|name| name == tag) {
                self.fault(&format!("{at}/required"), format!("the tag {tag} is required"), "it");
            }
            if !values.insert(text(&variant["properties"][tag], "const")) {
                self.fault(&at, "two variants have one tag", "another const");
            }
            self.keywords(&at, variant);
            self.secret(&at, variant);
            self.object(&at, variant, Some(tag));
            let nested = entries(variant.get("properties")).filter(|(_, property)| self.is_nested(property)).count();
            if nested > 1 {
                self.fault(&at, "a variant holds at most one object or union", "one object that holds both");
            }
        }
    }

    /// Whether a property is an object or a union.
    fn is_nested(&self, property: &Value) -> bool {
        let Some(to) = property.get("$ref").and_then(Value::as_str) else { return false };
        let Ok(name) = target(self.files, self.file, to) else { return false };
        find(self.files, &name).is_some_and(|schema| schema.get("oneOf").is_some() || text(schema, "type") == "object")
    }

    fn object(&mut self, at: &str, schema: &Value, tag: Option<&str>) {
        if text(schema, "type") != "object" {
            self.fault(&format!("{at}/type"), "an object says so", "type: object");
        }
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            self.fault(at, "an object is closed", "additionalProperties: false");
        }
        for name in strings(schema.get("required")) {
            match schema["properties"].get(&name) {
                None => {
                    self.fault(&format!("{at}/required"), format!("{name} is required and no property"), "the property")
                }
                Some(property) if property.get("default").is_some() => {
                    self.fault(&format!("{at}/properties/{name}/default"), "a required field has no default", "either");
                }
                Some(_) => {}
            }
        }
        for (name, property) in entries(schema.get("properties")) {
            if tag != Some(name.as_str()) {
                self.property(&format!("{at}/properties/{name}"), property);
            }
        }
    }

    /// A schema where it is used: a bare `$ref`, or something plain.
    fn property(&mut self, at: &str, schema: &Value) {
        self.keywords(at, schema);
        if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            if let Err(fault) = target(self.files, self.file, to) {
                self.fault(&format!("{at}/$ref"), fault.rule, &fault.instead);
            }
            for (key, _) in entries(Some(schema)) {
                if !matches!(key.as_str(), "$ref" | "description" | "default") {
                    self.fault(
                        &format!("{at}/{key}"),
                        format!("{key} stands beside a $ref, where generators drop it"),
                        "a definition of its own",
                    );
                }
            }
            return;
        }
        let constrained = entries(Some(schema))
            .map(|(key, _)| key.as_str())
            .find(|key| !matches!(*key, "type" | "description" | "default" | "const" | "enum"));
        match (text(schema, "type"), constrained) {
            ("string" | "boolean", None) => {}
            // The envelope's payload stands for whatever the message is.
            ("object", None) if self.file.path == "envelope.json" => {}
            ("string" | "boolean", Some(key)) => {
                self.fault(
                    &format!("{at}/{key}"),
                    "a constraint stands inline, where generators drop it",
                    "a named definition and a $ref to it",
                );
            }
            _ => self.fault(at, "only plain strings and booleans stand inline", "a named definition and a $ref to it"),
        }
    }
}

fn instead_of(key: &str) -> &'static str {
    match key {
        "if" | "then" | "else" | "allOf" | "not" | "dependentRequired" | "dependentSchemas" => {
            "one shape for each case: a tagged union, or two messages"
        }
        "exclusiveMinimum" | "exclusiveMaximum" => "minimum or maximum",
        "multipleOf" => "another unit",
        "patternProperties" | "propertyNames" | "unevaluatedProperties" => {
            "properties with additionalProperties: false, or a list"
        }
        "prefixItems" | "contains" | "unevaluatedItems" => "an object with named fields",
        "nullable" => "a nullable definition (…Patch)",
        _ => "it without",
    }
}
