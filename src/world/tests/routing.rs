//! Who answers what, docs/PROTOCOL.md §6: "sender", "who answers", "mention".

use super::stage::{Stage, accepted, chat};
use crate::{
    protocol::{ErrorCode, SenderType, WritableStatus},
    world::event::Event,
};

/// The golden vectors: does `a1` answer, in a world of `a1` and `a2`?
#[test]
fn golden_vectors() {
    let cases = [
        ("HUMAN", "hi", true),
        ("Human", "hi", true),
        ("user", "hi", true),
        ("HUMAN", "hey @A1", true),
        ("HUMAN", "@a1, @a2", true),
        ("HUMAN", "@a1.", true),
        ("HUMAN", "(@a1)", true),
        ("HUMAN", "@@a1 hi", true),
        ("HUMAN", "@1a hi", true),
        ("HUMAN", "mail bob@example.com", true),
        ("HUMAN", "@a2 @a1", false),
        ("HUMAN", "@nobody @a1", false),
        ("HUMAN", "@a1-x", false),
        ("HUMAN", "@a1_", false),
        ("HUMAN", "@human yes", false),
        ("a2", "hi", false),
    ];
    for (sender, content, answers) in cases {
        let mut stage = Stage::new(&["a1", "a2"]);
        let (_, answering) = stage.say(sender, content);
        assert_eq!(answering.contains(&"a1".to_owned()), answers, "{content:?} from {sender}: {answering:?}");
        assert_eq!(stage.waiting(), answering, "the acknowledgement says who was woken: {content:?}");
    }
}

/// The last golden vector: a message of the world wakes nobody, whatever it says.
#[test]
fn a_message_of_the_world_wakes_nobody() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("@a1 go on");
    let from = stage.log.len();
    stage.answer("a1", "@a2 <world>pass</world>");
    assert_eq!(stage.said_since(from), [("system".to_owned(), "@human a1 is passing control to you".to_owned())]);
    assert_eq!(stage.waiting(), [""; 0]);
}

#[test]
fn who_answers() {
    // sender, content, target, who answers among a1, A-2 and the inactive a3
    let cases: &[(&str, &str, Option<&str>, &[&str])] = &[
        ("human", "hi", None, &["a1", "A-2"]),
        ("human", "@a3 hi", None, &[]),
        ("human", "@a-2 hi", None, &["A-2"]),
        ("human", "@A1 hi", None, &["a1"]),
        ("human", "mail x@a1 now", None, &["a1", "A-2"]),
        ("human", "x @a1", None, &["a1"]),
        ("human", "é@a1", None, &["a1"]),
        ("human", "_@a1", None, &["a1", "A-2"]),
        ("human", "\n@a1", None, &["a1"]),
        ("human", "@system hi", None, &[]),
        ("human", "hi", Some("a1"), &["a1"]),
        ("human", "@a1 hi", Some("a-2"), &["A-2"]),
        ("human", "@nobody", Some("A1"), &["a1"]),
        ("human", "hi", Some("a3"), &[]),
        ("a1", "hi", None, &[]),
        ("A1", "@a1 hi", None, &[]),
        ("a1", "@a-2 hi", None, &["A-2"]),
        ("a1", "@a1 @a-2", None, &[]),
        ("a1", "hi", Some("A-2"), &["A-2"]),
        ("a1", "hi", Some("a1"), &[]),
        ("a3", "@a1 hi", None, &["a1"]),
        ("a1", "@human @a-2", None, &[]),
    ];
    for (sender, content, target, answering) in cases {
        let mut stage = Stage::new(&["a1", "A-2", "a3"]);
        stage.set_status("a3", WritableStatus::Inactive);
        let (_, woken) = accepted(stage.run(chat(sender, content, *target)));
        assert_eq!(&woken, answering, "{content:?} from {sender}, target {target:?}");
    }
}

#[test]
fn a_sender_is_stored_as_configured() {
    for (sender, stored, kind) in [
        ("HUMAN", "human", SenderType::Human),
        ("Human", "human", SenderType::Human),
        ("uSER", "human", SenderType::Human),
        ("SCOUT", "Scout", SenderType::Agent),
    ] {
        let mut stage = Stage::new(&["Scout", "a2"]);
        let from = stage.log.len();
        stage.say(sender, "hi");
        let Event::Message { sender, sender_type, in_reply_to, message_id, root_id, .. } = &stage.since(from)[0] else {
            panic!("a message comes first");
        };
        assert_eq!((sender.as_str(), *sender_type), (stored, kind));
        assert_eq!((in_reply_to, message_id), (&None, root_id));
    }
}

#[test]
fn who_is_no_agent_of_this_world_is_refused() {
    let mut stage = Stage::new(&["a1"]);
    for (sender, target) in
        [("world", None), ("system", None), ("a2", None), ("human", Some("a2")), ("a1", Some("human"))]
    {
        assert_eq!(stage.refused(chat(sender, "hi", target)), ErrorCode::AgentNotFound, "{sender}, {target:?}");
    }
}

/// A question that wakes nobody is finished at once, and says why.
#[test]
fn nobody_woken_is_settled_and_explained() {
    let cases: &[(&str, &str, Option<&str>, &[&str])] = &[
        ("human", "@nobody hi", None, &["message", "noRecipient", "settled"]),
        ("human", "@off hi", None, &["message", "noRecipient", "settled"]),
        ("human", "hi", Some("off"), &["message", "noRecipient", "settled"]),
        ("human", "@human hi", None, &["message", "noRecipient", "settled"]),
        ("a1", "hi", None, &["message", "settled"]),
        ("a1", "@user hi", None, &["message", "settled"]),
        ("a1", "@nobody hi", None, &["message", "noRecipient", "settled"]),
        ("a1", "hi", Some("off"), &["message", "noRecipient", "settled"]),
        ("human", "hi", None, &["message", "routed"]),
    ];
    for (sender, content, target, kinds) in cases {
        let mut stage = Stage::new(&["a1", "off"]);
        stage.set_status("off", WritableStatus::Inactive);
        let from = stage.log.len();
        let (root, answering) = accepted(stage.run(chat(sender, content, *target)));
        assert_eq!(&stage.kinds_since(from), kinds, "{content:?} from {sender}, target {target:?}");
        assert_eq!(stage.world.is_busy(), !answering.is_empty());
        if answering.is_empty() {
            assert_eq!(stage.settled_since(from), [root]);
        }
    }
}

#[test]
fn the_mention_that_named_nobody_is_told_as_it_was_written() {
    let mut stage = Stage::new(&["a1"]);
    let from = stage.log.len();
    stage.chat("hey @NoBody-1!");
    assert!(
        stage.since(from).iter().any(|event| {
            matches!(event, Event::NoRecipient { mention: Some(mention), .. } if mention == "NoBody-1")
        })
    );
}

/// The acknowledgement's `seq` is that of the message.
#[test]
fn the_acknowledgement_names_the_message_itself() {
    use crate::world::command::Answer;
    let mut stage = Stage::new(&["a1"]);
    let from = stage.log.len();
    let Answer::Accepted { message_id, seq, .. } = stage.run(chat("human", "hi", None)) else { panic!() };
    assert_eq!(seq, from as u64 + 1);
    assert!(matches!(&stage.log[from].1, Event::Message { message_id: id, .. } if *id == message_id));
}
