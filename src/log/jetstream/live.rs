//! What nodes tell each other beside the log, on plain subjects.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Message, Request, Subscriber};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{broadcast, watch};

use super::{Core, JetStream, failed};
use crate::log::cluster::{Change, Cluster, Link, Question, Ticket};
use crate::log::{Answer, Error, WorldId};

impl Cluster for JetStream {
    fn changes(&self) -> BoxStream<'static, Change> {
        let next = |mut changes: broadcast::Receiver<Change>| async move {
            let change = match changes.recv().await {
                Ok(change) => change,
                Err(broadcast::error::RecvError::Lagged(_)) => Change::Gap,
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((change, changes))
        };
        let changes = futures_util::stream::unfold(self.core.changes.subscribe(), next);
        changes.take_until(self.core.ended.clone().cancelled_owned()).boxed()
    }

    fn next_ticket(&self) -> Answer<'_, Ticket> {
        // Not by `call`: closing does not wait for turns that may never come.
        async {
            if *self.closed.read().await {
                return Err(Error::Closed);
            }
            let ticket = self.core.tickets.wait();
            // Closed in between: nobody would end the waiting.
            if self.core.ended.is_cancelled() {
                return Err(Error::Closed);
            }
            ticket.await.map_err(|_| Error::Closed)
        }
        .boxed()
    }

    fn say(&self, world: WorldId, body: Bytes) -> Answer<'_, ()> {
        self.call(self.core.say(self.core.names.live(world), body))
    }

    fn listen(&self, world: WorldId) -> Answer<'_, BoxStream<'static, Bytes>> {
        self.call(self.core.hear(self.core.names.live(world)))
    }

    fn ask(&self, world: WorldId, body: Bytes, timeout: Duration) -> Answer<'_, Option<Bytes>> {
        self.call(async move {
            let request = Request::new().payload(body).timeout(Some(timeout));
            match self.core.nats.client.send_request(self.core.names.ask(world), request).await {
                Ok(answer) => Ok(Some(answer.payload)),
                Err(e) if matches!(e.kind(), RequestErrorKind::NoResponders | RequestErrorKind::TimedOut) => Ok(None),
                Err(e) => Err(failed(e)),
            }
        })
    }

    fn answer(&self, world: WorldId) -> Answer<'_, BoxStream<'static, Question>> {
        self.call(async move {
            let client = self.core.nats.client.clone();
            let questions = self.core.subscribe(self.core.names.ask(world)).await?;
            let question = move |Message { reply, payload, .. }: Message| {
                let (client, reply) = (client.clone(), reply?);
                let reply = move |body: Bytes| {
                    async move {
                        if let Err(error) = client.publish(reply, body).await {
                            tracing::debug!(%error, "failed to answer another node");
                        }
                    }
                    .boxed()
                };
                Some(Question { body: payload, reply: Box::new(reply) })
            };
            Ok(questions.filter_map(move |message| std::future::ready(question(message))).boxed())
        })
    }

    fn announce(&self, body: Bytes) -> Answer<'_, ()> {
        self.call(self.core.say(self.core.names.all(), body))
    }

    fn announcements(&self) -> Answer<'_, BoxStream<'static, Bytes>> {
        self.call(self.core.hear(self.core.names.all()))
    }

    fn state(&self) -> watch::Receiver<Link> {
        self.core.link.clone()
    }
}

impl Core {
    async fn say(&self, subject: String, body: Bytes) -> Result<(), Error> {
        // Later it would be worth nothing.
        self.nats.connected_now().map_err(failed)?;
        self.nats.client.publish(subject, body).await.map_err(failed)
    }

    async fn hear(&self, subject: String) -> Result<BoxStream<'static, Bytes>, Error> {
        Ok(self.subscribe(subject).await?.map(|message| message.payload).boxed())
    }

    /// Lives on through reconnects. When it returns, the server that this node is connected to knows of it.
    async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        self.nats.connected().await.map_err(failed)?;
        let subscribing = async {
            let heard = self.nats.client.subscribe(subject).await.map_err(failed)?;
            // A server does what a connection asks in order, so its answer to this comes after; a flush only writes.
            match self.nats.client.send_request(self.names.nobody(), Request::new().payload(Bytes::new())).await {
                Err(e) if e.kind() != RequestErrorKind::NoResponders => Err(failed(e)),
                _ => Ok(heard),
            }
        };
        tokio::time::timeout(self.nats.timeout, subscribing).await.map_err(failed)?
    }
}
