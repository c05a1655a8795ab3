//! Real servers, as processes of their own.

use std::fmt::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Set by tests/cluster/run.sh.
const BINARY: &str = "NATS_SERVER";

/// Some servers that form one cluster, or one alone. They are killed when this is dropped.
pub struct Servers {
    pub servers: Vec<Server>,
    _dir: TempDir,
}

/// One process; killed when it is dropped, also by a test that fails.
pub struct Server {
    pub name: String,
    pub url: String,
    config: PathBuf,
    child: Option<Child>,
}

impl Servers {
    pub fn start(count: usize) -> Self {
        Self::with(count, "sync_interval: 2m")
    }

    /// `jetstream` are settings of it; empty for a server without it.
    pub fn with(count: usize, jetstream: &str) -> Self {
        Self::configured(count, jetstream, "")
    }

    /// `more` goes into the configuration of each server as it is.
    pub fn configured(count: usize, jetstream: &str, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let (ports, routes) = (ports(count), ports(count));
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let servers = (0..count).map(|n| {
            let name = format!("s{n}");
            let mut config = format!("server_name: {name}\nlisten: \"127.0.0.1:{}\"\n", ports[n]);
            config.push_str(more);
            if !jetstream.is_empty() {
                let store = dir.path().join(&name);
                writeln!(config, "jetstream {{ store_dir: \"{}\", {jetstream} }}", store.display()).unwrap();
            }
            if count > 1 {
                let (listen, all) = (routes[n], all.join(", "));
                writeln!(config, "cluster {{ name: c, listen: \"127.0.0.1:{listen}\", routes: [{all}] }}").unwrap();
            }
            let path = dir.path().join(format!("{name}.conf"));
            std::fs::write(&path, config).unwrap();
            let mut server = Server { name, url: format!("nats://127.0.0.1:{}", ports[n]), config: path, child: None };
            server.start();
            server
        });
        Self { servers: servers.collect(), _dir: dir }
    }

    pub fn url(&self) -> String {
        self.servers.iter().map(|server| server.url.as_str()).collect::<Vec<_>>().join(",")
    }

    pub fn named(&mut self, name: &str) -> &mut Server {
        self.servers.iter_mut().find(|server| server.name == name).unwrap()
    }
}

impl Server {
    pub fn start(&mut self) {
        let binary = std::env::var_os(BINARY).expect("NATS_SERVER names nats-server; see tests/cluster/run.sh");
        let log = std::fs::File::options().append(true).create(true).open(self.config.with_extension("log")).unwrap();
        let mut command = Command::new(binary);
        command.arg("-c").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        // A process stops when the thread that was chosen for the signal runs; until then the others go on.
        while signal == "STOP" && !is_stopped(&pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether no thread of it runs: the letter behind its name, in parentheses, is `T`.
fn is_stopped(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut states = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")));
    states.all(|state| state.is_ok_and(|state| state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Free a moment ago: nothing else here takes ports by itself in between.
fn ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
