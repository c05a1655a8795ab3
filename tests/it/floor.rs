//! The tests are counted, so that none is lost unseen.

/// The modules of this binary, as they are written.
const SOURCES: &[(&str, &str)] = &[
    ("agents", include_str!("agents.rs")),
    ("assets", include_str!("assets.rs")),
    ("cancel", include_str!("cancel.rs")),
    ("cors", include_str!("cors.rs")),
    ("demo", include_str!("demo.rs")),
    ("documents", include_str!("documents.rs")),
    ("first_conversation", include_str!("first_conversation.rs")),
    ("frames", include_str!("frames.rs")),
    ("handshake", include_str!("handshake.rs")),
    ("health", include_str!("health.rs")),
    ("history", include_str!("history.rs")),
    ("http_chat", include_str!("http_chat.rs")),
    ("http_routes", include_str!("http_routes.rs")),
    ("idempotency", include_str!("idempotency.rs")),
    ("isolation", include_str!("isolation.rs")),
    ("limits", include_str!("limits.rs")),
    ("messages", include_str!("messages.rs")),
    ("models", include_str!("models.rs")),
    ("record", include_str!("record.rs")),
    ("regressions", include_str!("regressions.rs")),
    ("replay", include_str!("replay.rs")),
    ("restart", include_str!("restart.rs")),
    ("resume", include_str!("resume.rs")),
    ("secrets", include_str!("secrets.rs")),
    ("transfer", include_str!("transfer.rs")),
    ("validate", include_str!("validate.rs")),
    ("worlds", include_str!("worlds.rs")),
];
const AT_LEAST: usize = 167;

/// The names of a module's tests.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    let after = source.split("\n#[tokio::test]\n").skip(1).chain(source.split("\n#[test]\n").skip(1));
    after.filter_map(|rest| rest.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
}

/// Whether `module` has that test.
pub fn has(module: &str, test: &str) -> bool {
    SOURCES.iter().any(|(name, source)| *name == module && tests(source).any(|name| name == test))
}

#[test]
fn no_test_is_lost() {
    let mut count = 0;
    for (module, source) in SOURCES {
        let here = tests(source).count();
        assert!(here > 0, "{module} has no test");
        assert!(!source.contains("#[ignore"), "{module} ignores one");
        count += here;
    }
    let modules = include_str!("main.rs").lines().filter(|line| line.starts_with("mod ")).count();
    assert_eq!(modules, SOURCES.len() + ["floor", "support"].len(), "every module is listed here");
    assert!(count >= AT_LEAST, "{count} tests, and there were {AT_LEAST}");
}
