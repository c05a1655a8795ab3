//! How many turns may wait, docs/PROTOCOL.md §6: "turns".

use super::stage::{Stage, chat, failure};
use crate::{
    protocol::ErrorCode,
    world::{command::Command, decide::QUEUE, event::Event},
};

/// `a1` with a full queue.
fn full() -> Stage {
    let mut stage = Stage::new(&["a1", "a2"]);
    (0..QUEUE).for_each(|_| drop(stage.chat("@a1 hi")));
    stage
}

#[test]
fn the_thirty_third_is_refused_whole() {
    let mut stage = full();
    assert_eq!(stage.agent("a1").waiting.len(), QUEUE);
    for content in ["@a1 hi", "hi all"] {
        assert_eq!(stage.refused(chat("human", content, None)), ErrorCode::Overloaded, "{content}");
    }
    assert_eq!(stage.refused(chat("human", "hi", Some("a1"))), ErrorCode::Overloaded);
    assert_eq!(stage.refused(chat("a2", "@a1 hi", None)), ErrorCode::Overloaded, "said as an agent, by a client");
    stage.chat("@a2 you are free");
    stage.start("a1").unwrap();
    stage.chat("@a1 there is room again");
    assert_eq!(stage.refused(chat("human", "@a1 hi", None)), ErrorCode::Overloaded);
}

#[test]
fn a_retry_is_refused_alike() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    stage.end(&reply, failure());
    (0..QUEUE).for_each(|_| drop(stage.chat("hi")));
    assert_eq!(stage.refused(Command::Retry { message_id: reply }), ErrorCode::Overloaded);
}

/// An agent's own message is always appended; whose queue is full is not woken.
#[test]
fn an_agent_s_own_message_is_appended_all_the_same() {
    let mut stage = full();
    let root = stage.chat("@a2 hi");
    let from = stage.log.len();
    stage.answer("a2", "@a1 are you there?");
    assert_eq!(stage.kinds_since(from), ["replyStarted", "replyEnded", "message", "queueFull", "settled"]);
    assert!(
        stage
            .since(from)
            .iter()
            .any(|event| { matches!(event, Event::QueueFull { agent_name, .. } if agent_name.as_str() == "a1") })
    );
    assert_eq!(stage.settled_since(from), [root]);
    assert_eq!(stage.agent("a1").waiting.len(), QUEUE);
}
