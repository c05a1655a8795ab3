//! Refuses what lies outside the profile (schema/README.md): each rule is here because some validator, generator or
//! language breaks without it. A fault names the file, the place, the rule, and what to write instead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    bundle::{references, rewrite, target},
    catalogue::{File, entries, strings, text},
    fault::{Fault, Faults},
    model::pascal,
};

/// The largest integer that JavaScript holds exactly.
const SAFE: i64 = 9_007_199_254_740_991;
const ID: &str = "https://agent-world.example/schema/";

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

pub fn check(files: &[File]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let inbound = inbound(files);
    for file in files {
        let mut check = Check { files, file, inbound: &inbound, faults: &mut faults };
        check.header();
        if file.is_definition() {
            check.root();
        }
        for (name, schema) in entries(file.json.get("$defs")) {
            check.definition(&format!("/$defs/{name}"), name, schema);
        }
        if file.is_in("http") {
            check.route();
        }
    }
    names(files, &mut faults);
    messages(files, &mut faults);
    cycles(files, &mut faults);
    faults.or(())
}

struct Check<'f> {
    files: &'f [File],
    file: &'f File,
    inbound: &'f BTreeSet<String>,
    faults: &'f mut Faults,
}

impl Check<'_> {
    fn fault(&mut self, pointer: &str, rule: impl Into<String>, instead: &str) {
        self.faults.0.push(Fault::new(self.file.path.as_str(), pointer, rule, instead));
    }

    fn header(&mut self) {
        let id = format!("{ID}{}", self.file.path);
        if text(&self.file.json, "$id") != id {
            self.fault("/$id", "is not the path at which the schema is served", &format!("\"{id}\""));
        }
        if pascal(self.file.title()) != self.file.title() || self.file.title().is_empty() {
            self.fault("/title", "a title is a Rust and TypeScript name", "it in PascalCase");
        }
        if text(&self.file.json, "description").is_empty() {
            self.fault("/description", "every schema is described", "what it is for, in sentences");
        }
    }

    /// A message's payload, or a file that a person writes.
    fn root(&mut self) {
        let file = self.file;
        self.definition("", file.title(), &file.json);
        if !file.json["properties"].is_object() && file.json.get("oneOf").is_none() {
            self.fault("/type", "a message is a closed object or a tagged union", "type: object with properties");
        }
        if file.json["examples"].as_array().is_none_or(|examples| examples.len() < 2) {
            self.fault("/examples", "every message has two examples", "one minimal and one realistic payload");
        }
    }

    fn definition(&mut self, at: &str, name: &str, schema: &Value) {
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
            let known =
                KEYWORDS.contains(&key.as_str()) || key.starts_with("x-") || (at.is_empty() && key.starts_with('$'));
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

    fn string(&mut self, at: &str, name: &str, schema: &Value) {
        let from_outside = self.inbound.contains(name);
        match (schema.get("pattern").and_then(Value::as_str), schema.get("format").and_then(Value::as_str)) {
            (Some(pattern), None) => {
                if let Err(rule) = pattern_in_profile(pattern) {
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

    fn route(&mut self) {
        let route = &self.file.json["x-route"];
        if !matches!(text(route, "method"), "GET" | "PUT" | "POST" | "PATCH" | "DELETE") {
            self.fault("/x-route/method", "is no method of HTTP that is used here", "GET, PUT, POST, PATCH or DELETE");
        }
        if !matches!(text(route, "auth"), "none" | "optional" | "required") {
            self.fault("/x-route/auth", "says who may call", "none, optional or required");
        }
        if self.file.title() != pascal(self.file.stem()) {
            self.fault("/title", "the title is the operationId in PascalCase", &pascal(self.file.stem()));
        }
        let path = text(route, "path");
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let given: BTreeSet<&str> = entries(route.get("pathParameters")).map(|(name, _)| name.as_str()).collect();
        if in_path != given {
            self.fault(
                "/x-route/pathParameters",
                format!("are not those of {path}"),
                "one for each {name} of the path",
            );
        }
        let mut names = BTreeSet::new();
        for place in ["pathParameters", "query", "headers"] {
            for (name, _) in entries(route.get(place)) {
                let name = super::model::snake(name);
                if !names.insert(name.clone()) || matches!(name.as_str(), "body" | "context" | "accept") {
                    self.fault(&format!("/x-route/{place}"), format!("the name {name} is taken"), "another name");
                }
            }
        }
        let bodies: BTreeSet<String> = entries(route.get("request")).map(|(_, content)| content.to_string()).collect();
        if bodies.len() > 1 {
            self.fault("/x-route/request", "all media types of a request mean one type", "the same $ref for each");
        }
        if route.get("responses").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
            self.fault("/x-route/responses", "a route succeeds somehow", "a status and what it gives");
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

/// Anchored, ASCII, classes, quantifiers, groups and alternation: what every dialect reads alike.
fn pattern_in_profile(pattern: &str) -> Result<(), String> {
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

/// Every definition of the folder: name, file, pointer, schema. Roots go by their title, variants by theirs.
fn definitions(files: &[File]) -> Vec<(&str, &File, String, &Value)> {
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.path != "envelope.json") {
        if file.is_definition() || file.is_in("http") {
            all.push((file.title(), file, String::new(), &file.json));
        }
        all.extend(
            entries(file.json.get("$defs"))
                .map(|(name, schema)| (name.as_str(), file, format!("/$defs/{name}"), schema)),
        );
    }
    let variants: Vec<_> = all
        .iter()
        .flat_map(|(_, file, pointer, schema)| {
            let variants = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().enumerate();
            variants.map(move |(at, variant)| (text(variant, "title"), *file, format!("{pointer}/oneOf/{at}"), variant))
        })
        .collect();
    all.extend(variants);
    all
}

fn find<'f>(files: &'f [File], name: &str) -> Option<&'f Value> {
    definitions(files).into_iter().find(|(other, ..)| *other == name).map(|(.., schema)| schema)
}

/// Names are unique over the whole folder.
fn names(files: &[File], faults: &mut Faults) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, file, pointer, _) in definitions(files) {
        if let Some(other) = seen.insert(name, &file.path) {
            faults.0.push(Fault::new(
                file.path.as_str(),
                pointer,
                format!("the name {name} is taken by {other}"),
                "another name",
            ));
        }
    }
}

/// Replies, errors and the tables of codes.
fn messages(files: &[File], faults: &mut Faults) {
    let enums = |path: &str, name: &str| {
        let file = files.iter().find(|file| file.path == path);
        strings(file.and_then(|file| file.json["$defs"][name].get("enum")))
    };
    let codes = enums("common/error-code.json", "ErrorCode");
    for file in files.iter().filter(|file| file.is_in("client") || file.is_in("http")) {
        for code in strings(file.json.get("x-errors")).iter().filter(|code| !codes.contains(code)) {
            faults.0.push(Fault::new(
                file.path.as_str(),
                "/x-errors",
                format!("{code} is no error code"),
                "one of common/error-code.json",
            ));
        }
    }
    for (path, table, name) in
        [("common/error-code.json", "x-codes", "ErrorCode"), ("common/close-code.json", "x-close-codes", "CloseCode")]
    {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        let described: BTreeSet<&String> = entries(file.json.get(table)).map(|(code, _)| code).collect();
        let listed = enums(path, name);
        if described != listed.iter().collect() {
            let rule = format!("{table} and the enum {name} do not list the same codes");
            faults.0.push(Fault::new(path, format!("/{table}"), rule, "each code in both"));
        }
    }
    for file in files.iter().filter(|file| file.is_in("client")) {
        let reply = text(&file.json, "x-reply");
        let (wire, variant) = reply.split_once('/').map_or((reply, None), |(wire, variant)| (wire, Some(variant)));
        let mut fault =
            |rule: String, instead: &str| faults.0.push(Fault::new(file.path.as_str(), "/x-reply", rule, instead));
        let Some(server) = files.iter().find(|file| file.path == format!("server/{wire}.json")) else {
            fault(
                format!("there is no server message {wire:?} to reply with"),
                "one message of server/, or message/variant",
            );
            continue;
        };
        let Some(variants) = server.json.get("oneOf").and_then(Value::as_array) else {
            if variant.is_some() {
                fault(format!("{wire} has no variants"), wire);
            }
            continue;
        };
        let expected = variant.map(|variant| format!("{}{}", server.title(), pascal(variant)));
        let named = variants
            .iter()
            .find(|schema| variant.is_some_and(|variant| schema["properties"]["type"]["const"] == variant));
        match (named, expected) {
            (Some(schema), Some(expected)) if text(schema, "title") == expected => {}
            (Some(_), Some(expected)) => {
                fault(format!("the variant is called after message and tag: {expected}"), &expected)
            }
            _ => fault(format!("{wire} is a union and {reply:?} names none of its variants"), "message/variant"),
        }
    }
}

/// The names that a definition refers to.
fn refers(files: &[File], file: &File, schema: &Value) -> Vec<String> {
    rewrite(files, file, schema).map(|schema| references(&schema)).unwrap_or_default()
}

/// The definitions that can be part of something that comes in.
fn inbound(files: &[File]) -> BTreeSet<String> {
    let all: BTreeMap<&str, (&File, &Value)> =
        definitions(files).into_iter().map(|(name, file, _, schema)| (name, (file, schema))).collect();
    let mut open: Vec<String> = Vec::new();
    for file in files {
        if file.is_in("client") || (file.is_definition() && !file.path.contains('/')) {
            open.push(file.title().to_owned());
        }
        for place in ["pathParameters", "query", "headers", "request"] {
            open.extend(file.json["x-route"].get(place).into_iter().flat_map(|place| refers(files, file, place)));
        }
        if file.path == "envelope.json" {
            open.extend(refers(files, file, &file.json["$defs"]["ClientEnvelope"]));
        }
    }
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if let Some((file, schema)) = all.get(name.as_str())
            && found.insert(name)
        {
            open.extend(refers(files, file, schema));
        }
    }
    found
}

/// A definition that holds itself has no size in Rust and no end in a validator.
fn cycles(files: &[File], faults: &mut Faults) {
    let all = definitions(files);
    let edges: BTreeMap<&str, Vec<String>> =
        all.iter().map(|(name, file, _, schema)| (*name, refers(files, file, schema))).collect();
    for (name, file, pointer, _) in &all {
        let (mut open, mut seen) = (edges[name].clone(), BTreeSet::new());
        while let Some(next) = open.pop() {
            if next == *name {
                let rule = format!("{name} holds itself");
                faults.0.push(Fault::new(
                    file.path.as_str(),
                    pointer.as_str(),
                    rule,
                    "a list of ids, or one level less",
                ));
                break;
            }
            if seen.insert(next.clone()) {
                open.extend(edges.get(next.as_str()).into_iter().flatten().cloned());
            }
        }
    }
}
