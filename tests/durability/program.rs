//! [`Program`]: the real process, with the script of these tests, to be looked into and treated badly.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{Host, PATIENCE, ended, here, terminate};

/// A running `agent-world`. Dropping it kills it.
pub struct Program {
    pub host: Host,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl std::ops::Deref for Program {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// The script of these tests.
pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/durability/script.json")
}

impl Program {
    /// Starts it on a free port, and waits until it listens.
    pub async fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::behind(Command::new(env!("CARGO_BIN_EXE_agent-world")), data, arguments).await
    }

    /// As [`Program::start`], by way of a command that runs what follows it.
    pub async fn behind(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--data-dir").arg(data).arg("--templates").arg(here("templates"));
        command.arg("--script").arg(script()).args(arguments).args(["--chat-burst", "1000000"]);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let mut child = command.spawn().expect("the program starts");
        let (found, address) = oneshot::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let written = log.clone();
        std::thread::spawn(move || {
            let mut found = Some(found);
            for line in lines.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let address = event["address"].as_str().and_then(|address| address.parse().ok());
                if let (Some("listening"), Some(address)) = (event["message"].as_str(), address)
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address);
                }
                written.lock().expect("no test panicked in here").push(event);
            }
        });
        let address = tokio::time::timeout(PATIENCE, address).await.expect("the program listens");
        let address = address.unwrap_or_else(|_| panic!("it did not start: {:?}", log.lock().expect("the log")));
        Self { host: Host::new(address), child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no test panicked in here").clone()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the program runs");
        self.child.wait().expect("the program is gone");
    }

    /// `kill -TERM`.
    pub fn terminate(&self) {
        terminate(&self.child);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }

    /// Stops it in good order.
    pub async fn stop(&mut self) {
        self.terminate();
        assert_eq!(self.ended().await.code(), Some(0), "{:?}", self.log());
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(&self.host, name).await
    }

    /// Open descriptors, and tasks of the runtime.
    pub async fn holds(&self) -> (usize, usize) {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("/proc").count();
        (descriptors, self.metric("tasks").await as usize)
    }

    pub async fn health(&self) -> String {
        let answer = self.http().get("/health").await;
        answer.json()["status"].as_str().expect("a status").to_owned()
    }
}

/// A number of `/metrics`, asked on a connection of its own.
pub async fn metric(host: &Host, name: &str) -> f64 {
    let text = host.http().get("/metrics").await.text;
    let prefix = format!("agent_world_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no metric {name}"));
    value.parse().expect("a number")
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
