//! A turn's life: start, end, what is posted, who it wakes; the turn limit; pass; auto-mention; recovery.

use super::stage::{Stage, ended, failure, stop, turn_limit};
use crate::{
    protocol::{AgentStatus, FinishReason, Patch, SenderType},
    world::{command::Command, event::Event, turns::Ending},
};

#[test]
fn a_reply_that_stops_is_posted_and_settles() {
    let mut stage = Stage::new(&["a1"]);
    let root = stage.chat("hi");
    let from = stage.log.len();
    let reply = stage.answer("a1", "Hello.");
    assert_eq!(stage.kinds_since(from), ["replyStarted", "replyEnded", "message", "settled"]);
    let Event::Message { message_id, sender, sender_type, in_reply_to, root_id, .. } = &stage.log[from + 2].1 else {
        panic!()
    };
    assert_eq!((message_id, sender.as_str(), *sender_type), (&reply, "a1", SenderType::Agent));
    assert_eq!((in_reply_to.as_ref(), root_id), (Some(&root), &root));
    assert_eq!(stage.settled_since(from), [root]);
    assert!(!stage.world.is_busy());
}

/// Only `stop` and `length` post, enter memory and wake anyone.
#[test]
fn what_an_end_does() {
    for (reason, posts) in [
        (FinishReason::Stop, true),
        (FinishReason::Length, true),
        (FinishReason::Cancelled, false),
        (FinishReason::Error, false),
        (FinishReason::Interrupted, false),
    ] {
        let mut stage = Stage::new(&["a1", "a2"]);
        let root = stage.chat("@a1 hi");
        let reply = stage.start("a1").unwrap();
        let from = stage.log.len();
        let ending = Ending { content: "@a2 what do you think?".to_owned(), ..ended(reason) };
        assert!(stage.end(&reply, ending.clone()));
        assert_eq!(stage.said_since(from).len(), usize::from(posts), "{reason:?}");
        assert_eq!(stage.waiting().len(), usize::from(posts), "{reason:?}");
        assert_eq!(stage.agent("a1").memory.iter().count(), 1 + usize::from(posts), "{reason:?}");
        assert_eq!(stage.agent("a2").memory.iter().count(), 1 + usize::from(posts), "{reason:?}");
        let settled = stage.settled_since(from);
        assert_eq!(settled, if posts { vec![] } else { vec![root] }, "{reason:?}");
        assert!(!stage.end(&reply, ending), "an end ends once");
    }
}

#[test]
fn a_root_settles_when_its_last_turn_is_over() {
    let mut stage = Stage::new(&["a1", "a2", "a3"]);
    let root = stage.chat("hi");
    let from = stage.log.len();
    stage.answer("a2", "One.");
    assert!(stage.settled_since(from).is_empty());
    stage.answer("a1", "@a3 Two?");
    let first = stage.answer("a3", "Three.");
    assert!(stage.settled_since(from).is_empty(), "a3 was woken twice");
    let second = stage.answer("a3", "Four.");
    assert_ne!(first, second);
    assert!(stage.settled_since(from).is_empty(), "Four. was an answer to a1, so it mentions a1");
    stage.answer("a1", "@human done");
    assert_eq!(stage.settled_since(from), [root]);
}

#[test]
fn one_turn_of_an_agent_runs_first_in_first_out() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let (first, second) = (stage.chat("one"), stage.chat("two"));
    let reply = stage.start("a1").unwrap();
    assert_eq!(stage.agent("a1").running.as_ref().unwrap().reply.in_reply_to, first);
    assert_eq!(stage.start("a1"), None);
    assert!(stage.start("a2").is_some(), "agents run in parallel");
    stage.end(&reply, stop("1"));
    stage.start("a1").unwrap();
    assert_eq!(stage.agent("a1").running.as_ref().unwrap().reply.in_reply_to, second);
}

/// Two agents that would talk for ever are stopped by the limit; a human, or a retry, unlocks them.
#[test]
fn the_turn_limit_stops_a_chain_and_a_human_unlocks_it() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.run(Command::UpdateWorld { title: Patch::Absent, turn_limit: Some(turn_limit(2)) });
    let root = stage.chat("@a1 go");
    for (agent, other) in [("a1", "a2"), ("a2", "a1"), ("a1", "a2"), ("a2", "a1")] {
        stage.answer(agent, &format!("@{other} your turn"));
    }
    let from = stage.log.len();
    assert_eq!(stage.start("a1"), None);
    assert_eq!(stage.kinds_since(from), ["message", "turnLimitReached", "settled"]);
    let text = "@human Turn limit reached (2 LLM calls). Please take control of the conversation.";
    assert_eq!(stage.said_since(from), [("system".to_owned(), text.to_owned())]);
    let Event::Message { sender_type, message_id, root_id, .. } = &stage.log[from].1 else { panic!() };
    assert_eq!((*sender_type, root_id), (SenderType::World, &root));
    let Event::TurnLimitReached { reply_id, count, .. } = &stage.log[from + 1].1 else { panic!() };
    assert_ne!(message_id, reply_id, "the post has an id of its own");
    assert_eq!(count.get(), 2);
    assert_eq!(stage.settled_since(from), [root]);
    assert_eq!(stage.waiting(), [""; 0], "it wakes nobody");

    // An agent's word does not unlock; a person's does, for all.
    stage.say("a2", "@a1 please");
    assert_eq!(stage.start("a1"), None);
    stage.chat("@a1 again");
    assert_eq!(stage.agent("a2").public.llm_call_count.get(), 0);
    assert!(stage.start("a1").is_some());
}

#[test]
fn a_turn_that_waits_at_the_limit_is_unlocked_before_any_check() {
    let mut stage = Stage::new(&["a1"]);
    stage.run(Command::UpdateWorld { title: Patch::Absent, turn_limit: Some(turn_limit(1)) });
    stage.chat("one");
    let reply = stage.start("a1").unwrap();
    stage.say("a1", "a word of its own");
    stage.chat("two");
    stage.end(&reply, failure());
    assert!(stage.start("a1").is_some());

    // So does a retry, for everybody.
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.run(Command::UpdateWorld { title: Patch::Absent, turn_limit: Some(turn_limit(1)) });
    stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    stage.end(&reply, failure());
    stage.answer("a2", "Hello.");
    stage.retry(&reply);
    assert_eq!(stage.agent("a2").public.llm_call_count.get(), 0);
    assert!(stage.start("a1").is_some());
}

#[test]
fn a_lowered_limit_counts_from_where_the_agent_is() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("@a1 go");
    stage.answer("a1", "@a2 And?");
    for agent in ["a2", "a1", "a2", "a1", "a2"] {
        stage.answer(agent, "And?");
    }
    stage.run(Command::UpdateWorld { title: Patch::Absent, turn_limit: Some(turn_limit(1)) });
    let from = stage.log.len();
    assert_eq!(stage.start("a1"), None);
    assert!(stage.said_since(from)[0].1.contains("(3 LLM calls)"));
}

#[test]
fn a_pass_is_posted_by_the_system_wakes_nobody_and_resets_nothing() {
    for content in ["<world>pass</world>", "Over. <WORLD>Pass</World> @a2", "@a2 <world>PASS</world>!"] {
        let mut stage = Stage::new(&["a1", "a2"]);
        let root = stage.chat("@a1 hi");
        let from = stage.log.len();
        let reply = stage.answer("a1", content);
        assert_eq!(
            stage.kinds_since(from),
            ["replyStarted", "replyEnded", "message", "passed", "settled"],
            "{content}"
        );
        let Event::Message { message_id, sender, sender_type, content: posted, .. } = &stage.log[from + 2].1 else {
            panic!()
        };
        assert_eq!((message_id, sender.as_str(), *sender_type), (&reply, "system", SenderType::World));
        assert_eq!(posted, "@human a1 is passing control to you");
        assert_eq!(stage.waiting(), [""; 0]);
        assert_eq!(stage.agent("a1").public.llm_call_count.get(), 1);
        assert_eq!(stage.settled_since(from), [root]);
    }
    for content in ["<world>pass</ world>", "pass", "<world> pass</world>"] {
        let mut stage = Stage::new(&["a1", "a2"]);
        stage.chat("@a1 hi");
        let from = stage.log.len();
        stage.answer("a1", content);
        assert_eq!(stage.said_since(from)[0].0, "a1", "{content}");
    }
}

/// Only an agent's reply can pass; what people write is a message like any other.
#[test]
fn a_person_cannot_pass() {
    let mut stage = Stage::new(&["a1"]);
    let (_, answering) = stage.say("human", "<world>pass</world>");
    assert_eq!(answering, ["a1"]);
    let from = stage.log.len();
    stage.say("a1", "<world>pass</world>");
    assert_eq!(stage.said_since(from)[0].0, "a1");
}

#[test]
fn an_answer_to_an_agent_mentions_it() {
    // what a2 replies to a1, and what the world hears
    for (raw, heard, woken) in [
        ("I agree.", "@Scout I agree.", "Scout"),
        ("I agree, @scout.", "I agree, @scout.", "Scout"),
        ("@human I agree.", "@human I agree.", ""),
        ("@nobody hm", "@nobody hm", ""),
        ("mail x@y.z", "@Scout mail x@y.z", "Scout"),
        ("", "@Scout ", "Scout"),
    ] {
        let mut stage = Stage::new(&["Scout", "a2"]);
        stage.say("scout", "@a2 well?");
        let from = stage.log.len();
        let reply = stage.answer("a2", raw);
        assert_eq!(stage.said_since(from), [("a2".to_owned(), heard.to_owned())]);
        assert_eq!(stage.waiting().concat(), woken, "{raw:?}");
        let end = stage.since(from).into_iter().find_map(|event| match event {
            Event::ReplyEnded { content, .. } => Some(content),
            _ => None,
        });
        assert_eq!(end.as_deref(), Some(raw), "the end holds what the model said");
        let own = stage.agent("a2").memory.find(&reply).unwrap();
        assert_eq!(own.content, raw, "and so does its own memory");
        assert_eq!(stage.agent("Scout").memory.find(&reply).unwrap().content, heard);
    }
}

#[test]
fn an_answer_to_a_person_mentions_nobody() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("@a1 hi");
    let from = stage.log.len();
    stage.answer("a1", "Hello.");
    assert_eq!(stage.said_since(from), [("a1".to_owned(), "Hello.".to_owned())]);
}

/// `error` = the last turn ended in `error`; the next that does not sets `active`. Every change is told.
#[test]
fn status_follows_the_turns() {
    use AgentStatus::{Active, Error, Inactive};
    for (before, reason, after) in [
        (Active, FinishReason::Stop, Active),
        (Active, FinishReason::Error, Error),
        (Error, FinishReason::Error, Error),
        (Error, FinishReason::Stop, Active),
        (Error, FinishReason::Length, Active),
        (Error, FinishReason::Cancelled, Active),
        (Error, FinishReason::Interrupted, Active),
        (Inactive, FinishReason::Error, Inactive),
        (Inactive, FinishReason::Stop, Inactive),
    ] {
        let mut stage = Stage::new(&["a1"]);
        if before == Error {
            stage.chat("hi");
            let reply = stage.start("a1").unwrap();
            stage.end(&reply, failure());
            assert_eq!(stage.status("a1"), Error);
        }
        stage.chat("hi");
        let reply = stage.start("a1").expect("an agent in error answers like an active one");
        if before == Inactive {
            stage.set_status("a1", crate::protocol::WritableStatus::Inactive);
        }
        let from = stage.log.len();
        stage.end(&reply, ended(reason));
        assert_eq!(stage.status("a1"), after, "{before:?}, {reason:?}");
        let told = stage.kinds_since(from).iter().filter(|kind| *kind == "agentUpdated").count();
        assert_eq!(told, usize::from(before != after), "{before:?}, {reason:?}");
    }
}

#[test]
fn calls_and_times_are_counted() {
    let mut stage = Stage::new(&["a1"]);
    assert_eq!(stage.agent("a1").public.last_llm_call, None);
    stage.chat("one");
    stage.answer("a1", "1");
    stage.say("a1", "@a1 by itself");
    let public = &stage.agent("a1").public;
    assert_eq!((public.llm_call_count.get(), stage.agent("a1").calls), (1, 1));
    assert!(public.last_llm_call.is_some() && public.last_active >= public.last_llm_call);
    stage.chat("two");
    assert_eq!((stage.agent("a1").public.llm_call_count.get(), stage.agent("a1").calls), (0, 1));
    stage.answer("a1", "2");
    assert_eq!((stage.agent("a1").public.llm_call_count.get(), stage.agent("a1").calls), (1, 2));
}

/// What an actor does that finds a started turn nobody runs: it ends, with nothing; a waiting one runs.
#[test]
fn a_turn_cut_off_by_a_crash_ends_interrupted() {
    let mut stage = Stage::new(&["a1", "a2"]);
    let root = stage.chat("hi");
    let reply = stage.start("a1").unwrap();
    let from = stage.log.len();
    let ending = Ending::stopped(String::new(), FinishReason::Interrupted);
    assert!(stage.end(&reply, ending.clone()));
    assert!(!stage.end(&reply, ending));
    assert_eq!(stage.kinds_since(from), ["replyEnded"]);
    assert_eq!(stage.waiting(), ["a2"]);
    stage.answer("a2", "Hello.");
    assert_eq!(stage.settled_since(from), [root]);
}
