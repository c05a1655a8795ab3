//! Tickets: messages of the log that say that turns newly wait, each handed to one node at a time by
//! a durable consumer that all nodes share.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, AckKind, Message, consumer::Consumer};
use async_nats::{Client, Request};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::{Core, Error, failed};
use crate::log::cluster::Ticket;

pub(super) const CONSUMER: &str = "tickets";
/// One request for a ticket waits this long at the server.
const PULL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);
/// Tickets that all nodes together may hold.
const HELD: i64 = 100_000;

/// Calls that wait for a ticket. A ticket is asked for only when there is one, and a call that was
/// dropped gets none.
#[derive(Default)]
pub(super) struct Waiting {
    calls: Mutex<Vec<oneshot::Sender<Ticket>>>,
    news: Notify,
}

impl Waiting {
    pub fn wait(&self) -> oneshot::Receiver<Ticket> {
        let (call, ticket) = oneshot::channel();
        let mut calls = self.calls.lock();
        calls.retain(|call| !call.is_closed());
        calls.push(call);
        self.news.notify_one();
        ticket
    }

    /// Whoever waits hears that the storage is closed.
    pub fn close(&self) {
        self.calls.lock().clear();
    }

    fn any(&self) -> bool {
        let mut calls = self.calls.lock();
        calls.retain(|call| !call.is_closed());
        !calls.is_empty()
    }

    /// To the call that waits longest. If none does, the ticket is dropped, which gives it back.
    fn hand_out(&self, mut ticket: Ticket) {
        loop {
            let call = {
                let mut calls = self.calls.lock();
                if calls.is_empty() {
                    return;
                }
                calls.remove(0)
            };
            match call.send(ticket) {
                Ok(()) => return,
                Err(back) => ticket = back,
            }
        }
    }
}

/// Asks for tickets while calls wait, until the storage is dropped.
pub(super) async fn serve(core: Weak<Core>) {
    let mut consumer = None;
    while let Some(core) = core.upgrade() {
        if !core.tickets.any() {
            let news = tokio::time::timeout(PULL, core.tickets.news.notified());
            drop(news.await);
            continue;
        }
        if let Err(error) = pull(&core, &mut consumer).await {
            tracing::debug!(error, "failed to ask for a ticket");
            consumer = None;
            drop(core);
            sleep(PAUSE).await;
        }
    }
}

async fn pull(core: &Arc<Core>, held: &mut Option<Consumer<pull::Config>>) -> Result<(), String> {
    let consumer = match held {
        Some(consumer) => consumer,
        None => held.insert(core.ticket_consumer().await?),
    };
    let one = consumer.batch().max_messages(1).expires(PULL).messages();
    let mut one = one.await.map_err(|e| e.to_string())?;
    while let Some(message) = one.next().await {
        let message = message.map_err(|e| e.to_string())?;
        match ticket(core, &message) {
            Some(ticket) => core.tickets.hand_out(ticket),
            None => {
                tracing::error!(subject = %message.subject, "a ticket is not understood");
                message.ack_with(AckKind::Term).await.map_err(|e| e.to_string())?;
            }
        }
    }
    Ok(())
}

fn ticket(core: &Core, message: &Message) -> Option<Ticket> {
    let info = message.info().ok()?;
    let (world, _) = core.names.parse(&message.subject)?;
    let head = Batch::decode(&message.payload).ok()?.head();
    let delivered = u64::try_from(info.delivered).unwrap_or(1);
    let (hold, settled) = oneshot::channel();
    let ticket = Ticket { world, seq: info.stream_sequence, head, delivered, hold };
    let reply = message.reply.as_ref()?.to_string();
    let (client, lease) = (core.nats.client.clone(), core.options.lease);
    tokio::spawn(keep(client, reply, lease, settled));
    Some(ticket)
}

/// Says that the ticket is being worked on, until it is done or dropped.
async fn keep(
    client: Client,
    reply: String,
    lease: Duration,
    mut settled: oneshot::Receiver<oneshot::Sender<Result<(), Error>>>,
) {
    let every = lease / 3;
    let mut next = Instant::now() + every;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                next += every;
                // If it fails the lease runs out, which is what it is for.
                if let Err(error) = client.publish(reply.clone(), AckKind::Progress.into()).await {
                    tracing::debug!(%error, "failed to keep a ticket");
                }
            }
            outcome = &mut settled => {
                match outcome {
                    Ok(done) => {
                        let ack = Request::new().payload(AckKind::Ack.into()).timeout(Some(lease));
                        let acked = client.send_request(reply, ack).await;
                        // Nobody may wait for it any more.
                        let _ = done.send(acked.map(drop).map_err(failed));
                    }
                    Err(_) => {
                        if let Err(error) = client.publish(reply, AckKind::Nak(None).into()).await {
                            tracing::debug!(%error, "failed to give a ticket back");
                        }
                    }
                }
                return;
            }
        }
    }
}

impl Core {
    /// The consumer that all nodes share, made or brought to this node's settings.
    pub(super) async fn ticket_consumer(&self) -> Result<Consumer<pull::Config>, String> {
        let context = jetstream::new(self.nats.client.clone());
        let stream = context.get_stream_no_info(&self.names.log).await.map_err(|e| e.to_string())?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.lease,
            max_deliver: -1,
            max_ack_pending: HELD,
            filter_subject: self.names.tickets(),
            ..pull::Config::default()
        };
        stream.create_consumer(config).await.map_err(|e| e.to_string())
    }
}
