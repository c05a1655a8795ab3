//! Holds the imports of `src/` to the layers of docs/ARCHITECTURE.md.

use std::{collections::BTreeSet, fs, path::Path};

/// What each part may import of the crate, besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("shutdown", &[]),
    ("protocol", &[]),
    ("error", &["protocol"]),
    ("problem", &["error", "protocol"]),
    ("peer", &["error", "protocol"]),
    ("log", &["secret"]),
    ("provider", &["protocol", "secret"]),
    ("world", &["error", "log", "protocol", "provider", "secret"]),
    ("session", &["error", "log", "protocol", "provider", "world"]),
    ("telemetry", &[]),
    ("config", &["protocol", "provider", "telemetry"]),
    ("demo", &["error", "log", "protocol", "session", "world"]),
    ("ws", &["error", "peer", "problem", "protocol", "session", "shutdown", "world"]),
    ("http", &["error", "log", "peer", "problem", "protocol", "session", "shutdown", "world"]),
    ("conform", &["protocol"]),
    ("listen", &["peer", "shutdown"]),
    ("upkeep", &["error", "log", "session", "world"]),
    ("frames", &["config", "protocol", "provider", "world"]),
    (
        "server",
        &[
            "config", "demo", "error", "http", "listen", "log", "protocol", "provider", "session", "shutdown",
            "upkeep", "world", "ws",
        ],
    ),
];

#[test]
fn nothing_imports_upwards() {
    let mut edges = 0;
    let mut wrong = Vec::new();
    for (part, allowed) in LAYERS {
        for (file, text) in sources(part) {
            for imported in imports(&text) {
                edges += 1;
                if imported != *part && !allowed.contains(&imported.as_str()) {
                    wrong.push(format!("{file} imports crate::{imported}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that the layers do not allow:\n{}", wrong.join("\n"));
    assert!(edges >= 100, "only {edges} imports were found: did the sources move?");
}

#[test]
fn every_part_has_its_layer() {
    let known: BTreeSet<_> = LAYERS.iter().map(|(part, _)| (*part).to_owned()).collect();
    // What only the program has may import everything.
    let program = fs::read_to_string("src/main.rs").expect("the program is there");
    let parts: BTreeSet<_> = fs::read_dir("src")
        .expect("src is there")
        .map(|entry| entry.expect("src can be read").path())
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .filter(|part| part != "lib" && part != "main" && !program.contains(&format!("\nmod {part};\n")))
        .collect();
    assert_eq!(parts, known);
}

#[test]
fn the_domain_names_no_transport() {
    for part in ["world", "log", "provider", "protocol"] {
        for (file, text) in sources(part) {
            for word in ["axum", "hyper", "tungstenite", "WebSocket"] {
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                assert!(!code.into_iter().any(|line| line.contains(word)), "{file} names {word}");
            }
        }
    }
}

fn sources(part: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(Path::new("src").join(part).as_path(), &mut found);
    let file = Path::new("src").join(format!("{part}.rs"));
    if file.is_file() {
        found.push((file.display().to_string(), fs::read_to_string(&file).expect("a source can be read")));
    }
    assert!(!found.is_empty(), "src has no part {part}");
    found
}

fn collect(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("a folder can be read").path();
        let test = path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem == "tests" || stem == "contract" || stem.ends_with("_tests") || stem.starts_with("fake_")
        });
        if path.is_dir() && !test {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !test {
            let text = fs::read_to_string(&path).expect("a source can be read");
            found.push((path.display().to_string(), text));
        }
    }
}

/// The parts named after `crate::`, in `use` lists too.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let after = &text[at + "crate::".len()..];
        match after.strip_prefix('{') {
            None => found.extend(first_word(after)),
            Some(list) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            found.extend(first_word(&item));
                            item.clear();
                        }
                        _ => {}
                    }
                    if !(c == ',' && depth == 0) {
                        item.push(c);
                    }
                }
                found.extend(first_word(&item));
            }
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}
