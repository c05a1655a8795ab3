//! A state as bytes: whole, and no larger than what is remembered.

use std::{collections::HashSet, sync::Arc};

use super::stage::Stage;
use crate::world::{snapshot, state::World};

/// Agents that heard the same.
fn heard(agents: usize, messages: usize, length: usize) -> World {
    let names: Vec<_> = (0..agents).map(|agent| format!("a{agent}")).collect();
    let mut stage = Stage::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for message in 0..messages {
        stage.chat(&format!("@human {message} {}", "x".repeat(length)));
    }
    stage.world
}

#[test]
fn what_was_written_is_read() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("hi");
    stage.chat("@a1 and again");
    stage.chat_as("Ann", "@a2 and I");
    for world in [heard(3, 60, 10), stage.world] {
        assert_eq!(snapshot::read(&snapshot::write(&world).unwrap()).unwrap(), world);
        // As it was written before.
        let before = serde_json::to_vec(&world).unwrap();
        assert_eq!(snapshot::read(&before).unwrap(), world);
        assert!(snapshot::read(&before[..before.len() - 1]).is_err());
    }
    assert!(snapshot::read(b"{}").is_err());
    assert!(snapshot::read(br#"{"items":[],"world":{}}"#).is_err());
}

#[test]
fn a_message_is_written_and_held_once() {
    let (one, many) = (heard(1, 50, 10_000), heard(64, 50, 10_000));
    let written = snapshot::write(&many).unwrap();
    let alone = snapshot::write(&one).unwrap().len();
    assert!(written.len() < alone + 64 * 1_000, "{alone} bytes for one agent, {} for 64", written.len());
    let held = |world: &World| {
        let items = world.agents().flat_map(|agent| agent.memory.iter());
        items.map(|item| Arc::as_ptr(item) as usize).collect::<HashSet<_>>().len()
    };
    assert_eq!((held(&many), held(&snapshot::read(&written).unwrap())), (50, 50));
}
