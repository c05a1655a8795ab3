//! What no schema of the profile can say about a server frame: which fields go together (docs/PROTOCOL.md §3). Frames
//! that are read are held to it, and in debug builds those that are written.

use super::{ChatResponse, FinishReason, Seq, ServerFrame, ServerMessage};

/// The field that does not fit the others, as a pointer into the frame, and the rule.
pub(crate) type Incoherence = (&'static str, &'static str);

/// That a frame of another type has no `seq` is the decoder's business (`x-durable`).
pub(crate) fn check(frame: &ServerFrame) -> Result<(), Incoherence> {
    match &frame.message {
        ServerMessage::ChatResponse(reply) => check_reply(reply, frame.seq),
        ServerMessage::EventStream(_) if frame.seq.is_none() => Err(("/seq", "is there on every event")),
        _ => Ok(()),
    }
}

/// A start is the empty beginning; a delta brings text; an end has everything.
fn check_reply(reply: &ChatResponse, seq: Option<Seq>) -> Result<(), Incoherence> {
    let starts = !reply.complete && reply.content.is_empty();
    let rules = [
        (reply.finish_reason.is_some() == reply.complete, "/payload/finishReason", "is there exactly on the end"),
        (
            reply.error.is_some() == (reply.finish_reason == Some(FinishReason::Error)),
            "/payload/error",
            "is there exactly when finishReason is error",
        ),
        (reply.complete || reply.usage.is_none(), "/payload/usage", "is there on the end only"),
        (!(starts || reply.complete) || reply.offset.get() == 0, "/payload/offset", "is 0 on start and end"),
        (seq.is_some() == (starts || reply.complete), "/seq", "is there exactly on start and end"),
    ];
    match rules.into_iter().find(|(holds, ..)| !holds) {
        Some((_, pointer, rule)) => Err((pointer, rule)),
        None => Ok(()),
    }
}
