//! What docs/CONFIGURATION.md says of the code, made from the code.

use std::fs;

use parking_lot::Mutex;

/// One writes at a time.
static HELD: Mutex<()> = Mutex::new(());

/// Holds the part of that name in docs/CONFIGURATION.md against `text`. `UPDATE=1` writes it anew.
pub fn documented(name: &str, text: &str) {
    let _held = HELD.lock();
    let (begin, end) =
        (format!("<!-- {name}: made by `UPDATE=1 cargo test documented` -->\n"), format!("<!-- end of {name} -->\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
    let document = fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(&begin).expect("the part begins");
    let (committed, after) = rest.split_once(&end).expect("the part ends");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert_eq!(committed, text, "docs/CONFIGURATION.md is stale; run: UPDATE=1 cargo test documented");
    }
}
