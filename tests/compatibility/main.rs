//! Whether a change of `schema/` breaks anybody who was built against the last release, `released/<protocol>.json`.
//!
//! What one side may send, the other side must accept, also when one of them is older: what old clients send, and what
//! old clients read. [`subsumption`] decides it, field by field; `edits.json` holds it to edits whose verdict is known, and
//! each of those verdicts to the frames that pass before and after.

#[path = "../../codegen/mod.rs"]
#[expect(dead_code, reason = "the build uses the rest")]
mod codegen;
mod corpus;
mod differing;
mod edit;
#[path = "../differential/mutate.rs"]
mod mutate;
#[path = "../differential/node.rs"]
mod node;
mod subsumption;
mod surface;

use std::{
    collections::BTreeSet,
    env, fs,
    num::NonZero,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use codegen::{
    catalogue::{File, read_files},
    publish::{PROTOCOL, pretty},
};
use serde_json::{Map, Value, json};
use surface::{Break, Direction, Surface, breaks};

const RELEASE: &str = "RELEASE=1 cargo test --test compatibility";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn releases() -> PathBuf {
    root().join("tests/compatibility/released")
}

fn current() -> Vec<File> {
    read_files(&root().join("schema")).expect("schema/ is readable")
}

/// Schemas as they are released: without what is only for readers.
fn bare(value: &Value) -> Value {
    const WORDS: [&str; 4] = ["description", "examples", "x-examples", "summary"];
    match value {
        Value::Object(fields) => {
            let said = |(key, value): &(&String, &Value)| !WORDS.contains(&key.as_str()) || is_schema(value);
            fields.iter().filter(said).map(|(key, value)| (key.clone(), bare(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        _ => value.clone(),
    }
}

/// A property may be called `description`.
fn is_schema(value: &Value) -> bool {
    value.get("$ref").is_some() || value.get("type").is_some()
}

fn released(text: &str) -> Vec<File> {
    let bundle: Value = serde_json::from_str(text).expect("a release is JSON");
    let files = bundle["schema"].as_object().expect("a release has schemas");
    files.iter().map(|(path, json)| File { path: path.clone(), json: json.clone() }).collect()
}

fn told(breaks: &[Break]) -> String {
    breaks.iter().map(|found| format!("  {found}\n")).collect()
}

#[test]
fn nothing_breaks_those_who_speak_the_released_protocol() {
    let path = releases().join(format!("{PROTOCOL}.json"));
    let current = current();
    let found = match fs::read_to_string(&path) {
        Ok(text) => breaks(&Surface::of(&released(&text)), &Surface::of(&current)),
        Err(_) if env::var_os("RELEASE").is_some() => Vec::new(),
        Err(error) => panic!("{PROTOCOL} has no release ({error}); `{RELEASE}` makes it"),
    };
    assert!(
        found.is_empty(),
        "schema/ breaks who was built against tests/compatibility/released/{PROTOCOL}.json:\n{}Undo that, or, if it must \
         be, give the protocol a new version (PROTOCOL in codegen/publish.rs), then `{RELEASE}`. Before the first release \
         there is nobody to break: delete the file, then the same command",
        told(&found)
    );
    if env::var_os("RELEASE").is_some() {
        let schema: Map<String, Value> = current.iter().map(|file| (file.path.clone(), bare(&file.json))).collect();
        let bundle = json!({"protocol": PROTOCOL, "version": env!("CARGO_PKG_VERSION"), "schema": schema});
        fs::create_dir_all(releases()).expect("the folder of releases can be made");
        fs::write(path, pretty(&bundle)).expect("the release can be written");
    }
}

/// What is left out of a release makes no difference to the comparison.
#[test]
fn a_release_says_what_the_schemas_say() {
    let bare: Vec<File> =
        current().iter().map(|file| File { path: file.path.clone(), json: bare(&file.json) }).collect();
    let (full, bare) = (Surface::of(&current()), Surface::of(&bare));
    assert_eq!(told(&breaks(&full, &bare)), "");
    assert_eq!(told(&breaks(&bare, &full)), "");
    assert!(full.slots.len() > 80, "only {} things cross the wire", full.slots.len());
}

#[test]
fn every_labelled_edit_is_judged_as_labelled_and_the_frames_agree() {
    let before = current();
    let old = Surface::of(&before);
    let edits = edit::read();
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut wrong, mut frames) = (Vec::new(), 0);
        while let Some(edit) = edits.get(next.fetch_add(1, Ordering::Relaxed)) {
            frames += judge(edit, &before, &old, &mut wrong);
        }
        (wrong, frames)
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no edit panics")).collect()
    });
    let frames: usize = results.iter().map(|(_, frames)| frames).sum();
    let wrong: Vec<String> = results.into_iter().flat_map(|(wrong, _)| wrong).collect();
    assert!(wrong.is_empty(), "{} of {} edits:\n{}", wrong.len(), edits.len(), wrong.join("\n"));
    let judged: BTreeSet<_> = edits.iter().map(|edit| &edit.breaks).collect();
    assert!(edits.len() >= 40 && judged.len() == 4, "{} edits of {} kinds", edits.len(), judged.len());
    println!("{} edits, {frames} documents", edits.len());
}

/// Holds one edit to its label, and the label to the documents, of which it tells the number.
fn judge(edit: &edit::Edit, before: &[File], old: &Surface, wrong: &mut Vec<String>) -> usize {
    let after = edit.apply(before);
    let new = Surface::of(&after);
    let found = breaks(old, &new);
    let broken: BTreeSet<Direction> = found.iter().map(|found| found.direction).collect();
    if broken != edit.breaks {
        wrong.push(format!("{}: {broken:?} instead of {:?}\n{}", edit.why, edit.breaks, told(&found)));
    }
    for at in &edit.at {
        if !found.iter().any(|found| found.to_string().contains(at)) {
            wrong.push(format!("{}: nothing names {at}:\n{}", edit.why, told(&found)));
        }
    }
    if edit.unseen {
        return 0;
    }
    let seen = corpus::verdict((before, old), (&after, &new));
    if seen.broken != edit.breaks {
        wrong.push(format!("{}: the documents say {:?}, the label {:?}", edit.why, seen.broken, edit.breaks));
    }
    seen.frames
}
