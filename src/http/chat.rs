//! A question over HTTP, and its replies as a stream of server-sent events that ends when it is settled.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use uuid::Uuid;

use super::{Context, Http, sse};
use crate::{
    error::Failure,
    protocol::{
        self, CaughtUp, ChatBody, ChatUntil, Connected, ErrorCode, IdempotencyKey, MessageAccepted, MessageId,
        OnDisconnect, ServerMessage, SessionToken, Status, StatusCaughtUp, StatusConnected, StatusMessageAccepted,
        WorldName,
    },
    session::{Identity, accepted},
    shutdown::{Phase, Shutdown},
    world::{
        Command, Delivery, Entered, Filter, Subscription, Wanted, WorldCell, gone, not_found, now_ms, timestamp,
        try_out,
    },
};

/// How long a chat's stream stays, and what leaving it does.
pub struct ChatOptions {
    pub until: ChatUntil,
    pub on_disconnect: OnDisconnect,
    pub key: Option<IdempotencyKey>,
}

impl Http {
    pub async fn start_chat(
        &self,
        context: &Context,
        world: &WorldName,
        options: ChatOptions,
        body: ChatBody,
    ) -> Result<(Body, Option<SessionToken>), Failure> {
        let caller = self.writer(context).await?;
        if caller.is_none() && options.key.is_some() {
            let text = "an idempotency key needs a session token: it counts within a user";
            return Err(Failure::new(ErrorCode::Unauthenticated, text));
        }
        let ChatBody { message, sender, display_name, target_agent } = body;
        let command = Command::Chat { content: message, sender, display_name, target_agent };
        let (caller, new_token, entered) = self.chat_world(caller, world, &command).await?;
        let outcome = self.app.execute(&caller, &entered.cell, command, options.key.clone()).await?;
        let accepted = accepted(outcome)?;
        let cell = entered.cell.clone();
        let before = accepted.seq.get() - 1;
        let subscription = Subscription::new(cell, Filter::chat(), None)?.start_after(before);
        let head = [connected(&caller, new_token.clone()), acknowledged(&accepted)];
        let events = self.chat_events(entered, subscription, head, accepted.message_id, options);
        Ok((sse::body(events, caller.revocation.clone(), self.shutdown.clone()), new_token))
    }

    /// The world to chat in: the caller's, or a new one from the template of that name; a caller without a token
    /// becomes a new user.
    async fn chat_world(
        &self,
        caller: Option<Identity>,
        name: &WorldName,
        command: &Command,
    ) -> Result<(Identity, Option<SessionToken>, Entered), Failure> {
        if let Some(caller) = caller {
            return match self.app.worlds.find(caller.user.as_str(), name).await? {
                Some(entered) => Ok((caller, None, entered)),
                None => {
                    let entered = self.clone_template(&caller, name, command).await?;
                    Ok((caller, None, entered))
                }
            };
        }
        let (caller, token) = self.app.identities.anonymous()?;
        let entered = self.clone_template(&caller, name, command).await?;
        Ok((caller, Some(token), entered))
    }

    async fn clone_template(&self, caller: &Identity, name: &WorldName, command: &Command) -> Result<Entered, Failure> {
        // Nothing is made before it is clear that there is something to chat in, and that it would be heard.
        let template = self.app.worlds.templates.get(name.as_str()).ok_or_else(not_found)?;
        try_out(template, command)?;
        self.app.identities.save(caller).await?;
        let wanted = Wanted { name, template: &template.name, persistent: false, title: None };
        let (entered, _) = self.app.worlds.open_or_create(caller.user.as_str(), wanted).await?;
        Ok(entered)
    }

    fn chat_events(
        &self,
        entered: Entered,
        mut subscription: Subscription,
        head: [Bytes; 2],
        root: MessageId,
        options: ChatOptions,
    ) -> impl Stream<Item = Bytes> + Send + 'static {
        let streams = self.counted_stream();
        let leaving = Leaving {
            cell: entered.cell.clone(),
            root: (options.on_disconnect == OnDisconnect::Cancel).then(|| root.clone()),
            shutdown: self.shutdown.clone(),
        };
        let to_the_end = options.until == ChatUntil::Settled;
        async_stream::stream! {
            let _here = (entered.presence, streams);
            let mut leaving = leaving;
            for frame in head {
                yield sse::event(None, &frame);
            }
            loop {
                let Next { events, settled, over } = next(&mut subscription, Some(&root), to_the_end).await;
                for event in events {
                    yield event;
                }
                if settled {
                    leaving.stay();
                }
                if over {
                    return;
                }
            }
        }
    }
}

/// Some events of a stream.
pub struct Next {
    pub events: Vec<Bytes>,
    /// The one that settles the question is among them.
    pub settled: bool,
    /// Nothing follows.
    pub over: bool,
}

/// The next events of a subscription, as they stand in a stream. With `to_the_end` the one that settles `root` is the
/// last.
pub async fn next(subscription: &mut Subscription, root: Option<&MessageId>, to_the_end: bool) -> Next {
    let mut next = Next { events: Vec::new(), settled: false, over: false };
    let batch = match subscription.next(None).await {
        Ok(batch) => batch,
        Err(failure) => {
            next.events.push(sse::event(None, &sse::push(ServerMessage::Error(failure.into()))));
            return Next { over: true, ..next };
        }
    };
    let cell = subscription.cell().clone();
    for delivery in batch {
        match delivery {
            Delivery::Events(batch) => {
                for (seq, push) in &batch.events {
                    next.events.push(sse::event(Some(&cell.cursor(*seq)), &push.bytes));
                    if root.is_some() && push.settles.as_ref() == root {
                        next.settled = true;
                        if to_the_end {
                            return Next { over: true, ..next };
                        }
                    }
                }
            }
            Delivery::Delta(bytes) => next.events.push(sse::event(None, &bytes)),
            Delivery::CaughtUp(cursor) => next.events.push(sse::event(None, &caught_up(cursor))),
            Delivery::Gone => {
                next.events.push(sse::event(None, &sse::push(ServerMessage::Error(gone().into()))));
                return Next { over: true, ..next };
            }
        }
    }
    next
}

/// Cancels the question when its stream is dropped before it was settled.
struct Leaving {
    cell: Arc<WorldCell>,
    root: Option<MessageId>,
    shutdown: Shutdown,
}

impl Leaving {
    /// It was settled: leaving cancels nothing any more.
    fn stay(&mut self) {
        self.root = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // When the server closes, it is the server that leaves: what waits is done at the next start.
        if let Some(root) = self.root.take()
            && self.shutdown.phase() < Phase::Closing
        {
            let cell = self.cell.clone();
            tokio::spawn(async move {
                if let Err(failure) = cell.execute(Command::Cancel { message_id: Some(root) }, None).await {
                    failure.log();
                }
            });
        }
    }
}

fn connected(caller: &Identity, session_token: Option<SessionToken>) -> Bytes {
    let data = Connected {
        client_id: Uuid::now_v7(),
        user_id: caller.user.clone(),
        server_time: timestamp(now_ms()),
        protocol_version: protocol::VERSION.to_owned(),
        session_token,
    };
    sse::push(Status::Connected(StatusConnected { message: "Connected.".to_owned(), data }))
}

fn acknowledged(data: &MessageAccepted) -> Bytes {
    let message = "The message is stored.".to_owned();
    sse::push(Status::MessageAccepted(StatusMessageAccepted { message, data: data.clone() }))
}

fn caught_up(cursor: protocol::Cursor) -> Bytes {
    let message = "The replay has reached the live end.".to_owned();
    sse::push(Status::CaughtUp(StatusCaughtUp { message, data: CaughtUp { cursor } }))
}
