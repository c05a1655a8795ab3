//! `edits.json`: changes of `schema/`, each with its verdict.

use std::{collections::BTreeSet, fs};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{codegen::catalogue::File, root, surface::Direction};

/// One edit of one file. Pointers are JSON Pointers into the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub why: String,
    file: String,
    /// Values to put in; the last step of a pointer may be new, and `-` appends to a list.
    #[serde(default)]
    set: Map<String, Value>,
    /// What to take out; from a list, by `/list/value`.
    #[serde(default)]
    remove: Vec<String>,
    /// The file goes.
    #[serde(default)]
    delete: bool,
    /// The file begins as a copy of this one.
    like: Option<String>,
    #[serde(rename = "breaks")]
    names: Vec<String>,
    #[serde(skip)]
    pub breaks: BTreeSet<Direction>,
    /// What the breaks must name.
    #[serde(default)]
    pub at: Vec<String>,
    /// No frame or body shows it: a route's address, a message's reply.
    #[serde(default)]
    pub unseen: bool,
}

pub fn read() -> Vec<Edit> {
    let text = fs::read_to_string(root().join("tests/compatibility/edits.json")).expect("edits.json is there");
    let mut edits: Vec<Edit> = serde_json::from_str(&text).expect("edits.json is a list of edits");
    for edit in &mut edits {
        edit.breaks = edit.names.iter().map(|name| direction(name)).collect();
    }
    edits
}

fn direction(name: &str) -> Direction {
    match name {
        "client to server" => Direction::ClientToServer,
        "server to client" => Direction::ServerToClient,
        _ => panic!("no direction: {name}"),
    }
}

impl Edit {
    pub fn apply(&self, files: &[File]) -> Vec<File> {
        let mut files = files.to_vec();
        if let Some(like) = &self.like {
            let json = files.iter().find(|file| file.path == *like).expect("the file to copy").json.clone();
            files.push(File { path: self.file.clone(), json });
        }
        if self.delete {
            files.retain(|file| file.path != self.file);
            return files;
        }
        let file = files.iter_mut().find(|file| file.path == self.file).unwrap_or_else(|| panic!("no {}", self.file));
        for pointer in &self.remove {
            let (parent, last) = split(pointer);
            match file.json.pointer_mut(parent) {
                Some(Value::Object(fields)) => assert!(fields.remove(&last).is_some(), "{}: no {pointer}", self.why),
                Some(Value::Array(items)) => {
                    let (before, index) = (items.len(), last.parse::<usize>());
                    match index {
                        Ok(index) => drop(items.remove(index)),
                        Err(_) => items.retain(|item| *item != last.as_str()),
                    }
                    assert_eq!(items.len() + 1, before, "{}: no {pointer}", self.why);
                }
                _ => panic!("{}: no {pointer}", self.why),
            }
        }
        for (pointer, value) in &self.set {
            let (parent, last) = split(pointer);
            match file.json.pointer_mut(parent) {
                Some(Value::Object(fields)) => drop(fields.insert(last, value.clone())),
                Some(Value::Array(items)) if last == "-" => items.push(value.clone()),
                Some(Value::Array(items)) => items[last.parse::<usize>().expect("an index")] = value.clone(),
                _ => panic!("{}: no {pointer}", self.why),
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

/// The parent's pointer, and the last step as it is meant.
fn split(pointer: &str) -> (&str, String) {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    (parent, last.replace("~1", "/").replace("~0", "~"))
}
