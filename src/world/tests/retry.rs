//! `chat_retry`, docs/PROTOCOL.md §3.

use super::stage::{Stage, ended, failure, id, name};
use crate::{
    protocol::{ErrorCode, FinishReason, WritableStatus},
    world::{
        command::{Answer, Command},
        event::Event,
    },
};

#[test]
fn only_what_failed_was_cancelled_or_interrupted() {
    for (reason, refusal) in [
        (FinishReason::Stop, Some(ErrorCode::Conflict)),
        (FinishReason::Length, Some(ErrorCode::Conflict)),
        (FinishReason::Error, None),
        (FinishReason::Cancelled, None),
        (FinishReason::Interrupted, None),
    ] {
        let mut stage = Stage::new(&["a1", "a2"]);
        let root = stage.chat("@a1 hi");
        let reply = stage.start("a1").unwrap();
        stage.end(&reply, ended(reason));
        let from = stage.log.len();
        let command = Command::Retry { message_id: reply.clone() };
        if let Some(refusal) = refusal {
            assert_eq!(stage.refused(command), refusal, "{reason:?}");
            continue;
        }
        let Answer::Accepted { message_id, seq, answering } = stage.run(command) else { panic!() };
        assert_eq!(seq, from as u64 + 1, "that of the routed record");
        assert_eq!(answering, [name("a1")]);
        assert_ne!(message_id, reply);
        let Event::Routed { message_id: asked, root_id, turns, retry_of } = &stage.log[from].1 else { panic!() };
        assert_eq!((asked, root_id, retry_of.as_ref()), (&root, &root, Some(&reply)));
        assert_eq!(turns[0].reply_id, message_id);
        assert!(stage.world.is_busy());

        assert_eq!(stage.start("a1"), Some(message_id.clone()));
        let Some(Event::ReplyStarted { reply: started, .. }) = stage.since(from).pop() else { panic!() };
        assert_eq!((&started.in_reply_to, &started.root_id), (&root, &root));
        stage.end(&message_id, ended(FinishReason::Stop));
        assert_eq!(stage.settled_since(from), [root], "busy again, settled again");
    }
}

#[test]
fn what_cannot_be_retried() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let root = stage.chat("hi");
    let running = stage.start("a1").unwrap();
    let waiting = stage.agent("a2").waiting[0].reply.message_id.clone();
    for (id, refusal) in [
        (root, ErrorCode::Conflict),
        (running, ErrorCode::Conflict),
        (waiting.clone(), ErrorCode::Conflict),
        (id(0xdead), ErrorCode::MessageNotFound),
    ] {
        assert_eq!(stage.refused(Command::Retry { message_id: id }), refusal);
    }
    // A turn that was dropped has no end.
    stage.cancel(Some(&waiting));
    assert_eq!(stage.refused(Command::Retry { message_id: waiting }), ErrorCode::Conflict);
}

#[test]
fn an_agent_that_cannot_answer_is_not_retried() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    stage.end(&reply, failure());
    stage.set_status("a1", WritableStatus::Inactive);
    assert_eq!(stage.refused(Command::Retry { message_id: reply.clone() }), ErrorCode::Conflict);
    stage.run(Command::DeleteAgent { agent_name: name("a1") });
    assert_eq!(stage.refused(Command::Retry { message_id: reply }), ErrorCode::AgentNotFound);
}

/// An answer to an agent stays one when it is run again.
#[test]
fn a_retry_still_mentions_whom_it_answers() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.say("a1", "@a2 well?");
    let reply = stage.start("a2").unwrap();
    stage.end(&reply, failure());
    stage.retry(&reply);
    let from = stage.log.len();
    stage.answer("a2", "Yes.");
    assert_eq!(stage.said_since(from), [("a2".to_owned(), "@a1 Yes.".to_owned())]);
}

/// A retry can fail and be retried.
#[test]
fn a_retry_can_be_retried() {
    let mut stage = Stage::new(&["a1"]);
    stage.chat("hi");
    let mut reply = stage.start("a1").unwrap();
    for _ in 0..3 {
        stage.end(&reply, failure());
        let again = stage.retry(&reply);
        assert_eq!(stage.start("a1"), Some(again.clone()));
        reply = again;
    }
}
