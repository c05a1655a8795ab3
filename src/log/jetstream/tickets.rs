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
/// One request for a ticket waits this long at the server, and no longer than a third of a lease.
const PULL: Duration = Duration::from_secs(5);
/// How long a ticket rests that was given back, for each time that it was handed out: whoever could do nothing with it
/// may be asked again.
const REST: Duration = Duration::from_millis(200);
const RESTS: u32 = 5;
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
    // A lease is counted from here: a node that stands still while the answer is on its way must not take an old one for
    // new.
    let asked = Instant::now();
    let one = consumer.batch().max_messages(1).expires(PULL.min(core.options.lease / 3)).messages();
    let mut one = one.await.map_err(|e| e.to_string())?;
    while let Some(message) = one.next().await {
        let message = message.map_err(|e| e.to_string())?;
        match ticket(core, &message, asked) {
            Some(ticket) => core.tickets.hand_out(ticket),
            None => {
                tracing::error!(subject = %message.subject, "a ticket is not understood");
                message.ack_with(AckKind::Term).await.map_err(|e| e.to_string())?;
            }
        }
    }
    Ok(())
}

fn ticket(core: &Core, message: &Message, asked: Instant) -> Option<Ticket> {
    let info = message.info().ok()?;
    let (world, _) = core.names.parse(&message.subject)?;
    let head = Batch::decode(&message.payload).ok()?.head();
    let delivered = u64::try_from(info.delivered).unwrap_or(1);
    let (hold, settled) = oneshot::channel();
    let reply = message.reply.as_ref()?.to_string();
    let rest = REST * u32::try_from(delivered).unwrap_or(RESTS).min(RESTS);
    let (client, lease) = (core.nats.client.clone(), core.options.lease);
    let held_until = Arc::new(Mutex::new(asked + lease));
    tokio::spawn(Keeper { client, reply, rest, lease, held_until: held_until.clone() }.keep(settled));
    Some(Ticket { world, seq: info.stream_sequence, head, delivered, held_until, hold })
}

/// Keeps one ticket. Once the lease may have run out it says nothing more: what a late holder acknowledges or gives
/// back would be taken as the word of whoever holds the ticket by then.
struct Keeper {
    client: Client,
    /// Where the ticket's delivery is acknowledged.
    reply: String,
    rest: Duration,
    lease: Duration,
    held_until: Arc<Mutex<Instant>>,
}

impl Keeper {
    /// Says that the ticket is being worked on, until it is done or dropped.
    async fn keep(self, mut settled: oneshot::Receiver<oneshot::Sender<Result<(), Error>>>) {
        let every = self.lease / 3;
        loop {
            tokio::select! {
                () = sleep(every) => {
                    let sent = Instant::now();
                    if sent >= *self.held_until.lock() {
                        continue;
                    }
                    match self.tell(AckKind::Progress, every).await {
                        Ok(()) if sent < *self.held_until.lock() => *self.held_until.lock() = sent + self.lease,
                        Ok(()) => {}
                        Err(error) => tracing::debug!(%error, "failed to keep a ticket"),
                    }
                }
                outcome = &mut settled => {
                    let held = Instant::now() < *self.held_until.lock();
                    match outcome {
                        Ok(done) => {
                            let told = if held { self.tell(AckKind::Ack, self.lease).await } else { Err(Error::Closed) };
                            // Nobody may wait for it any more.
                            let _ = done.send(told);
                        }
                        Err(_) if held => {
                            if let Err(error) = self.client.publish(self.reply, AckKind::Nak(Some(self.rest)).into()).await {
                                tracing::debug!(%error, "failed to give a ticket back");
                            }
                        }
                        Err(_) => {}
                    }
                    return;
                }
            }
        }
    }

    /// Returns when the server has heard it.
    async fn tell(&self, what: AckKind, timeout: Duration) -> Result<(), Error> {
        let request = Request::new().payload(what.into()).timeout(Some(timeout));
        self.client.send_request(self.reply.clone(), request).await.map(drop).map_err(failed)
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
