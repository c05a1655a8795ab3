//! How the server is: `/health` for people and probes, `/metrics` for Prometheus.

use std::{fmt::Write, sync::atomic::Ordering};

use tokio::runtime::Handle;

use super::Http;
use crate::{
    error::Failure,
    log::Counts,
    protocol::{ConnectionStats, Count, Health, HealthStatus, MessageStats, Rate, Seconds, codec},
    shutdown::Phase,
};

impl Http {
    pub async fn health(&self) -> Result<Health, Failure> {
        let stats = &self.app.stats;
        let (counts, failing) = self.stored().await;
        let status = match (self.shutdown.phase(), failing) {
            (Phase::Draining | Phase::Closing, _) => HealthStatus::Draining,
            (Phase::Serving, true) => HealthStatus::Degraded,
            (Phase::Serving, false) => HealthStatus::Ok,
        };
        let counts = counts.unwrap_or_default();
        let count = |value: &std::sync::atomic::AtomicU64| Count::saturating(value.load(Ordering::Relaxed));
        Ok(Health {
            status,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: Seconds::new(stats.uptime_seconds()).map_err(Failure::internal)?,
            connections: ConnectionStats {
                active: count(&stats.connections_active),
                total: count(&stats.connections_total),
            },
            sessions: Count::saturating(counts.sessions),
            worlds: Count::saturating(counts.worlds),
            messages: MessageStats {
                total: count(&stats.frames_in),
                per_second: Rate::new(stats.received_per_second()).map_err(Failure::internal)?,
            },
            errors: count(&stats.errors),
        })
    }

    /// What is stored, unless storage cannot be asked: a health check that fails with it would hide everything else.
    /// And whether storage fails.
    async fn stored(&self) -> (Option<Counts>, bool) {
        let counts = self.app.worlds.services.log.counts().await.ok();
        let cut_off = self.app.worlds.services.is_cut_off();
        let failing = cut_off || self.app.stats.storage_failing.load(Ordering::Relaxed) || counts.is_none();
        (counts, failing)
    }

    /// The metrics in Prometheus' text format (version 0.0.4).
    pub async fn metrics(&self) -> String {
        let stats = &self.app.stats;
        let services = &self.app.worlds.services;
        let (counts, failing) = self.stored().await;
        let counters = &services.counters;
        let load = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed) as f64;
        let mut metrics = vec![
            ("uptime_seconds", "gauge", "Time since the server started.", stats.uptime_seconds()),
            ("degraded", "gauge", "Whether storage fails: 1 or 0.", f64::from(failing)),
            ("connections", "gauge", "Open WebSocket connections.", load(&stats.connections_active)),
            ("connections_total", "counter", "WebSocket connections accepted.", load(&stats.connections_total)),
            ("streams", "gauge", "Open streams of server-sent events.", load(&stats.streams_active)),
            ("frames_received_total", "counter", "WebSocket messages received.", load(&stats.frames_in)),
            ("frames_sent_total", "counter", "WebSocket messages sent.", load(&stats.frames_out)),
            ("frames_refused_total", "counter", "Messages that were not valid.", load(&stats.frames_refused)),
            ("http_requests_total", "counter", "HTTP requests.", load(&stats.requests)),
            ("errors_total", "counter", "Requests that were answered with an error.", load(&stats.errors)),
            (
                "codec_disagreements_total",
                "counter",
                "Verdicts of typed parse and schema that differ: a bug.",
                codec::disagreements() as f64,
            ),
            ("worlds_loaded", "gauge", "Worlds whose state is in memory.", self.app.worlds.loaded().len() as f64),
            ("events_total", "counter", "Events appended to logs.", load(&counters.events)),
            ("messages_total", "counter", "Messages posted in worlds.", load(&counters.messages)),
            ("replies_started_total", "counter", "Replies started.", load(&counters.replies_started)),
            ("replies_ended_total", "counter", "Replies ended.", load(&counters.replies_ended)),
            ("replies_failed_total", "counter", "Replies that ended in an error.", load(&counters.replies_failed)),
            ("turns_running", "gauge", "Turns that run now.", services.gate.running() as f64),
            ("outbox_bytes", "gauge", "Bytes that wait for subscribers.", self.app.worlds.waiting_bytes() as f64),
            ("tasks", "gauge", "Tasks that are alive.", Handle::current().metrics().num_alive_tasks() as f64),
        ];
        if let Some(counts) = counts {
            metrics.extend([
                ("sessions", "gauge", "Stored sessions.", counts.sessions as f64),
                ("users", "gauge", "Stored users.", counts.users as f64),
                ("worlds", "gauge", "Stored worlds.", counts.worlds as f64),
            ]);
        }
        let mut text = String::with_capacity(4_096);
        for (name, kind, help, value) in metrics {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "# HELP agent_world_{name} {help}\n# TYPE agent_world_{name} {kind}\nagent_world_{name} {value}\n"
            );
        }
        text
    }
}
