//! What holds over all files together: names are unique, replies and codes exist, nothing holds itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::codegen::{
    bundle::{references, rewrite},
    catalogue::{File, entries, strings, text},
    fault::{Fault, Faults},
    model::pascal,
};

pub(super) fn check(files: &[File], faults: &mut Faults) {
    names(files, faults);
    messages(files, faults);
    cycles(files, faults);
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

pub(super) fn find<'f>(files: &'f [File], name: &str) -> Option<&'f Value> {
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
        let words: &[&str] = if name == "ErrorCode" { &["description", "advice"] } else { &["name", "description"] };
        for (code, entry) in entries(file.json.get(table)) {
            for word in words.iter().filter(|word| text(entry, word).is_empty()) {
                let rule = format!("{code} has no {word}");
                faults.0.push(Fault::new(path, format!("/{table}/{code}"), rule, "what the documents shall say"));
            }
        }
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
pub(super) fn inbound(files: &[File]) -> BTreeSet<String> {
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
