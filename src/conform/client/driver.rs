//! [`Driver`]: the client under test, as a program. What it observes it says in lines of JSON on its standard output.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

/// The most that is kept of what it writes to standard error, in bytes.
const MAX_WORDS: u64 = 64 * 1_024;
/// How often it is looked whether it has ended, after it has closed its standard output.
const LOOK: Duration = Duration::from_millis(5);

pub struct Driver {
    child: Child,
    lines: mpsc::Receiver<Result<Value, String>>,
    /// Everything that it observed so far.
    pub observed: Vec<Value>,
    /// What it wrote to standard error.
    words: Arc<Mutex<String>>,
    /// What it wrote that is no observation.
    pub garbage: Option<String>,
}

impl Driver {
    /// Starts it. `mutant`: what it is asked to do wrong.
    pub fn start(command: &str, url: &str, scenario: &str, mutant: Option<&str>) -> std::io::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec {}", command.replace("{url}", url))])
            .env("CONFORM_URL", url)
            .env("CONFORM_SCENARIO", scenario)
            .env("CONFORM_BREAK", mutant.unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = shell.spawn()?;
        let (said, lines) = mpsc::channel(1_024);
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || listen(out, &said));
        }
        let words = Arc::new(Mutex::new(String::new()));
        if let Some(err) = child.stderr.take() {
            let words = words.clone();
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = err.take(MAX_WORDS).read_to_end(&mut text);
                *words.lock() = String::from_utf8_lossy(&text).into_owned();
            });
        }
        Ok(Self { child, lines, observed: Vec::new(), words, garbage: None })
    }

    /// The next observation, until the deadline. Cancel-safe.
    pub async fn next(&mut self, deadline: Instant) -> Option<Value> {
        loop {
            match timeout_at(deadline, self.lines.recv()).await.ok()?? {
                Ok(value) => {
                    self.observed.push(value.clone());
                    return Some(value);
                }
                Err(line) => {
                    self.garbage.get_or_insert(line);
                }
            }
        }
    }

    /// Its exit code, if it ends before the deadline. Cancel-safe.
    pub async fn ended(&mut self, deadline: Instant) -> Option<i32> {
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            sleep(LOOK).await;
        }
        None
    }

    pub fn words(&self) -> String {
        self.words.lock().clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(out: ChildStdout, said: &mpsc::Sender<Result<Value, String>>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let observation = match serde_json::from_str::<Value>(&line) {
            Ok(value) if value["observed"].is_string() => Ok(value),
            _ => Err(line),
        };
        if said.blocking_send(observation).is_err() {
            return;
        }
    }
}
