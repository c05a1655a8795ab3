//! What clients see of the log: which frames, for whom, always the same bytes.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    live_reply::reply,
    stage::{self, START_MS, Stage, failure, stop},
};
use crate::{
    protocol::{self, AgentFilter, EventKind, FinishReason, WorldName, decode_server},
    world::{
        event::Event,
        publish::{Filter, delta, publish},
        reply::Stretch,
        turns::Ending,
    },
};

pub fn world_name() -> WorldName {
    WorldName::try_from("my-world").unwrap()
}

/// The frame that `event` becomes, as JSON; it must be a valid one.
#[track_caller]
pub fn frame(seq: u64, event: &Event) -> Option<Value> {
    let id = Uuid::from_u128(7 << 76 | 2 << 62 | u128::from(seq));
    let push = publish(&world_name(), seq, id, START_MS, event)?;
    let again = publish(&world_name(), seq, id, START_MS, event).map(|push| push.bytes);
    assert_eq!(again.as_ref(), Some(&push.bytes), "replayed and live frames are the same bytes");
    let text = std::str::from_utf8(&push.bytes).unwrap();
    let decoded = decode_server(text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    assert_eq!(protocol::encode(&decoded), push.bytes);
    let frame: Value = serde_json::from_str(text).unwrap();
    assert_eq!(frame["seq"], seq);
    assert_eq!(frame["id"], id.to_string());
    assert_eq!(frame["timestamp"], "2026-01-15T10:00:00.000Z");
    assert!(frame.get("replyTo").is_none());
    Some(frame)
}

/// One conversation with everything in it, and what a client that subscribes to everything sees.
#[test]
fn every_event_becomes_a_frame_or_is_internal() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("hi");
    stage.answer("a1", "@a2 well?");
    let reply = stage.start("a2").unwrap();
    stage.end(&reply, failure());
    stage.chat("@nobody");
    stage.answer("a2", "<world>pass</world>");
    stage.chat("@a1 more");
    stage.cancel(None);
    stage.run(crate::world::command::Command::Reload);
    let mut internal = Vec::new();
    let mut seen = Vec::new();
    for (seq, (_, event)) in (1..).zip(&stage.log) {
        match frame(seq, event) {
            None => internal.push(stage::kind(event)),
            Some(frame) => {
                let payload = &frame["payload"];
                let what = match frame["type"].as_str().unwrap() {
                    "chat_response" if payload["complete"] == true => payload["finishReason"].clone(),
                    "chat_response" => json!("start"),
                    _ => payload["event"]["payload"].get("action").unwrap_or(&payload["eventType"]).clone(),
                };
                seen.push(what.as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(internal, ["turnsDropped"]);
    let expected = "world-created agent-created agent-created message routed \
         start stop message routed start error agent-update message no-recipient settled \
         start stop agent-update message pass settled message routed settled world-reload";
    assert_eq!(seen, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_reply_on_the_wire() {
    let start = frame(3, &Event::ReplyStarted { reply: reply(1), claim: None }).unwrap();
    assert_eq!(start["type"], "chat_response");
    let expected = json!({
        "worldName": "my-world", "agentName": "a1",
        "messageId": "00000000-0000-7000-8000-000000000001",
        "inReplyTo": "00000000-0000-7000-8000-000000000000",
        "rootId": "00000000-0000-7000-8000-000000000000",
        "content": "", "offset": 0, "complete": false,
    });
    assert_eq!(start["payload"], expected);

    for reason in [
        FinishReason::Stop,
        FinishReason::Length,
        FinishReason::Cancelled,
        FinishReason::Error,
        FinishReason::Interrupted,
    ] {
        let Ending { content, finish_reason, error, usage } = stage::ended(reason);
        let end = frame(4, &Event::ReplyEnded { reply: reply(1), content, finish_reason, error, usage }).unwrap();
        let payload = &end["payload"];
        assert_eq!(
            (&payload["content"], &payload["offset"], &payload["complete"]),
            (&json!("so f"), &json!(0), &json!(true))
        );
        assert_eq!(payload["finishReason"], reason.as_str());
        assert_eq!(payload.get("error").is_some(), reason == FinishReason::Error, "{reason:?}");
    }

    let stretch = Stretch { offset: 16, end: 20, text: "text".to_owned() };
    let bytes = delta(&world_name(), &reply(1), &stretch);
    let text = std::str::from_utf8(&bytes).unwrap();
    decode_server(text).unwrap();
    let delta: Value = serde_json::from_str(text).unwrap();
    assert!(delta.get("seq").is_none(), "a delta is not durable");
    assert_eq!((&delta["payload"]["content"], &delta["payload"]["offset"]), (&json!("text"), &json!(16)));
    assert_eq!(delta["payload"]["complete"], false);
}

#[test]
fn a_message_on_the_wire() {
    let mut stage = Stage::new(&["Scout"]);
    stage.say("SCOUT", "hi");
    let (seq, event) = (1..)
        .zip(&stage.log)
        .map(|(seq, (_, event))| (seq, event))
        .find(|(_, event)| matches!(event, Event::Message { .. }))
        .unwrap();
    let payload = frame(seq, event).unwrap()["payload"].clone();
    assert_eq!(payload["worldName"], "my-world");
    assert_eq!(payload["eventType"], "message");
    let event = &payload["event"];
    assert_eq!(
        (&event["type"], &event["sender"], &event["senderType"]),
        (&json!("message"), &json!("Scout"), &json!("agent"))
    );
    assert_eq!(event["payload"]["messageId"], event["payload"]["rootId"]);
    assert!(event["payload"].get("inReplyTo").is_none());
}

/// What an `agentFilter` passes: what those agents say or do, every message of a human or of the system, and always
/// world events.
#[test]
fn filters() {
    let mut stage = Stage::new(&["a1", "a2"]);
    stage.chat("hi");
    stage.answer("a1", "One.");
    stage.start("a2").unwrap();
    stage.chat("@a2 <world>pass</world>");
    stage.end(&stage.agent("a2").running.as_ref().unwrap().reply.message_id.clone(), stop("<world>pass</world>"));
    let kinds = [EventKind::Message, EventKind::World, EventKind::Sse, EventKind::System];
    let passed = |filter: &Filter| -> Vec<String> {
        let pushes = stage.log.iter().filter_map(|(at, event)| {
            let push = publish(&world_name(), 1, Uuid::nil(), *at, event)?;
            filter.passes(push.kind, push.about.as_ref()).then(|| stage::kind(event))
        });
        pushes.collect()
    };
    let agents = |name: &str| Some(AgentFilter::try_from(vec![stage::name(name)]).unwrap());
    let world = "worldCreated agentCreated agentCreated";
    for (filter, expected) in [
        (
            Filter::chat(),
            format!("{world} message replyStarted replyEnded message replyStarted message replyEnded message settled"),
        ),
        (Filter::new([EventKind::World], agents("nobody")), format!("{world} settled")),
        (Filter::new([EventKind::Message], None), "message message message message".to_owned()),
        (Filter::new([EventKind::Message], agents("A1")), "message message message message".to_owned()),
        (Filter::new([EventKind::Message], agents("a2")), "message message message".to_owned()),
        (Filter::new([EventKind::Sse], agents("a2")), "replyStarted replyEnded".to_owned()),
        (Filter::new([EventKind::System], None), "routed routed passed".to_owned()),
        (Filter::new([EventKind::System], agents("a1")), "routed routed".to_owned()),
        (
            Filter::new(kinds, agents("a1")),
            format!("{world} message routed replyStarted replyEnded message message routed message settled"),
        ),
    ] {
        assert_eq!(passed(&filter).join(" "), expected, "{filter:?}");
    }
}
