//! [`LiveReply`]: the text of a running reply.

use std::{sync::Arc, thread};

use super::stage::{id, name};
use crate::world::{
    event::Reply,
    reply::{LiveReply, MAX_BYTES, Stretch, written_bytes},
};

pub fn reply(n: u64) -> Reply {
    Reply { agent_name: name("a1"), message_id: id(n), in_reply_to: id(0), root_id: id(0) }
}

fn stretch(offset: u64, text: &str) -> Stretch {
    Stretch { offset, end: offset + text.chars().count() as u64, text: text.to_owned() }
}

#[test]
fn offsets_count_code_points() {
    let live = LiveReply::new(reply(1));
    let mut heard = Vec::new();
    for chunk in ["a", "", "é🙂", "z"] {
        assert!(live.push(chunk, |stretch| heard.push(stretch)));
    }
    assert_eq!(heard, [stretch(0, "a"), stretch(1, "é🙂"), stretch(3, "z")]);
    for (offset, rest) in
        [(0, Some("aé🙂z")), (1, Some("é🙂z")), (2, Some("🙂z")), (3, Some("z")), (4, None), (9, None)]
    {
        assert_eq!(live.since(offset), rest.map(|text| stretch(offset, text)), "{offset}");
    }
}

#[test]
fn nothing_is_published_while_frozen_and_everything_after() {
    let live = LiveReply::new(reply(1));
    assert_eq!(live.since(0), None);
    live.push("one", |_| {});
    assert_eq!(live.freeze(), "one");
    assert!(live.push(" two", |_| panic!("frozen")));
    assert_eq!(live.since(0), Some(stretch(0, "one")), "readers are not ahead of the deltas");
    assert_eq!(live.freeze(), "one two");
    live.thaw();
    let mut heard = None;
    live.push(" three", |stretch| heard = Some(stretch));
    assert_eq!(heard, Some(stretch(3, " two three")));
}

#[test]
fn a_reply_has_its_limit() {
    // what is there, what comes, how many bytes are kept, whether it goes on
    for (there, more, kept, goes_on) in [
        (MAX_BYTES - 2, "ab", MAX_BYTES, true),
        (MAX_BYTES - 2, "abc", MAX_BYTES, false),
        (MAX_BYTES - 2, "é", MAX_BYTES, true),
        (MAX_BYTES - 3, "éé", MAX_BYTES - 1, false),
        (MAX_BYTES - 2, "🙂", MAX_BYTES - 2, false),
        (MAX_BYTES, "a", MAX_BYTES, false),
        (MAX_BYTES, "", MAX_BYTES, true),
        // As long as JSON makes them.
        (MAX_BYTES - 4, "\n\"", MAX_BYTES - 2, true),
        (MAX_BYTES - 4, "\n\"\\", MAX_BYTES - 2, false),
        (MAX_BYTES - 6, "\u{1}", MAX_BYTES - 5, true),
        (MAX_BYTES - 5, "\u{1}", MAX_BYTES - 5, false),
    ] {
        let live = LiveReply::new(reply(1));
        assert!(live.push(&"x".repeat(there), |_| {}));
        assert_eq!(live.push(more, |_| {}), goes_on, "{there} and {more:?}");
        assert_eq!(live.freeze().len(), kept, "{there} and {more:?}");
    }
    assert!(!LiveReply::new(reply(1)).push(&"é".repeat(MAX_BYTES), |_| {}));
}

/// Whoever has frozen the reply has all that was published, and nothing is published afterwards.
#[test]
fn freezing_races_pushing() {
    for _ in 0..500 {
        let live = Arc::new(LiveReply::new(reply(1)));
        let writer = thread::spawn({
            let live = live.clone();
            move || {
                let mut heard = String::new();
                for n in 0..50 {
                    live.push(&n.to_string(), |stretch| heard.push_str(&stretch.text));
                }
                heard
            }
        });
        let frozen = live.freeze();
        assert_eq!(writer.join().unwrap(), frozen);
        assert_eq!(live.since(0).map(|stretch| stretch.text).unwrap_or_default(), frozen);
    }
}

#[test]
fn a_text_is_as_long_as_its_json() {
    let text: String = (0..0x300).filter_map(char::from_u32).chain("🙂\u{2028}".chars()).collect();
    assert_eq!(written_bytes(&text), serde_json::to_string(&text).unwrap().len() - 2);
}
