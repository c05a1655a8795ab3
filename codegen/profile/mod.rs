//! Refuses what lies outside the profile (schema/README.md): each rule is here because some validator, generator or
//! language breaks without it. A fault names the file, the place, the rule, and what to write instead.
//!
//! [`definition`] holds the rules for one definition, [`pattern`] those for a pattern, [`route`] those for a route, and
//! [`folder`] those that hold over all files together.

mod definition;
mod folder;
mod pattern;
mod route;

use std::collections::BTreeSet;

use super::{
    catalogue::{File, entries, text},
    fault::{Fault, Faults},
    model::pascal,
};

const ID: &str = "https://agent-world.example/schema/";

pub fn check(files: &[File]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let inbound = folder::inbound(files);
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
    folder::check(files, &mut faults);
    faults.or(())
}

/// One file under examination.
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
}
