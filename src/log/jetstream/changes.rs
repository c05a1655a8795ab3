//! What is appended by anybody: one consumer for each node, whatever its number of worlds.

use std::sync::Weak;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Core;
use super::api::Failure;
use super::batch::Batch;
use super::names::TICKET;
use crate::log::cluster::Change;

/// Changes that a slow reader may be behind before it gets a [`Change::Gap`] in their place.
pub(super) const QUEUE: usize = 1024;
const AHEAD: usize = 128;
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The server forgets the consumer of a node that is gone.
const INACTIVE: Duration = Duration::from_secs(60);
/// After this long away, tombstones of worlds may have come and gone: far below their time to live.
const TOO_LONG: Duration = Duration::from_secs(60 * 60);
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// Where this node stands in the log of all worlds.
struct Position {
    /// The next message, by its place in the stream.
    next: u64,
    /// When something was last heard.
    heard: Instant,
}

/// Follows the log until the storage is dropped; `next` is the first message that is wanted.
pub(super) async fn serve(core: Weak<Core>, next: u64) {
    let mut position = Position { next, heard: Instant::now() };
    let mut failures = 0;
    while let Some(core) = core.upgrade() {
        let began = position.next;
        if let Err(why) = follow(&core, &mut position).await {
            tracing::debug!(why, "the log is followed anew");
        }
        drop(core);
        failures = if position.next > began { 0 } else { failures + 1 };
        sleep(PAUSES[failures.min(PAUSES.len() - 1)]).await;
    }
}

/// With one consumer, for as long as it goes well.
async fn follow(core: &Core, position: &mut Position) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let last = core.last_sequence().await.map_err(|e| text(&e))?;
    if last + 1 < position.next || position.heard.elapsed() > TOO_LONG {
        // Another, older log, put back from a backup; or away for long.
        position.next = position.next.min(last + 1);
        core.change(|| Change::Gap);
    }
    let context = jetstream::new(core.nats.client.clone());
    let stream = context.get_stream_no_info(&core.names.log).await.map_err(|e| text(&e))?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position.next.max(1) },
        ack_policy: AckPolicy::None,
        inactive_threshold: INACTIVE,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(|e| text(&e))?;
    let messages = consumer.stream().max_messages_per_batch(AHEAD).heartbeat(HEARTBEAT).messages();
    let mut messages = messages.await.map_err(|e| text(&e))?;
    let mut delivered = 0;
    while let Some(message) = messages.next().await {
        let message = message.map_err(|e| text(&e))?;
        let info = message.info().map_err(|e| text(&e))?;
        delivered += 1;
        if info.consumer_sequence != delivered {
            return Err("a message was not delivered".to_owned());
        }
        (position.next, position.heard) = (info.stream_sequence + 1, Instant::now());
        core.heard(&message.subject, &message.payload, info.stream_sequence);
    }
    Ok(())
}

impl Core {
    /// The place of the stream's last message.
    pub(super) async fn last_sequence(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
        }
        let info: Info = self.nats.ask(&format!("STREAM.INFO.{}", self.names.log), json!({})).await?;
        Ok(info.state.last_seq)
    }

    fn heard(&self, subject: &str, payload: &bytes::Bytes, seq: u64) {
        let Some((world, kind)) = self.names.parse(subject) else { return };
        let batch = match Batch::decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%world, seq, %error, "a message of the log is not understood");
                return self.change(|| Change::Gap);
            }
        };
        if batch.state.deleted {
            self.slots.forget(world);
            return self.change(|| Change::Deleted { world });
        }
        if let Some(slot) = self.slots.known(world) {
            self.took(&slot, &batch, seq);
        }
        let (head, ticket) = (batch.head(), kind == TICKET);
        self.change(|| Change::Appended { world, records: batch.into_records().collect(), head, ticket });
    }

    fn change(&self, change: impl FnOnce() -> Change) {
        if self.changes.receiver_count() > 0 {
            // Fails only when the last receiver has just gone.
            let _ = self.changes.send(change());
        }
    }
}
