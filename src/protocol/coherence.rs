//! What no schema of the profile can say about a server frame: which fields go together (docs/PROTOCOL.md §3). Frames
//! that are read are held to it, and in debug builds those that are written.

use super::{ChatResponse, Event, EventStream, FinishReason, Seq, ServerFrame, ServerMessage, StreamEventType};

/// The field that does not fit the others, as a pointer into the frame, and the rule.
pub(crate) type Incoherence = (&'static str, &'static str);

/// That a frame of another type has no `seq` is the decoder's business (`x-durable`).
pub(crate) fn check(frame: &ServerFrame) -> Result<(), Incoherence> {
    match &frame.message {
        ServerMessage::ChatResponse(_) | ServerMessage::EventStream(_) if frame.reply_to.is_some() => {
            Err(("/replyTo", "is never there on what nobody asked for"))
        }
        ServerMessage::ChatResponse(reply) => check_reply(reply, frame.seq),
        ServerMessage::EventStream(stream) => check_event(stream, frame),
        _ => Ok(()),
    }
}

/// An event says again what its frame says, and the sender follows from its type.
fn check_event(stream: &EventStream, frame: &ServerFrame) -> Result<(), Incoherence> {
    let (kind, id, timestamp, by) = match &stream.event {
        Event::Message(event) => (StreamEventType::Message, event.id, event.timestamp, None),
        Event::World(event) => (StreamEventType::World, event.id, event.timestamp, Some((&event.sender, "world"))),
        Event::System(event) => (StreamEventType::System, event.id, event.timestamp, Some((&event.sender, "system"))),
    };
    first_broken([
        (frame.seq.is_some(), "/seq", "is there on every event"),
        (stream.event_type == kind, "/payload/eventType", "is the type of the event"),
        (id == frame.id, "/payload/event/id", "is the id of the frame"),
        (timestamp == frame.timestamp, "/payload/event/timestamp", "is the timestamp of the frame"),
        (
            by.is_none_or(|(sender, own)| sender.as_str() == own),
            "/payload/event/sender",
            "is `world` of world events and `system` of system events",
        ),
    ])
}

/// A start is the empty beginning; a delta brings text; an end has everything.
fn check_reply(reply: &ChatResponse, seq: Option<Seq>) -> Result<(), Incoherence> {
    let starts = !reply.complete && reply.content.is_empty();
    first_broken([
        (reply.finish_reason.is_some() == reply.complete, "/payload/finishReason", "is there exactly on the end"),
        (
            reply.error.is_some() == (reply.finish_reason == Some(FinishReason::Error)),
            "/payload/error",
            "is there exactly when finishReason is error",
        ),
        (reply.complete || reply.usage.is_none(), "/payload/usage", "is there on the end only"),
        (!(starts || reply.complete) || reply.offset.get() == 0, "/payload/offset", "is 0 on start and end"),
        (seq.is_some() == (starts || reply.complete), "/seq", "is there exactly on start and end"),
    ])
}

fn first_broken<const N: usize>(rules: [(bool, &'static str, &'static str); N]) -> Result<(), Incoherence> {
    match rules.into_iter().find(|(holds, ..)| !holds) {
        Some((_, pointer, rule)) => Err((pointer, rule)),
        None => Ok(()),
    }
}
