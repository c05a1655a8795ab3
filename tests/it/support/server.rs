//! [`TestServer`]: a whole server in this process, on a free port, with a data directory of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_world::{Config, Server};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Client, Http, Opening};

/// A file beside these tests.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(path)
}

/// Where a server is, and everything that it ever sent to the clients made here.
#[derive(Clone)]
pub struct Host {
    pub address: SocketAddr,
    pub wire: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, wire: Arc::default() }
    }

    pub fn heard(&self, text: &str) {
        self.wire.lock().expect("no test panicked in here").push(text.to_owned());
    }

    /// A new anonymous user, connected.
    pub async fn client(&self) -> Client {
        self.open(Opening::default()).await
    }

    /// The user of a token, connected.
    pub async fn client_of(&self, token: &str) -> Client {
        self.open(Opening { token: Some(token.to_owned()), ..Opening::default() }).await
    }

    pub async fn open(&self, opening: Opening) -> Client {
        let mut client = Client::open(self, opening).await.expect("the handshake is accepted");
        client.greeting().await;
        client
    }

    /// A connection with the world `name` of the template `stage` selected.
    pub async fn in_world(&self, name: &str) -> Client {
        let mut client = self.client().await;
        client.select("stage", name).await;
        client
    }

    pub fn http(&self) -> Http {
        Http::new(self.clone(), None)
    }

    pub fn http_of(&self, token: &str) -> Http {
        Http::new(self.clone(), Some(token.to_owned()))
    }

    /// A new user over HTTP.
    pub async fn session(&self) -> Http {
        let answer = self.http().post("/session", None).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.http_of(answer.json()["sessionToken"].as_str().expect("a token"))
    }
}

pub struct TestServer {
    pub host: Host,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), agent_world::RunError>>>,
    pub dir: TempDir,
}

impl std::ops::Deref for TestServer {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.path().join("data"),
            templates: Some(here("templates")),
            script: Some(here("scripts/stage.json")),
            drain_timeout: Duration::from_millis(300),
            ..Config::default()
        };
        change(&mut config);
        let mut server = Self { host: Host::new(config.listen), config, stop: None, running: None, dir };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let server = Server::bind(self.config.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        self.host.address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.running = Some(tokio::spawn(server.run(async {
            let _ = stopped.await;
        })));
    }

    /// Asks the server to stop, and does not wait for it.
    pub fn ask_to_stop(&mut self) {
        let _ = self.stop.take().expect("the server runs").send(());
    }

    /// Waits until a server that was asked to stop has stopped.
    pub async fn stopped(&mut self) {
        let running = self.running.take().expect("the server runs");
        let outcome = tokio::time::timeout(super::PATIENCE, running).await.expect("the server stops");
        outcome.expect("the server does not panic").expect("the server stops well");
    }

    pub async fn stop(&mut self) {
        self.ask_to_stop();
        self.stopped().await;
    }

    /// Stops, and starts again on the same data.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }
}
