//! [`Server`]: puts everything together, listens, and goes down in good order.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    config::Config,
    demo, http, listen,
    log::{
        Store,
        cluster::Cluster,
        jetstream::{self, JetStream},
        sqlite::{self, Sqlite},
    },
    protocol::codec,
    provider::{
        self, BaseUrlPolicy, BaseUrlRefused, InvalidAccount, InvalidPattern, InvalidScript, ProviderSettings,
        Providers, ScriptBook,
    },
    session::{App, Identities, Rates, Stats},
    shutdown::{Phase, Shutdown, ShutdownControl},
    upkeep,
    world::{Counters, Gate, InvalidTemplate, Services, Settings, Templates, Worlds, provider_kind},
    ws::{self, Deadlines, WsState},
};

/// Time that connections get for their closing handshake, at most; of a short drain deadline, a tenth.
const GOODBYE: Duration = Duration::from_secs(3);

/// Why the server could not start, in one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: String },
    #[error("{0}")]
    Storage(#[from] sqlite::OpenError),
    #[error("{0}")]
    Shared(#[from] jetstream::OpenError),
    #[error("--nats needs --cluster-key: a file with 32 random bytes in base64, the same on every node")]
    NoClusterKey,
    #[error("--cluster-key: {} does not hold 32 bytes in base64", file.display())]
    ClusterKey { file: PathBuf },
    #[error("--templates: {0}")]
    Template(#[from] InvalidTemplate),
    #[error("--{setting}: failed to read {}: {error}", file.display())]
    Unreadable { setting: &'static str, file: PathBuf, error: io::Error },
    #[error("--script: {}: {error}", file.display())]
    Script { file: PathBuf, error: InvalidScript },
    #[error("--allow-base-url: {0}")]
    BaseUrl(#[from] InvalidPattern),
    #[error("{0}")]
    Account(#[from] InvalidAccount),
    #[error("failed to use the data directory: {0}")]
    Log(#[from] crate::log::Error),
    #[error("--demo-token: {0}")]
    Demo(#[from] demo::Unprepared),
}

/// Why the server stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("failed to close the data directory: {0}")]
    Log(#[from] crate::log::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
}

impl Server {
    /// Reads templates and script, opens the data directory, and takes the port.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        codec::set_validate(config.validate);
        let templates = Templates::load(config.templates.as_deref())?;
        let providers = Arc::new(providers(&config)?);
        if !config.script_all {
            warn_of_base_urls(&templates, &providers);
        }
        // The port first: whoever starts a second server should read that, not that the directory is in use.
        let (listener, address) = take_port(&config)?;
        let (log, cluster) = storage(&config).await?;
        let services = Arc::new(Services {
            installation_key: log.installation_key().await?,
            log: log.clone(),
            cluster: cluster.clone(),
            provider: providers.clone(),
            gate: Gate::new(config.turns, config.turns_per_user),
            settings: Settings {
                outbox_bytes: config.outbox_bytes,
                idle_unload: config.idle_unload,
                grace: config.grace,
                snapshot_every: config.snapshot_every,
                keep_records: config.log_records,
            },
            draining: AtomicBool::new(false),
            counters: Counters::default(),
        });
        let app = Arc::new(App {
            worlds: Worlds::new(services, templates),
            identities: Identities::new(log, cluster),
            providers,
            chat_rate: Rates::new(config.chat_rate, config.chat_burst),
            stats: Stats::new(),
        });
        if let Some(token) = &config.demo_token {
            demo::prepare(&app, token).await?;
        }
        Ok(Self { config, listener, address, app })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves, then drains: replies in progress finish or end `interrupted` at the deadline.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { config, listener, address, app } = self;
        let (control, shutdown) = ShutdownControl::new();
        let router = router(&config, address, &app, &shutdown);
        let accepting =
            listen::Listening { listener, router, shutdown: shutdown.clone(), handshake: config.handshake_timeout };
        let accepting = tokio::spawn(accepting.run());
        let upkeep = tokio::spawn(upkeep::run(app.clone(), config.user_retention, config.grace));
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        tokio::select! {
            resumed = app.worlds.resume() => {
                if let Err(failure) = resumed {
                    failure.log();
                }
            }
            // What waits is taken up at the next start.
            _ = &mut stop => stopping = true,
        }
        let cluster = app.worlds.services.cluster.clone();
        let mut nodes =
            cluster.map(|cluster| app.join(&cluster, config.turns, config.turns_per_user)).unwrap_or_default();
        if !stopping {
            stop.await;
        }
        tracing::info!("draining");
        app.worlds.services.draining.store(true, Ordering::Relaxed);
        control.enter(Phase::Draining);
        // The closing handshakes are part of the deadline, and as much again for the log and the ends of replies:
        // whoever set it may kill the process right after.
        let farewell = GOODBYE.min(config.drain_timeout / 10);
        drain(&app, config.drain_timeout - 2 * farewell).await;
        control.enter(Phase::Closing);
        let _ = tokio::time::timeout(farewell, goodbye(&app, accepting)).await;
        upkeep.abort();
        nodes.shutdown().await;
        app.worlds.services.log.close().await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The data directory, or what all nodes share.
async fn storage(config: &Config) -> Result<(Arc<dyn Store>, Option<Arc<dyn Cluster>>), StartError> {
    if config.nats.is_empty() {
        let options = sqlite::Options { dir: config.data_dir.clone(), key_lifetime: config.key_retention };
        // Taking over an older format takes as long as there are records.
        let opening = tokio::task::spawn_blocking(move || Sqlite::open(&options));
        let opened = opening.await.map_err(|_| crate::log::Error::Closed)??;
        return Ok((Arc::new(opened), None));
    }
    let shared = Arc::new(JetStream::open(shared_log(config)?).await?);
    Ok((shared.clone(), Some(shared)))
}

/// How the configured NATS is used.
///
/// # Errors
/// Without a cluster key.
pub fn shared_log(config: &Config) -> Result<jetstream::Options, StartError> {
    Ok(jetstream::Options {
        credentials: config.nats_creds.clone(),
        tls_roots: config.nats_ca.clone(),
        prefix: config.nats_prefix.clone(),
        replicas: config.nats_replicas,
        key_lifetime: config.key_retention,
        lease: config.lease,
        ..jetstream::Options::new(config.nats.join(","), cluster_key(config)?)
    })
}

fn cluster_key(config: &Config) -> Result<[u8; 32], StartError> {
    let file = config.cluster_key.clone().ok_or(StartError::NoClusterKey)?;
    let unreadable = |error| StartError::Unreadable { setting: "cluster-key", file: file.clone(), error };
    let text = std::fs::read_to_string(&file).map_err(unreadable)?;
    let key = STANDARD.decode(text.trim()).ok().and_then(|key| key.try_into().ok());
    key.ok_or(StartError::ClusterKey { file })
}

/// Waits until nobody is connected any more.
async fn goodbye(app: &App, accepting: tokio::task::JoinHandle<()>) {
    let _ = accepting.await;
    while app.stats.connections_active.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn router(config: &Config, address: SocketAddr, app: &Arc<App>, shutdown: &Shutdown) -> Router {
    let deadlines = Deadlines {
        ping: config.ping_interval,
        pong: config.pong_timeout,
        idle: config.idle_timeout,
        stuck: config.stuck_timeout,
        ..Deadlines::default()
    };
    let ws = Arc::new(WsState {
        app: app.clone(),
        shutdown: shutdown.clone(),
        deadlines,
        max_frame: config.max_frame_bytes,
    });
    let rate = Some((config.connection_rate, config.connection_burst));
    let guard = http::Guard::new(address, &config.allow_host, &config.allow_origin, config.trust_proxy, rate);
    let api = http::Http {
        app: app.clone(),
        shutdown: shutdown.clone(),
        max_body: config.max_body_bytes,
        patience: config.stuck_timeout,
        imports: http::Room::new(http::IMPORTS),
    };
    http::router(Arc::new(api), Arc::new(guard), ws::router(ws))
}

fn providers(config: &Config) -> Result<Providers, StartError> {
    let patterns = config.allow_base_url.iter().map(|pattern| pattern.parse()).collect::<Result<_, _>>()?;
    Ok(Providers::new(ProviderSettings {
        accounts: ProviderSettings::accounts_from(|name| std::env::var(name).ok())?,
        base_urls: BaseUrlPolicy { loopback: config.listen.ip().is_loopback(), patterns },
        script: config.script.as_deref().map(script).transpose()?,
        script_all: config.script_all,
        deadlines: config.provider_deadlines(),
    }))
}

/// Calls of these agents are going to fail: whoever starts the server can mend that, and hears of it before a user does.
fn warn_of_base_urls(templates: &Templates, providers: &Providers) {
    for (template, agent) in templates.iter().flat_map(|one| one.agents.iter().map(move |agent| (one, agent))) {
        let Some(base_url) = &agent.config.base_url else { continue };
        let kind = provider_kind(agent.config.provider);
        let Err(why) = providers.base_urls().check(kind, base_url.as_str()) else { continue };
        let (template, agent) = (template.name.as_str(), agent.name.as_str());
        match (why, url::Url::parse(base_url.as_str())) {
            (BaseUrlRefused::NotAllowed, Ok(url)) => {
                let server = provider::server(&url);
                tracing::warn!(
                    template,
                    agent,
                    "the agent's baseUrl is not allowed, and its calls will fail; --allow-base-url {server} allows it"
                );
            }
            _ => tracing::warn!(template, agent, %why, "the agent's baseUrl cannot be used, and its calls will fail"),
        }
    }
}

fn script(file: &Path) -> Result<ScriptBook, StartError> {
    let unreadable = |error| StartError::Unreadable { setting: "script", file: file.to_owned(), error };
    let text = std::fs::read(file).map_err(unreadable)?;
    ScriptBook::parse(&text).map_err(|error| StartError::Script { file: file.to_owned(), error })
}

fn take_port(config: &Config) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = config.listen;
    let refused = |error: io::Error| StartError::Listen {
        address,
        reason: match error.kind() {
            io::ErrorKind::AddrInUse => "the port is taken; choose another with --listen".to_owned(),
            _ => error.to_string(),
        },
    };
    let listener = listen::listen(address, config.send_buffer_bytes).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Waits for running replies; at the deadline they end as interrupted.
async fn drain(app: &App, patience: Duration) {
    let deadline = Instant::now() + patience;
    let gate = &app.worlds.services.gate;
    while gate.running() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if gate.running() > 0 {
        tracing::info!(replies = gate.running(), "drain deadline reached, interrupting");
        for cell in app.worlds.loaded() {
            if let Err(failure) = cell.interrupt().await {
                failure.log();
            }
        }
    }
}
