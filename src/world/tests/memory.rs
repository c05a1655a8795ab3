//! What agents remember and what their model is asked, docs/PROTOCOL.md §6: "memory" and "prompt".

use super::stage::{Stage, id, name, script};
use crate::{
    protocol::{MessageId, WritableStatus},
    world::{
        command::{AgentChange, Command},
        memory::{KEPT, PROMPTED},
    },
};

fn heard(stage: &Stage, agent: &str) -> Vec<String> {
    stage.agent(agent).memory.iter().map(|item| format!("{}: {}", item.speaker, item.content)).collect()
}

/// The prompt of the running turn.
fn prompt(stage: &Stage, agent: &str) -> Vec<MessageId> {
    let agent = stage.agent(agent);
    let waking = agent.running.as_ref().unwrap().waking.as_ref();
    agent.memory.prompt(waking).iter().map(|item| item.message_id.clone()).collect()
}

#[test]
fn everybody_hears_everything() {
    let mut stage = Stage::new(&["a1", "a2", "off"]);
    stage.set_status("off", WritableStatus::Inactive);
    stage.chat("@a1 hi");
    stage.answer("a1", "@a2 ask him");
    stage.answer("a2", "No.");
    stage.say("a2", "Well.");
    let expected = ["human: @a1 hi", "a1: @a2 ask him", "a2: @a1 No.", "a2: Well."];
    assert_eq!(heard(&stage, "a1"), expected);
    assert_eq!(heard(&stage, "off"), expected, "who is inactive remembers");
    assert_eq!(heard(&stage, "a2"), ["human: @a1 hi", "a1: @a2 ask him", "a2: No.", "a2: Well."], "its own is raw");
}

#[test]
fn a_pass_and_the_limit_are_heard_as_the_system() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("@a1 hi");
    stage.answer("a1", "<world>pass</world>");
    assert_eq!(heard(&stage, "a2"), ["human: @a1 hi", "system: @human a1 is passing control to you"]);
    assert_eq!(heard(&stage, "a1"), ["human: @a1 hi", "a1: <world>pass</world>"]);
}

#[test]
fn a_new_agent_remembers_nothing_and_a_cleared_one_neither() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    stage.run(Command::CreateAgent { name: name("late"), status: WritableStatus::Active, config: script() });
    assert_eq!(heard(&stage, "late"), [""; 0]);
    let clear = AgentChange { agent_name: name("A1"), status: None, config: None, clear_memory: true };
    let from = stage.log.len();
    stage.run(Command::UpdateAgent(clear));
    assert_eq!(stage.kinds_since(from), ["agentUpdated", "memoryCleared"]);
    assert_eq!(heard(&stage, "a1"), [""; 0]);
    // The turn that waits still knows what it is about.
    stage.start("a1").unwrap();
    assert_eq!(prompt(&stage, "a1").len(), 1);
}

#[test]
fn fifty_are_kept() {
    let mut stage = Stage::new(&["a1"]);
    for n in 0..KEPT + 7 {
        stage.chat(&format!("@nobody {n}"));
    }
    assert_eq!(heard(&stage, "a1").len(), KEPT);
    assert_eq!(heard(&stage, "a1")[0], "human: @nobody 7");
}

/// The waking message is asked exactly once, wherever it stands.
#[test]
fn the_waking_message_is_asked_exactly_once() {
    // said after the question, before the turn starts → where the question stands in the prompt
    for (later, expected_len, expected_at) in
        [(0, 1, 0), (3, 4, 0), (PROMPTED - 1, PROMPTED, 0), (PROMPTED, PROMPTED, 0), (KEPT + 5, PROMPTED, 0)]
    {
        let mut stage = Stage::new(&["a1"]);
        let question = stage.chat("@a1 what?");
        for n in 0..later {
            stage.chat(&format!("@nobody {n}"));
        }
        stage.start("a1").unwrap();
        let asked = prompt(&stage, "a1");
        assert_eq!(asked.len(), expected_len, "{later}");
        assert_eq!(asked.iter().position(|id| *id == question), Some(expected_at), "{later}");
        assert_eq!(asked.iter().filter(|id| **id == question).count(), 1, "{later}");
    }
    let mut stage = Stage::new(&["a1"]);
    (0..20).for_each(|n| drop(stage.chat(&format!("@nobody {n}"))));
    let question = stage.chat("@a1 what?");
    stage.start("a1").unwrap();
    assert_eq!(prompt(&stage, "a1").last(), Some(&question));
    assert_eq!(prompt(&stage, "a1").len(), PROMPTED);
}

/// The prompt is the memory as of the start: what is said while the turn waits is in it.
#[test]
fn what_was_said_while_the_turn_waited_is_asked() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("hi");
    let other = stage.answer("a2", "Hello.");
    stage.start("a1").unwrap();
    assert_eq!(prompt(&stage, "a1").last(), Some(&other));
}

#[test]
fn a_retried_reply_is_asked_what_it_was_asked_before() {
    let mut stage = Stage::new(&["a1"]);
    let question = stage.chat("@a1 what?");
    let reply = stage.start("a1").unwrap();
    stage.end(&reply, super::stage::failure());
    for n in 0..KEPT + 5 {
        stage.chat(&format!("@nobody {n}"));
    }
    stage.retry(&reply);
    stage.start("a1").unwrap();
    assert_eq!(prompt(&stage, "a1")[0], question);
    assert_ne!(question, id(0));
}
