//! The conformance kit holds itself together: its files are what their schema says, every rule of docs/PROTOCOL.md is
//! checked or listed with a reason, every message, route and error code is touched, and a released set does not change.
//! The run against this server and the broken servers are `agent-world conform` and `agent-world conform --mutants`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::{Duration, Instant},
};

use agent_world::conform::{
    client::scenario as client,
    embedded,
    mutant::mutants,
    rules::{order, rules},
    scenario::{SCHEMA, Scenario},
    standing, tamper,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const KIT: &str = "tests/conformance";

fn scenarios() -> Vec<Scenario> {
    embedded::scenarios().unwrap_or_else(|error| panic!("{error}"))
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(format!("{KIT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_scenario_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let mut held = 0;
    for scenario in scenarios() {
        let file = read(&format!("scenarios/{}.json", scenario.name));
        let faults: Vec<_> = validator.iter_errors(&file).map(|error| error.instance_path().to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", scenario.name);
        held += 1;
    }
    assert!(held >= 120, "{held}");
    assert!(!validator.is_valid(&json!({"title": "no steps", "rules": [], "steps": []})));
    for broken in [
        r#"{"title": "nonsense", "rules": ["R1.1"], "steps": [{"nonsense": 1}]}"#,
        r#"{"title": "two actions", "rules": ["R1.1"], "steps": [{"fence": "a", "leave": "a"}]}"#,
        r#"{"title": "unknown field", "rules": ["R1.1"], "steps": [{"fence": "a", "ok": {}}]}"#,
        r#"{"title": "no frame", "rules": ["R1.1"], "steps": [{"expect": "nonsense"}]}"#,
    ] {
        assert!(Scenario::parse("x/y", broken).is_err(), "{broken}");
    }
    // What the schema cannot say: rules that there are not, and what is expected and no check.
    for (rules, step, told) in [
        (r#""R99.1""#, r#"{"fence": "a"}"#, "x/y is no scenario: /rules: docs/PROTOCOL.md has no rule R99.1"),
        (r#""R1.1""#, r#"{"ask": "ping", "check": "x", "rules": ["R1.999"]}"#, "/steps/0/rules: docs/PROTOCOL.md has"),
        (
            r#""R1.1""#,
            r#"{"fence": "a", "holds": [{"check": "x", "rules": ["R1.999"], "none": "any"}]}"#,
            "/steps/0/holds/0/rules: docs/PROTOCOL.md has no rule R1.999",
        ),
        (
            r#""R1.1""#,
            r#"{"ask": "ping", "ok": {"a": "$as a", "b": 5}}"#,
            "/steps/0/ok: a step that expects this needs",
        ),
        (
            r#""R1.1""#,
            r#"{"ask": "ping", "ok": {"a": "$any"}}"#,
            "/steps/0/ok: a step that expects this needs a `check`",
        ),
        (
            r#""R1.1""#,
            r#"{"ask": "ping", "error": "CONFLICT"}"#,
            "/steps/0/error: a step that expects this needs a `ch",
        ),
        (r#""R1.1""#, r#"{"closed": "a", "code": 4001}"#, "/steps/0/code: a step that expects this needs a `check`"),
        (
            r#""R1.1""#,
            r#"{"repeat": 2, "steps": [{"ask": "ping", "ok": {"a": 1}}]}"#,
            "/steps/0/steps/0/ok: a step that expects this needs a `check`",
        ),
    ] {
        let text = format!(r#"{{"title": "wrong", "rules": [{rules}], "steps": [{step}]}}"#);
        let refused = Scenario::parse("x/y", &text).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    let captures = r#"{"title": "captures", "rules": ["R1.1"], "steps": [
        {"ask": "ping", "ok": {"a": "$as a", "b": {"c": {"$regex": "^(.)", "$as": ["d"]}}}}]}"#;
    assert!(Scenario::parse("x/y", captures).is_ok());
}

#[test]
fn every_scenario_for_a_client_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(client::SCHEMA).unwrap();
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let scenarios = client::embedded().unwrap_or_else(|error| panic!("{error}"));
    for scenario in &scenarios {
        let file = read(&format!("client/{}.json", scenario.name));
        assert!(validator.is_valid(&file), "{}", scenario.name);
        for rule in &scenario.rules {
            assert!(rules().contains_key(rule), "{} names {rule}", scenario.name);
        }
    }
    assert!(scenarios.len() >= 25, "{}", scenarios.len());
    for (steps, told) in [
        (r#"{"nonsense": 1}"#, "one verb is wanted, not 0"),
        (r#"{"cut": true, "close": 4000}"#, "one verb is wanted, not 2"),
        (r#"{"ping": true}, {"delta": 5}"#, "step 2/delta"),
        (r#"{"accept": "newcomer", "offset": 1}"#, "step 1"),
    ] {
        let text = format!(r#"{{"title": "x", "rules": ["R1.1"], "steps": [{steps}]}}"#);
        let refused = client::parse("x", &text).unwrap_err();
        assert!(refused.contains(told), "{refused}");
        assert!(!validator.is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
    }
    for (rule, steps, told) in [
        ("R99.1", r#"{"cut": true}"#, "x.json: docs/PROTOCOL.md has no rule R99.1"),
        ("R1.1", r#"{"cut": true}, {"nobody": 5}"#, "x.json, step 2/nobody: a step with this needs a `check`"),
        ("R1.1", r#"{"never": {"observed": "x"}}"#, "x.json, step 1/never: a step with this needs a `check`"),
        ("R1.1", r#"{"chat": {}, "same": true}"#, "x.json, step 1/same: a step with this needs a `check`"),
    ] {
        let refused = client::parse("x", &format!(r#"{{"title": "x", "rules": ["{rule}"], "steps": [{steps}]}}"#));
        assert!(refused.as_ref().is_err_and(|refused| refused.starts_with(told)), "{refused:?}");
    }
}

#[test]
fn every_check_has_a_name_of_its_own_and_a_broken_server() {
    let (mut checks, mut broken) = (0, 0);
    for scenario in scenarios() {
        let names = scenario.checks();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len(), "{}: a check's name is given twice", scenario.name);
        let all = mutants(&scenario);
        for name in &names {
            assert!(all.iter().any(|mutant| mutant.check == *name), "{}#{name} has no broken server", scenario.name);
        }
        checks += names.len();
        broken += all.len();
    }
    let tampers = tamper::tampers().unwrap_or_else(|error| panic!("broken.json: {error}"));
    for (check, ..) in standing::STANDING {
        let name = format!("standing/{check}");
        assert!(tampers.iter().any(|tamper| tamper.fails == name), "{name} has no broken server");
    }
    checks += standing::STANDING.len();
    broken += tampers.len();
    println!("{checks} checks, {broken} broken servers");
    assert!(checks >= 750 && broken >= 1_000, "{checks} checks, {broken} broken servers");
}

/// A rule is named by a scenario, or stands in `uncovered.json` with the reason why none names it.
#[test]
fn every_rule_is_checked_or_listed_with_a_reason() {
    let uncovered = read("uncovered.json");
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for scenario in scenarios() {
        for rule in scenario.all_rules() {
            assert!(
                rules().contains_key(&rule),
                "{} names {rule}, which docs/PROTOCOL.md does not have",
                scenario.name
            );
            named.entry(rule).or_insert_with(|| scenario.name.clone());
        }
    }
    for rule in standing::rules() {
        assert!(rules().contains_key(&rule), "a standing check names {rule}, which docs/PROTOCOL.md does not have");
        named.entry(rule).or_insert_with(|| "a standing check".to_owned());
    }
    let mut missing: Vec<_> =
        rules().keys().filter(|id| !named.contains_key(*id) && uncovered.get(id).is_none()).collect();
    missing.sort_by_key(|id| order(id));
    let told: Vec<String> = missing.iter().map(|id| format!("{id}: {}", rules()[*id])).collect();
    assert!(missing.is_empty(), "neither a scenario nor a reason:\n{}", told.join("\n"));
    for (id, reason) in uncovered.as_object().unwrap() {
        assert!(rules().contains_key(id), "uncovered.json lists {id}, which does not exist");
        assert!(!named.contains_key(id), "{id} is listed as uncovered, and {} checks it", named[id]);
        assert!(reason.as_str().is_some_and(|reason| reason.len() > 10), "{id}: no reason");
    }
    println!("{} of {} rules are checked", named.len(), rules().len());
    assert!(named.len() >= 350, "only {} rules are checked", named.len());
}

/// The set of a released version is frozen: what passed it must go on passing it.
#[test]
fn the_frozen_set_is_as_it_was() {
    let mut set = BTreeMap::new();
    for scenario in scenarios() {
        let text = fs::read(format!("{KIT}/scenarios/{}.json", scenario.name)).unwrap();
        let hash: String = Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        set.insert(scenario.name, hash);
    }
    let path = format!("{KIT}/{}.set.json", agent_world::protocol::VERSION);
    let now = json!({"protocol": agent_world::protocol::VERSION, "scenarios": set});
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{now:#}\n")).unwrap();
    }
    let known: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    let known: BTreeMap<String, String> = serde_json::from_value(known["scenarios"].clone()).unwrap_or_default();
    let changed: Vec<_> = set.keys().chain(known.keys()).filter(|name| set.get(*name) != known.get(*name)).collect();
    assert!(
        changed.is_empty(),
        "the set of {} is not {path}: {changed:?}\nbefore its release: UPDATE=1 cargo test --test conformance; \
         afterwards a change belongs to the next version",
        agent_world::protocol::VERSION
    );
}

fn conform(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_agent-world")).arg("conform").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

/// The whole set against this server: all pass, and everything that can be touched is.
#[test]
fn this_server_conforms() {
    let report = std::env::temp_dir().join(format!("conform-{}.xml", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_agent-world"))
        .args(["conform", "--json", "--timeout", "30", "--junit"])
        .arg(&report)
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&Value> =
        json["scenarios"].as_array().unwrap().iter().filter(|one| one["outcome"] != "passed").collect();
    assert!(output.status.success() && failed.is_empty(), "{failed:#?}");
    println!("{} scenarios, {} checks, {} ms", json["passed"], json["checks"], json["milliseconds"]);
    let touched = |list: &str| -> BTreeSet<String> {
        json["touched"][list].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let catalogue: Value = serde_json::from_str(&fs::read_to_string("generated/catalogue.json").unwrap()).unwrap();
    let all = |list: &str, field: &str, of: fn(&Value) -> bool| -> BTreeSet<String> {
        let list = catalogue[list].as_array().unwrap().iter();
        list.filter(|one| of(one)).map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(touched("client"), all("messages", "type", |one| one["direction"] == "client"));
    assert_eq!(touched("routes"), all("routes", "operationId", |_| true));
    let provokable = all("errorCodes", "code", |one| one["provokable"] == true);
    assert!(touched("codes").is_superset(&provokable), "{:?}", provokable.difference(&touched("codes")));
    assert_eq!(touched("server").len(), 14, "{:?}", touched("server"));
    let junit = fs::read_to_string(&report).unwrap();
    fs::remove_file(&report).unwrap();
    assert_eq!(junit.matches("<testcase").count() as u64, json["passed"].as_u64().unwrap());
}

/// What answers with another protocol, or not at all, is told in one line; nothing hangs.
#[test]
fn something_else_is_a_clear_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            use std::io::{Read, Write};
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        }
    });
    let (code, text) = conform(&[&format!("http://{address}")]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("does not speak this protocol"), "{text}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, words) in [
        (vec![format!("http://{free}")], "no server answers"),
        (vec!["https://127.0.0.1:1".to_owned()], "only http and ws"),
        (vec!["--only".to_owned(), "no such scenario".to_owned()], "no scenario has such a name"),
        (vec!["--baseline".to_owned(), "/no/such/file".to_owned()], "--baseline: /no/such/file: No such file"),
        (vec!["--export".to_owned(), "/proc/kit".to_owned()], "--export: /proc/kit: "),
    ] {
        let (code, text) = conform(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(code == 2 && text.contains(words), "{arguments:?}: {code} {text}");
    }
}

/// What starts a server may be a line of shell that does not become one. It is stopped, too, and waited for.
#[cfg(unix)]
#[test]
fn a_server_ends_with_the_shell_that_started_it() {
    let ports = std::env::temp_dir().join(format!("conform-ports-{}", std::process::id()));
    let start = format!(
        "cd / && echo $CONFORM_PORT >>{} && {} serve --listen $CONFORM_LISTEN --data-dir $CONFORM_DATA --log error \
         --script $CONFORM_SCRIPT --templates $CONFORM_TEMPLATES $CONFORM_SETTINGS; echo it ended",
        ports.display(),
        env!("CARGO_BIN_EXE_agent-world")
    );
    let (code, text) = conform(&["--start", &start, "--only", "restart/acknowledged", "--only", "transport/binary"]);
    assert_eq!(code, 0, "{text}");
    let used = fs::read_to_string(&ports).unwrap();
    fs::remove_file(&ports).unwrap();
    assert!(used.lines().count() >= 3, "{used}");
    let since = Instant::now();
    for port in used.lines() {
        // A server of another test may have been given the port meanwhile: those end, and one that was left does not.
        while std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok() {
            assert!(since.elapsed().as_secs() < 60, "a server is still there, on port {port} of {used:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A file of one's own that is wrong is named by its path, before anything runs.
#[test]
fn a_scenario_that_is_wrong_is_told_with_its_file() {
    let dir = std::env::temp_dir().join(format!("conform-wrong-{}", std::process::id()));
    fs::create_dir_all(dir.join("area")).unwrap();
    let own = dir.display().to_string();
    let nothing = dir.join("area").display().to_string();
    for client in [&[][..], &["--client", "true"]] {
        let (code, text) = conform(&[&["--scenarios", "/no/such/dir"], client].concat());
        assert!(code == 2 && text.contains("--scenarios: /no/such/dir: No such file"), "{text}");
        let (code, text) = conform(&[&["--scenarios", &nothing], client].concat());
        assert!(code == 2 && text.contains(&format!("--scenarios: {nothing} holds no <")), "{text}");
    }
    let file = json!({"title": "a scenario of the test", "rules": ["R1.999"], "steps": [{"fence": "a"}]});
    fs::write(dir.join("area/wrong.json"), file.to_string()).unwrap();
    let (code, text) = conform(&["--scenarios", &own]);
    let told = format!("{own}/area/wrong.json is no scenario: /rules: docs/PROTOCOL.md has no rule R1.999");
    assert!(code == 2 && text.contains(&told), "{text}");
    let file = json!({"title": "one for a client", "rules": ["R1.1"], "steps": [{"cut": true}, {"nobody": 5}]});
    fs::write(dir.join("wrong.json"), file.to_string()).unwrap();
    let (code, text) = conform(&["--scenarios", &own, "--client", "true"]);
    let told = format!("{own}/wrong.json, step 2/nobody: a step with this needs a `check`");
    assert!(code == 2 && text.contains(&told), "{text}");
    fs::remove_dir_all(&dir).unwrap();
}

/// A baseline: what fails as expected is no failure, what passes is one. And skips are told by the exit code.
#[test]
fn baselines_skips_and_exit_codes() {
    let dir = std::env::temp_dir().join(format!("conform-test-{}", std::process::id()));
    fs::create_dir_all(dir.join("own/area")).unwrap();
    let scenario = |name: &str, ok: Value, extra: Value| {
        let mut file = json!({"title": "a scenario of the test", "rules": ["R3.9"], "script": false, "steps": [
            {"connect": "a", "check": "greeted", "ok": ok}, {"ask": "ping"}]});
        file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        fs::write(dir.join(format!("own/area/{name}.json")), file.to_string()).unwrap();
    };
    scenario("good", json!({"protocolVersion": "agent-world.v1"}), json!({}));
    scenario("wrong", json!({"protocolVersion": "another"}), json!({}));
    let own = dir.join("own").display().to_string();
    let baseline = |lines: &str| {
        fs::write(dir.join("baseline"), lines).unwrap();
        dir.join("baseline").display().to_string()
    };
    let run = |more: &[&str]| conform(&[&["--scenarios", own.as_str()], more].concat());
    let (code, text) = run(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("✗ area/wrong#greeted") && text.contains("expected \"another\""), "{text}");
    assert!(text.contains("[R3.9]") && text.contains("a ← {"), "the rule and the conversation are told: {text}");
    assert_eq!(run(&["--only", "good"]).0, 0);
    let (code, text) = run(&["--only", "good", "--junit", "/no/such/report.xml"]);
    assert!(code == 2 && text.contains("--junit: /no/such/report.xml: No such file"), "{text}");
    assert!(text.contains("1 of 1 scenarios passed"), "what came of it is said all the same: {text}");
    let (code, text) = run(&["--only", "good", "--mutants", "--table", "/no/such/table"]);
    assert!(code == 2 && text.contains("--table: /no/such/table: No such file"), "{text}");
    assert_eq!(run(&["--baseline", &baseline("area/wrong#greeted // known\n")]).0, 0);
    assert_eq!(run(&["--baseline", &baseline("\u{feff}area/wrong\n")]).0, 0, "the scenario as a whole");
    let junit = dir.join("junit.xml").display().to_string();
    let (code, text) = run(&["--junit", &junit, "--baseline", &baseline("area/wrong#greeted\narea/good#greeted\n")]);
    assert!(code == 1 && text.contains("area/good#greeted stands in the baseline and does not fail"), "{text}");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains(r#"tests="3" failures="1" skipped="1""#),
        "what it shows is what the exit code says: {junit}"
    );
    let (code, text) = run(&["--baseline", &baseline("area/wrong#greeted\narea/good#none\n")]);
    assert!(code == 1 && text.contains("area/good#none stands in the baseline, and there is no such check"), "{text}");
    // What exists and was not asked for says nothing; what does not exist is an error.
    let (code, text) = run(&["--only", "good", "--baseline", &baseline("area/wrong#greeted\n")]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["--only", "good", "--baseline", &baseline("area/gone#greeted\n")]);
    assert!(code == 1 && text.contains("area/gone#greeted stands in the baseline, and there is no such"), "{text}");
    fs::remove_file(dir.join("own/area/wrong.json")).unwrap();
    scenario("unfair", json!({}), json!({"steps": [{"connect": "a"}, {"ask": "ping", "payload": {"extra": 1}}]}));
    let (code, text) = run(&[]);
    assert!(code == 1 && text.contains("a fault of the kit or the scenario"), "{text}");
    let (code, text) = run(&["--only", "good", "--mutants"]);
    assert!(code == 0 && text.contains("1 broken servers, 1 of them fail"), "{text}");
    fs::remove_dir_all(&dir).unwrap();
}
