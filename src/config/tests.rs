use std::{ffi::OsString, fs, time::Duration};

use clap::Command;
use parking_lot::Mutex;

use super::*;
use crate::provider;

/// Reads the settings from a file, an environment and a command line.
fn load(file: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent-world.toml");
    fs::write(&path, file).unwrap();
    let mut line = vec!["agent-world"];
    if !file.is_empty() {
        line.extend(["--config", path.to_str().unwrap()]);
    }
    line.extend(arguments);
    let command = Command::new("agent-world").args(Config::arguments());
    let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
    let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
    let shown = dir.path().join("").display().to_string();
    Config::load(&matches, lookup).map_err(|error| error.to_string().replace(&shown, ""))
}

#[test]
fn without_any_source_it_is_the_default() {
    assert_eq!(load("", &[], &[]), Ok(Config::default()));
}

#[test]
fn the_stronger_source_wins_setting_by_setting() {
    let file = "listen = \"127.0.0.1:1\"\nturns = 1\nping-interval = \"1s\"\nallow-host = [\"a\", \"b\"]\n";
    let environment = [("AGENT_WORLD_LISTEN", "127.0.0.1:2"), ("AGENT_WORLD_TURNS", "2"), ("AGENT_WORLD_GRACE", "")];
    let config = load(file, &environment, &["--listen", "127.0.0.1:3"]).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.turns, 2);
    assert_eq!(config.ping_interval, Duration::from_secs(1));
    assert_eq!(config.allow_host, ["a", "b"]);
    assert_eq!(config.grace, Config::default().grace);
}

#[test]
fn every_spelling_is_understood() {
    let arguments = [
        "--trust-proxy",
        "--allow-origin=https://a.example",
        "--allow-origin=http://localhost:5173, *",
        "--idle-timeout=90s",
        "--user-retention=7d",
        "--chat-rate=0.5",
        "--validate=both",
        "--log-format=json",
    ];
    let config = load("trust-proxy = false", &[("AGENT_WORLD_IDLE_TIMEOUT", "never")], &arguments).unwrap();
    assert!(config.trust_proxy);
    assert_eq!(config.allow_origin, ["https://a.example", "http://localhost:5173", "*"]);
    assert_eq!(config.idle_timeout, Some(Duration::from_secs(90)));
    assert_eq!(config.user_retention, Duration::from_secs(7 * 24 * 3_600));
    assert_eq!((config.chat_rate, config.validate, config.log_format), (0.5, Validate::Both, LogFormat::Json));
    let token = format!("-{}", "a".repeat(42));
    let config = load("", &[], &["--demo-token", &token, "--turns", "3"]).unwrap();
    assert_eq!((config.demo_token.map(|token| token.to_string()), config.turns), (Some(token), 3));
    let config = load("trust-proxy = true\nidle-timeout = \"never\"", &[], &["--trust-proxy=false"]).unwrap();
    assert_eq!((config.trust_proxy, config.idle_timeout), (false, None));
}

#[test]
fn a_wrong_setting_names_itself_and_its_source() {
    let cases: &[(&str, &[(&str, &str)], &[&str], &str)] = &[
        (
            "",
            &[],
            &["--listen", "3001"],
            "--listen: `3001` is not an address with a port such as 127.0.0.1:3001 or [::1]:3001",
        ),
        ("", &[("AGENT_WORLD_TURNS", "0")], &[], "AGENT_WORLD_TURNS: `0` is not between 1 and 100000"),
        ("", &[("AGENT_WORLD_TURNS", "many")], &["--turns", "3"], "AGENT_WORLD_TURNS: `many` is not a whole number"),
        ("turns = -1", &[], &[], "agent-world.toml: turns: `-1` is not a whole number"),
        ("", &[], &["--log-records", "-1"], "--log-records: `-1` is not a whole number"),
        ("", &[], &["--grace", "-5s"], "--grace: `-5s` is not a time such as"),
        ("chat-rate = nan", &[], &[], "agent-world.toml: chat-rate: `NaN` is not between 0.001 and 1000000"),
        (
            "ping-interval = 25",
            &[],
            &[],
            "agent-world.toml: ping-interval: `25` is not a time such as 500ms, 25s, 5m, 24h or 30d",
        ),
        ("", &[], &["--grace", "0s"], "--grace: `0s` is not a time between 1ms and 3650d"),
        ("", &[], &["--grace", "99999999999999999d"], "--grace: `99999999999999999d` is not a time such as"),
        ("", &[], &["--max-frame-bytes", "10"], "--max-frame-bytes: `10` is not between 1024 and 1048576"),
        ("", &[], &["--data-dir", ""], "--data-dir: `` is not a path"),
        ("trust-proxy = \"yes\"", &[], &[], "agent-world.toml: trust-proxy: `yes` is not true or false"),
        ("", &[], &["--allow-origin", "app.example.com"], "--allow-origin: `app.example.com` is not an origin such as"),
        ("", &[], &["--allow-origin", "https://a/b"], "--allow-origin: `https://a/b` is not an origin such as"),
        ("", &[], &["--allow-host", "https://a"], "--allow-host: `https://a` is not a host such as"),
        ("", &[], &["--allow-base-url", "ftp://x"], "--allow-base-url: `ftp://x` is not of the form"),
        (
            "",
            &[],
            &["--allow-origin", "http://*.example.com"],
            "--allow-origin: `http://*.example.com` is not an origin such as",
        ),
        ("", &[], &["--log", "infoo"], "--log: `infoo` is not a level such as info"),
        ("", &[], &["--log", "info,loud"], "--log: `info,loud` is not a level such as info"),
        ("", &[], &["--log", "agent_world=loud"], "--log: `agent_world=loud` is not a level such as info"),
        (
            "",
            &[],
            &["--demo-token", "secret"],
            "--demo-token: is not a session token: 43 characters of A-Z a-z 0-9 - _",
        ),
        ("", &[("AGENT_WORLD_DEMO_TOKEN", "=")], &[], "AGENT_WORLD_DEMO_TOKEN: is not a session token: 43 characters"),
        ("", &[], &["--log-format", "xml"], "--log-format: `xml` is not text or json"),
        ("", &[], &["--validate", "never"], "--validate: `never` is not typed or both"),
        ("data_dir = \"x\"", &[], &[], "agent-world.toml: data_dir: it is written data-dir"),
        ("lissten = \"x\"", &[], &[], "agent-world.toml: lissten: there is no such setting; see --help"),
        ("config = \"x\"", &[], &[], "agent-world.toml: config: there is no such setting; see --help"),
        ("[limits]\nturns = 1", &[], &[], "agent-world.toml: limits: there is no such setting"),
        ("turns = {}", &[], &[], "agent-world.toml: turns: is neither a single value nor a list of texts"),
        ("turns = 1\nturns = 2", &[], &[], "agent-world.toml: line 2 is not TOML: duplicate key"),
        ("", &[], &["--config", "/nowhere/at.all"], "/nowhere/at.all: failed to read it: "),
        ("", &[("AGENT_WORLD_CONFIG", "/nowhere/at.all")], &[], "/nowhere/at.all: failed to read it: "),
        ("", &[], &["--turns", "1", "--turns", "2"], "error: the argument '--turns <NUMBER>' cannot be used multiple"),
        ("", &[], &["--data-dir", "--turns", "3"], "error: a value is required for '--data-dir <DIR>' but none was"),
        ("", &[], &["--lissten", "x"], "error: unexpected argument '--lissten' found"),
    ];
    for (file, environment, arguments, message) in cases {
        let refused = load(file, environment, arguments).expect_err(message);
        assert!(refused.starts_with(message), "{refused}\n  instead of\n{message}");
        assert!(refused.starts_with("error") || refused.lines().count() == 1, "{refused}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_refused() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        let matches = Command::new("agent-world").args(Config::arguments()).get_matches_from(["agent-world"]);
        let lookup = |name: &str| (name == "AGENT_WORLD_LOG").then(|| OsString::from_vec(vec![0xff]));
        assert_eq!(Config::load(&matches, lookup).unwrap_err().to_string(), "AGENT_WORLD_LOG: is not UTF-8");
    }
}

#[test]
fn what_a_default_shows_is_what_it_is_read_from() {
    for setting in SETTINGS {
        if let Some(text) = (setting.show)(&Config::default()) {
            let mut config = Config::default();
            assert_eq!((setting.set)(&mut config, &text), Ok(()), "{}", setting.name());
            assert_eq!(config, Config::default(), "{}", setting.name());
        }
    }
}

/// One writes at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// Holds the part of that name in docs/CONFIGURATION.md against `text`. `UPDATE=1` writes it anew.
fn documented(name: &str, text: &str) {
    let _writing = WRITING.lock();
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

#[test]
fn every_provider_is_documented() {
    documented("providers", &provider::table());
}

#[test]
fn every_setting_is_documented() {
    let mut table = String::new();
    let mut heading = "";
    for setting in SETTINGS {
        if setting.heading != heading {
            heading = setting.heading;
            table += &format!("\n### {heading}\n\n| setting | what it is | default |\n|---|---|---|\n");
        }
        let default = match setting.field {
            "validate" => "`typed`".to_owned(),
            _ => (setting.show)(&Config::default()).map(|text| format!("`{text}`")).unwrap_or_default(),
        };
        table += &format!("| `{}` | {} | {default} |\n", setting.name(), setting.sentence());
    }
    table += "\n";
    documented("settings", &table);
}
