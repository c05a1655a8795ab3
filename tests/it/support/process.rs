//! [`Process`]: the real program, to be killed, told to stop, and asked why it did not start.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Host, PATIENCE, here};

/// A running `agent-world`.
pub struct Process {
    pub host: Host,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl std::ops::Deref for Process {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// The program, with nothing of this environment, ready for arguments.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-world"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Starts the program on a free port, and waits until it listens.
    pub async fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
            .arg(data)
            .arg("--templates")
            .arg(here("templates"))
            .arg("--script")
            .arg(here("scripts/stage.json"))
            .args(arguments)
            .spawn()
            .expect("the program starts");
        let (found, address) = oneshot::channel::<SocketAddr>();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let written = log.clone();
        std::thread::spawn(move || {
            let mut found = Some(found);
            for line in lines.map_while(Result::ok) {
                let line_json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line_json["message"] == "listening"
                    && let Some(address) = line_json["address"].as_str().and_then(|address| address.parse().ok())
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address);
                }
                let mut written = written.lock().expect("no test panicked in here");
                written.push_str(&line);
                written.push('\n');
            }
        });
        let address = tokio::time::timeout(PATIENCE, address).await.expect("the program listens");
        let address = address.unwrap_or_else(|_| panic!("the program did not start: {}", log.lock().expect("the log")));
        Self { host: Host::new(address), child, log }
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test panicked in here").clone()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the program runs");
        self.child.wait().expect("the program is gone");
    }

    pub fn terminate(&self) {
        terminate(&self.child);
    }

    /// Signals that come at once. They are two kinds, as two of one kind may become one on the way.
    pub fn terminate_doubly(&self) {
        let id = self.child.id();
        let told = Command::new("sh").args(["-c", &format!("kill -TERM {id}; kill -INT {id}")]).status();
        assert!(told.expect("kill runs").success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }
}

/// `kill -TERM`.
pub fn terminate(child: &Child) {
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
}

/// Waits for the end of a program.
pub async fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            return status;
        }
        assert!(Instant::now() < deadline, "the program does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program with `arguments` until it ends by itself: exit code, and what it wrote to standard error.
pub fn run_to_end(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = program().args(arguments).spawn().expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("the program can be waited for") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                panic!("the program runs on with {arguments:?}");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
    (status.code(), text)
}

/// A port that somebody listens on, as long as the listener lives.
pub fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}
