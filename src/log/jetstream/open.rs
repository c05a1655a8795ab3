//! Connecting, and making sure that what is there can keep what is promised.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{RwLock, broadcast};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::address::{Address, shown};
use super::api::{Failure, Nats};
use super::batch::VERSION;
use super::link::LinkWatch;
use super::names::Names;
use super::options::{MESSAGE, OpenError, Options};
use super::put::Outcome;
use super::seal::{Sealer, derive};
use super::{Core, JetStream, changes, janitor, tickets, worlds};

/// The oldest server whose compare-and-set holds in clusters and spans subjects.
const OLDEST: (u64, u64) = (2, 12);
/// A cluster that is just being started gets this long to elect.
const PATIENCE: Duration = Duration::from_secs(20);
/// A server that does not answer is left after about three of these.
const PING: Duration = Duration::from_secs(2);
const SLOWEST_RETRY: Duration = Duration::from_secs(2);
/// Messages of one subscription that may wait here; more are dropped.
const SUBSCRIPTION: usize = 8192;
const FORMAT: &str = "agent-world-format";
/// Codes of the API.
const NO_STREAM: u64 = 10059;
const NAME_IN_USE: u64 = 10058;
const SUBJECTS_OVERLAP: u64 = 10065;
const NOT_CLUSTERED: u64 = 10074;
const NO_PEERS: u64 = 10005;
const NO_JETSTREAM: [u64; 2] = [10039, 10076];

impl JetStream {
    /// Connects, makes what is missing, and refuses what does not fit.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let core = connected(options).await?;
        core.ticket_consumer().await.map_err(|cause| OpenError::Storage { what: "tickets".to_owned(), cause })?;
        let next = core.last_sequence().await.map_err(|e| storage("the log", e))? + 1;
        let tasks = vec![
            tokio::spawn(changes::serve(Arc::downgrade(&core), next)),
            tokio::spawn(tickets::serve(Arc::downgrade(&core))),
            tokio::spawn(janitor::serve(Arc::downgrade(&core))),
        ];
        Ok(Self { core, tasks, closed: RwLock::new(false) })
    }

    /// For who is no node: hears of no changes and no tickets, and tidies nothing.
    pub async fn open_beside(options: Options) -> Result<Self, OpenError> {
        Ok(Self { core: connected(options).await?, tasks: Vec::new(), closed: RwLock::new(false) })
    }
}

async fn connected(options: Options) -> Result<Arc<Core>, OpenError> {
    let names = Names::new(&options.prefix).ok_or_else(|| OpenError::Prefix(options.prefix.clone()))?;
    let sealer = Sealer::new(&options.cluster_key).map_err(|e| storage("the cluster key", e))?;
    let (watch, link) = LinkWatch::new();
    let client = connect(&options, watch).await?;
    let info = client.server_info();
    if !recent(&info.version) {
        return Err(OpenError::TooOld { found: info.version });
    }
    if info.max_payload < MESSAGE {
        return Err(OpenError::SmallMessages { found: info.max_payload });
    }
    let patience = if info.jetstream { PATIENCE } else { options.patience };
    let mut nats = Nats { client, patience, timeout: options.timeout, link: link.clone() };
    match nats.ask::<Value>("INFO", json!({})).await {
        Ok(_) => {}
        Err(Failure::Refused { code, .. }) if NO_JETSTREAM.contains(&code) => {
            return Err(OpenError::NoJetStream { url: shown(&options.url) });
        }
        Err(Failure::Away(_)) => return Err(OpenError::NoJetStream { url: shown(&options.url) }),
        Err(failure) => return Err(storage("JetStream", failure)),
    }
    for config in streams(&names, options.replicas) {
        ensure(&nats, config).await?;
    }
    nats.patience = options.patience;
    let core = Arc::new(Core {
        slots: worlds::Slots::new(options.worlds),
        nats,
        names,
        sealer,
        link,
        changes: broadcast::Sender::new(changes::QUEUE),
        ended: CancellationToken::new(),
        tickets: tickets::Waiting::default(),
        probed: parking_lot::Mutex::default(),
        counted: parking_lot::Mutex::default(),
        options,
    });
    core.check_key().await?;
    Ok(core)
}

async fn connect(options: &Options, watch: LinkWatch) -> Result<Client, OpenError> {
    let address = Address::parse(&options.url)?;
    let watch = Arc::new(watch);
    let mut connect = ConnectOptions::new()
        .name("agent-world")
        .ping_interval(PING)
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .subscription_capacity(SUBSCRIPTION)
        .reconnect_delay_callback(|attempts| match attempts {
            0 | 1 => Duration::ZERO,
            n => (Duration::from_millis(50) * 2u32.saturating_pow(u32::try_from(n).unwrap_or(16))).min(SLOWEST_RETRY),
        })
        .event_callback(move |event| {
            watch.note(&event);
            std::future::ready(())
        });
    if let Some(roots) = &options.tls_roots {
        connect = connect.add_root_certificates(roots.clone());
    }
    if let Some(path) = &options.credentials {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|source| OpenError::Credentials { path: path.clone(), source })?;
    }
    let connected = address.log_in(connect).connect(address.servers).await;
    connected.map_err(|e| OpenError::Unreachable { url: shown(&options.url), cause: e.to_string() })
}

fn streams(names: &Names, replicas: usize) -> [Config; 3] {
    let stream = |name: &str, subjects: String| Config {
        name: name.to_owned(),
        subjects: vec![subjects],
        num_replicas: replicas.max(1),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: 1,
        max_message_size: -1,
        max_consumers: -1,
        allow_direct: true,
        metadata: HashMap::from([(FORMAT.to_owned(), VERSION.to_string())]),
        ..Config::default()
    };
    [
        Config { max_messages_per_subject: -1, allow_message_ttl: true, ..stream(&names.log, names.log_subjects()) },
        stream(&names.snapshots, names.snapshot_subjects()),
        stream(&names.directory, names.directory_subjects()),
    ]
}

/// Makes the stream, or holds the one that is there to what it must be.
async fn ensure(nats: &Nats, config: Config) -> Result<(), OpenError> {
    #[derive(Deserialize)]
    struct Info {
        config: Config,
    }
    let name = config.name.clone();
    let replicas = |cause: String| OpenError::Replicas { stream: name.clone(), wanted: config.num_replicas, cause };
    let until = Instant::now() + PATIENCE;
    loop {
        match nats.ask::<Info>(&format!("STREAM.INFO.{name}"), json!({})).await {
            Ok(Info { config: found }) => return fits(&config, &found),
            Err(Failure::Refused { code: NO_STREAM, .. }) => {}
            Err(failure) => return Err(storage(&name, failure)),
        }
        let body = serde_json::to_value(&config).map_err(|e| storage(&name, e))?;
        match nats.ask::<Value>(&format!("STREAM.CREATE.{name}"), body).await {
            Ok(_) => {}
            // Another node was faster: look again.
            Err(Failure::Refused { code: NAME_IN_USE, .. }) => {}
            Err(Failure::Refused { code: SUBJECTS_OVERLAP, description }) => {
                return Err(OpenError::Foreign { stream: name, cause: description });
            }
            Err(Failure::Refused { code: NOT_CLUSTERED, description }) => return Err(replicas(description)),
            // Servers of a young cluster may not all have met.
            Err(Failure::Refused { code: NO_PEERS, description }) if Instant::now() >= until => {
                return Err(replicas(description));
            }
            Err(Failure::Refused { code: NO_PEERS, .. }) => sleep(Duration::from_millis(200)).await,
            Err(failure) => return Err(storage(&name, failure)),
        }
    }
}

fn fits(wanted: &Config, found: &Config) -> Result<(), OpenError> {
    let stream = wanted.name.clone();
    let foreign = |cause: &str| Err(OpenError::Foreign { stream: stream.clone(), cause: cause.to_owned() });
    let Some(format) = found.metadata.get(FORMAT) else {
        return foreign("it does not say that it is Agent World's");
    };
    if !format.parse::<u8>().is_ok_and(|format| format <= VERSION) {
        return Err(OpenError::Newer { stream, found: format.clone(), known: VERSION.into() });
    }
    if found.subjects != wanted.subjects {
        return foreign("its subjects are others");
    }
    let keeps = found.retention == RetentionPolicy::Limits
        && found.max_age.is_zero()
        && found.max_messages <= 0
        && found.max_messages_per_subject == wanted.max_messages_per_subject;
    if !keeps {
        return foreign("it does not keep what is written to it");
    }
    if !found.allow_direct
        || found.allow_message_ttl != wanted.allow_message_ttl
        || found.deny_delete
        || found.deny_purge
    {
        return foreign("it lacks direct reads, time to live, or removal");
    }
    if found.num_replicas < wanted.num_replicas {
        let cause = format!("it has {}", found.num_replicas);
        return Err(OpenError::Replicas { stream, wanted: wanted.num_replicas, cause });
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Check {
    check: [u8; 32],
}

impl Core {
    /// The key must be the one under which the first node came.
    async fn check_key(&self) -> Result<(), OpenError> {
        let ours = Check { check: derive(&self.options.cluster_key, "check value") };
        loop {
            let found = self.entry::<Check>("cluster.check").await.map_err(|e| storage("the directory", e))?;
            match found.value {
                Some(found) if found.check == ours.check => return Ok(()),
                Some(_) => return Err(OpenError::ClusterKey),
                None => {}
            }
            match self.set("cluster.check", &ours, found.revision).await {
                Ok(Outcome::Done(_)) => return Ok(()),
                Ok(Outcome::Moved) => {}
                Err(error) => return Err(storage("the directory", error)),
            }
        }
    }
}

fn storage(what: &str, cause: impl std::error::Error) -> OpenError {
    let mut text = cause.to_string();
    let mut inner = cause.source();
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    OpenError::Storage { what: what.to_owned(), cause: text }
}

/// Whether a version as servers tell it, such as `2.12.1-beta.2`, is recent enough.
fn recent(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u64>().ok());
    let major_minor = (parts.next().flatten(), parts.next().flatten());
    matches!(major_minor, (Some(major), Some(minor)) if (major, minor) >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_2_12_are_refused() {
        for (version, good) in [
            ("2.12.0", true),
            ("2.12.0-beta.1", true),
            ("v2.15.1", true),
            ("3.0.0", true),
            ("2.11.9", false),
            ("2.9.10", false),
            ("1.99.0", false),
            ("2", false),
            ("", false),
            ("two.twelve", false),
        ] {
            assert_eq!(recent(version), good, "{version}");
        }
    }
}
