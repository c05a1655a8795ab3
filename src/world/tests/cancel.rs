//! `chat_cancel`, docs/PROTOCOL.md §3.

use super::stage::{Stage, id, stop};
use crate::{
    protocol::{ErrorCode, FinishReason},
    world::{command::Command, event::Event, state::REMEMBERED},
};

/// The ends appended since: which reply, how, with what text.
fn ends(stage: &Stage, from: usize) -> Vec<(crate::protocol::MessageId, FinishReason, String)> {
    let ends = stage.since(from).into_iter().filter_map(|event| match event {
        Event::ReplyEnded { reply, finish_reason, content, .. } => Some((reply.message_id, finish_reason, content)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_running_reply_ends_with_its_text_so_far() {
    let mut stage = Stage::new(&["a1"]);
    let root = stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    let from = stage.log.len();
    assert_eq!(stage.cancel(Some(&reply)), (vec![reply.clone()], 0));
    assert_eq!(ends(&stage, from), [(reply.clone(), FinishReason::Cancelled, "so far".to_owned())]);
    assert_eq!(stage.settled_since(from), [root]);
    assert_eq!(stage.said_since(from), []);
    // Twice is harmless, and so is the provider's own end.
    let from = stage.log.len();
    assert_eq!(stage.cancel(Some(&reply)), (vec![], 0));
    assert!(!stage.end(&reply, stop("too late")));
    assert_eq!(stage.log.len(), from);
}

#[test]
fn a_waiting_reply_is_dropped_without_an_end() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let root = stage.chat("hi");
    stage.answer("a2", "Hello.");
    let waiting = stage.agent("a1").waiting[0].reply.message_id.clone();
    let from = stage.log.len();
    assert_eq!(stage.cancel(Some(&waiting)), (vec![], 1));
    assert_eq!(stage.kinds_since(from), ["turnsDropped", "settled"]);
    assert_eq!(stage.settled_since(from), [root]);
    assert_eq!(stage.start("a1"), None);
    assert_eq!(stage.cancel(Some(&waiting)), (vec![], 0), "twice is harmless");
}

#[test]
fn a_chat_message_stands_for_its_whole_root() {
    let mut stage = Stage::new(&["a1", "a2", "a3"]);
    let root = stage.chat("hi");
    let other = stage.chat("@a3 something else");
    let running = [stage.start("a1").unwrap(), stage.start("a3").unwrap()];
    let from = stage.log.len();
    assert_eq!(stage.cancel(Some(&root)), (running.to_vec(), 1));
    assert_eq!(stage.settled_since(from), std::slice::from_ref(&root), "once for the root");
    assert_eq!(stage.waiting(), ["a3"], "what is asked elsewhere goes on");
    assert_eq!(stage.cancel(Some(&root)), (vec![], 0));
    stage.answer("a3", "Hello.");
    assert_eq!(stage.settled_since(from), [root, other]);
}

/// A message of the system in a chain stands for the chain's root; a posted reply is the reply it was.
#[test]
fn what_an_id_stands_for() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let root = stage.chat("hi");
    let posted = stage.answer("a1", "Hello.");
    stage.start("a2").unwrap();
    assert_eq!(stage.cancel(Some(&posted)), (vec![], 0));
    let (ids, dropped) = stage.cancel(Some(&root));
    assert_eq!((ids.len(), dropped), (1, 0));
}

#[test]
fn without_an_id_everything_is_meant() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let roots = [stage.chat("one"), stage.chat("two"), stage.chat("@a2 three")];
    let reply = stage.start("a2").unwrap();
    let from = stage.log.len();
    assert_eq!(stage.cancel(None), (vec![reply], 4));
    let mut settled = stage.settled_since(from);
    settled.sort();
    assert_eq!(settled, roots);
    assert!(!stage.world.is_busy());
    let from = stage.log.len();
    assert_eq!(stage.cancel(None), (vec![], 0));
    assert_eq!(stage.log.len(), from);
}

#[test]
fn an_unknown_id_is_refused() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    let cancel = |message_id| Command::Cancel { message_id: Some(message_id) };
    assert_eq!(stage.refused(cancel(id(0xdead))), ErrorCode::MessageNotFound);
}

/// Old ids are forgotten, but never those of what still runs.
#[test]
fn a_busy_root_stays_known() {
    let mut stage = Stage::new(&["a1"]);
    let idle = stage.chat("@nobody");
    let busy = stage.chat("@a1 take your time");
    let reply = stage.start("a1").unwrap();
    for _ in 0..REMEMBERED {
        stage.chat("@nobody");
    }
    assert_eq!(stage.refused(Command::Cancel { message_id: Some(idle) }), ErrorCode::MessageNotFound);
    assert_eq!(stage.cancel(Some(&busy)), (vec![reply], 0));
}
