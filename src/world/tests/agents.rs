//! Agents and settings of a world: create, update, delete, docs/PROTOCOL.md §6: "agent", "update", "status", "keys".

use super::stage::{Stage, failure, json, name, stop};
use crate::{
    protocol::{
        Agent, AgentConfigUpdate, AgentDefinitionConfig, AgentStatus, ErrorCode, FinishReason, Patch, Title,
        WritableStatus,
    },
    world::{
        command::{AgentChange, Answer, Command},
        decide::MAX_AGENTS,
        event::Event,
    },
};

fn create(agent: &str, config: &str) -> Command {
    Command::CreateAgent {
        name: name(agent),
        status: WritableStatus::Active,
        config: json::<AgentDefinitionConfig>(config),
    }
}

fn patch(agent: &str, config: &str) -> Command {
    Command::UpdateAgent(AgentChange {
        agent_name: name(agent),
        status: None,
        config: Some(json::<AgentConfigUpdate>(config)),
        clear_memory: false,
    })
}

#[track_caller]
fn agent(answer: Answer) -> Agent {
    match answer {
        Answer::Agent { agent } => agent,
        other => panic!("{other:?}"),
    }
}

/// The keys that the last decision wrote: whose, and what.
fn keys(stage: &Stage) -> Vec<(&str, Option<&str>)> {
    stage.secrets.iter().map(|change| (change.agent_name.as_str(), change.api_key.as_deref())).collect()
}

#[test]
fn names_that_no_agent_may_have() {
    let mut stage = Stage::new(&["Scout"]);
    for taken in ["Scout", "SCOUT", "scout", "human", "Human", "user", "USER", "system", "World"] {
        assert_eq!(stage.refused(create(taken, "{}")), ErrorCode::Conflict, "{taken}");
    }
}

#[test]
fn a_world_holds_so_many_agents() {
    let mut stage = Stage::new(&[]);
    (0..MAX_AGENTS).for_each(|n| drop(stage.run(create(&format!("a{n}"), "{}"))));
    assert_eq!(stage.refused(create("more", "{}")), ErrorCode::Conflict);
}

#[test]
fn a_created_agent_shows_everything_but_its_key() {
    let mut stage = Stage::new(&[]);
    let from = stage.log.len();
    let made = agent(stage.run(create(
        "Scout",
        r#"{"provider": "openai", "model": "m", "temperature": 0, "maxTokens": 7, "systemPrompt": "", "apiKey": "sk-1"}"#,
    )));
    assert_eq!(keys(&stage), [("Scout", Some("sk-1"))]);
    assert_eq!(stage.since(from), [Event::AgentCreated { agent: made.clone() }]);
    assert!(made.config.has_api_key);
    assert_eq!(made.config.temperature.unwrap().get(), 0.0);
    assert_eq!((made.last_active, made.last_llm_call, made.llm_call_count.get()), (None, None, 0));
    let stored = String::from_utf8(stage.since(from)[0].to_record().unwrap()).unwrap();
    assert!(!stored.contains("sk-1"), "{stored}");
}

/// A merge patch: absent keeps, null unsets, a value sets.
#[test]
fn patches_merge() {
    let full = r#"{"provider": "openai", "model": "m", "temperature": 0.5, "maxTokens": 7, "systemPrompt": "p"}"#;
    for (change, merged) in [
        ("{}", full),
        (
            r#"{"temperature": 0}"#,
            r#"{"provider": "openai", "model": "m", "temperature": 0, "maxTokens": 7, "systemPrompt": "p"}"#,
        ),
        (
            r#"{"model": null, "systemPrompt": null, "temperature": null, "maxTokens": null}"#,
            r#"{"provider": "openai"}"#,
        ),
        (
            r#"{"model": "n", "systemPrompt": ""}"#,
            r#"{"provider": "openai", "model": "n", "temperature": 0.5, "maxTokens": 7, "systemPrompt": ""}"#,
        ),
        (
            r#"{"provider": "script", "baseUrl": "http://localhost:1"}"#,
            r#"{"provider": "script", "baseUrl": "http://localhost:1", "model": "m", "temperature": 0.5, "maxTokens": 7, "systemPrompt": "p"}"#,
        ),
    ] {
        let mut stage = Stage::new(&[]);
        stage.run(create("Scout", full));
        let patched = agent(stage.run(patch("sCOUT", change)));
        let mut expected = Stage::new(&[]);
        let expected = agent(expected.run(create("Scout", merged)));
        assert_eq!(patched.config, expected.config, "{change}");
        assert_eq!(stage.agent("Scout").public, patched);
    }
}

/// A key never follows an agent to another provider or address than it was given for.
#[test]
fn what_becomes_of_a_key() {
    const KEYED: &str = r#"{"provider": "openai", "baseUrl": "http://localhost:1", "apiKey": "sk-1"}"#;
    const KEYLESS: &str = r#"{"provider": "openai", "baseUrl": "http://localhost:1"}"#;
    // before, the patch, the secret written, whether there is one after
    let cases: &[(&str, &str, &[(&str, Option<&str>)], bool)] = &[
        (KEYED, r#"{"model": "n"}"#, &[], true),
        (KEYED, r#"{"provider": "openai"}"#, &[], true),
        (KEYED, r#"{"baseUrl": "http://localhost:1"}"#, &[], true),
        (KEYED, r#"{"provider": "anthropic"}"#, &[("a1", None)], false),
        (KEYED, r#"{"baseUrl": "http://localhost:2"}"#, &[("a1", None)], false),
        (KEYED, r#"{"baseUrl": null}"#, &[("a1", None)], false),
        (KEYED, r#"{"apiKey": null}"#, &[("a1", None)], false),
        (KEYED, r#"{"apiKey": "sk-2"}"#, &[("a1", Some("sk-2"))], true),
        (KEYED, r#"{"provider": "xai", "apiKey": "sk-2"}"#, &[("a1", Some("sk-2"))], true),
        (KEYLESS, r#"{"provider": "xai"}"#, &[], false),
        (KEYLESS, r#"{"apiKey": "sk-2"}"#, &[("a1", Some("sk-2"))], true),
    ];
    for (before, change, written, has) in cases {
        let mut stage = Stage::new(&[]);
        stage.run(create("a1", before));
        let patched = agent(stage.run(patch("a1", change)));
        assert_eq!(&keys(&stage), written, "{change}");
        assert_eq!(patched.config.has_api_key, *has, "{change}");
    }
}

#[test]
fn every_update_is_told() {
    let mut stage = Stage::new(&["a1"]);
    for (status, after) in
        [(WritableStatus::Inactive, AgentStatus::Inactive), (WritableStatus::Active, AgentStatus::Active)]
    {
        let from = stage.log.len();
        stage.set_status("A1", status);
        assert_eq!(stage.since(from), [Event::AgentUpdated { agent: stage.agent("a1").public.clone() }]);
        assert_eq!(stage.status("a1"), after);
    }
    let unknown = patch("a2", "{}");
    assert_eq!(stage.refused(unknown), ErrorCode::AgentNotFound);
}

/// Setting an agent active ends its error, too.
#[test]
fn an_error_can_be_reset() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    stage.end(&reply, failure());
    stage.run(patch("a1", "{}"));
    assert_eq!(stage.status("a1"), AgentStatus::Error);
    stage.set_status("a1", WritableStatus::Active);
    assert_eq!(stage.status("a1"), AgentStatus::Active);
}

/// An agent that becomes inactive finishes what it says, and answers nothing that waits.
#[test]
fn an_agent_that_becomes_inactive_drops_what_waits() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let first = stage.chat("@a1 one");
    let second = stage.chat("@a1 two");
    let reply = stage.start("a1").unwrap();
    let from = stage.log.len();
    stage.set_status("a1", WritableStatus::Inactive);
    assert_eq!(stage.kinds_since(from), ["turnsDropped", "settled", "agentUpdated"]);
    assert_eq!(stage.settled_since(from), [second]);
    stage.end(&reply, stop("Last words."));
    assert_eq!(stage.settled_since(from)[1], first);
    assert_eq!(stage.start("a1"), None);
}

#[test]
fn a_deleted_agent_ends_what_it_does() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let roots = [stage.chat("@a1 one"), stage.chat("@a1 two")];
    let reply = stage.start("a1").unwrap();
    let from = stage.log.len();
    stage.run(Command::DeleteAgent { agent_name: name("A1") });
    assert_eq!(keys(&stage), [("a1", None)]);
    let events = stage.since(from);
    assert!(matches!(&events[0], Event::ReplyEnded { reply: ended, finish_reason: FinishReason::Cancelled, .. }
        if ended.message_id == reply));
    assert!(matches!(events.last(), Some(Event::AgentDeleted { .. })));
    let mut settled = stage.settled_since(from);
    settled.sort();
    assert_eq!(settled, roots);
    assert!(stage.world.agent("a1").is_none() && !stage.world.is_busy());
    assert_eq!(stage.refused(Command::DeleteAgent { agent_name: name("a1") }), ErrorCode::AgentNotFound);
    // The name is free again, and nothing of the old agent is left.
    stage.run(create("A1", "{}"));
    assert_eq!(stage.agent("a1").memory.iter().count(), 0);
    assert_eq!(stage.start("a1"), None);
}

#[test]
fn a_world_s_settings_are_patched() {
    let title = |text: &str| Title::try_from(text).unwrap();
    for (change, limit, titled, limited) in [
        (Patch::Absent, None, Some("A stage"), 5),
        (Patch::Absent, Some(7), Some("A stage"), 7),
        (Patch::Null, None, None, 5),
        (Patch::Value(title("Neu")), Some(1), Some("Neu"), 1),
    ] {
        let mut stage = Stage::new(&[]);
        let from = stage.log.len();
        stage.run(Command::UpdateWorld { title: change, turn_limit: limit.map(super::stage::turn_limit) });
        assert_eq!(stage.kinds_since(from), ["worldUpdated"]);
        assert_eq!(stage.world.title.as_deref(), titled);
        assert_eq!(stage.world.turn_limit.get(), limited);
    }
}
