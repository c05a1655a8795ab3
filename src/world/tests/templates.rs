//! Templates: read once, never written, refused with the file's name when they are not sound.

use std::fs;

use crate::{
    protocol::TemplateName,
    world::{
        event::Event,
        template::{InvalidTemplate, Templates, first_events},
    },
};

/// A template of one agent.
fn template(name: &str, agent: &str) -> String {
    format!(
        r#"{{"name": "{name}", "description": "For a test.", "turnLimit": 3,
             "agents": [{{"name": "{agent}", "config": {{"provider": "script"}}}}]}}"#
    )
}

/// Loads a folder of these files; a path may lead into a folder of its own.
fn load(files: &[(&str, &str)]) -> Result<Templates, InvalidTemplate> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Templates::load(Some(dir.path()))
}

#[test]
fn three_are_embedded() {
    let templates = Templates::load(None).unwrap();
    assert_eq!(templates.iter().count(), 3);
    let default = templates.get("DEFAULT-world").expect("names that differ only in case are one");
    let events = first_events(default, None, 0);
    assert_eq!(events.len(), 1 + default.agents.len());
    assert!(matches!(&events[0], Event::WorldCreated { template_name, .. } if *template_name == default.name));
}

#[test]
fn a_folder_adds_to_them_and_replaces_them() {
    let templates = load(&[
        ("mine.json", &template("mine", "a1")),
        ("Debate.json", &template("Debate", "own")),
        ("deep/template.json", &template("deep", "a1")),
        ("deep/a1.md", "You are deep.\n"),
        ("notes.txt", "not a template"),
        ("mine.script.json", "{}"),
        (".git/readme", "not one either"),
    ])
    .unwrap();
    assert_eq!(templates.names().len(), 5);
    assert_eq!(templates.get("debate").unwrap().agents[0].name.as_str(), "own");
    let deep = templates.get("deep").unwrap();
    assert_eq!(deep.agents[0].config.system_prompt.as_deref(), Some("You are deep."));
    assert!(TemplateName::try_from("mine").is_ok_and(|name| templates.get(name.as_str()).is_some()));
}

#[test]
fn what_is_not_sound_stops_the_start_and_names_the_file() {
    let prompted = template("deep", "a1").replace(r#""provider""#, r#""systemPrompt": "This.", "provider""#);
    let twice = template("twice", "a1").replace("[{", r#"[{"name": "A1", "config": {}}, {"#);
    for (files, words) in [
        (vec![("bad.json", "{")], ["bad.json", "JSON"]),
        (vec![("bad.json", r#"{"name": "bad"}"#)], ["bad.json", "agents"]),
        (vec![("other.json", &template("bad", "a1"))], ["other.json", "other"]),
        (vec![("bad.json", &template("bad", "Human"))], ["bad.json", "/agents/0/name"]),
        (vec![("twice.json", &twice)], ["twice.json", "/agents/1/name"]),
        (
            vec![("twin.json", &template("twin", "a1")), ("TWIN/template.json", &template("TWIN", "a1"))],
            ["twin", "twice"],
        ),
        (
            vec![("deep/template.json", &template("deep", "a1")), ("deep/a2.md", "Whose?")],
            ["a2.md", "no agent of that name"],
        ),
        (vec![("empty/a1.md", "Whose?")], ["empty is not", "needs a template.json"]),
        (vec![("deep/template.json", &prompted), ("deep/a1.md", "Which?")], ["a1.md", "systemPrompt"]),
    ] as [(Vec<(&str, &str)>, [&str; 2]); 9]
    {
        let error = load(&files).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{files:?}: {error}");
        }
    }
}
