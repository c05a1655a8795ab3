//! [`Driver`]: the client under test, as a program. What it observes it says in lines of JSON on its standard output.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    process::{Child, ChildStdout, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::conform::shell;

/// The most that is kept of what it writes to standard error, in bytes.
const MAX_WORDS: usize = 64 * 1_024;
/// How long its last words may take, once it was ended. Only what left its group can still hold them back.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often it is looked whether it has ended, after it has closed its standard output.
const LOOK: Duration = Duration::from_millis(5);

pub struct Driver {
    child: Child,
    lines: mpsc::Receiver<Result<Value, String>>,
    /// Everything that it observed so far.
    pub observed: Vec<Value>,
    /// What it wrote to standard error, so far.
    words: Arc<Mutex<Vec<u8>>>,
    /// Ends when nobody can write to standard error any more.
    silent: Option<oneshot::Receiver<()>>,
    killed: bool,
    /// What it wrote that is no observation.
    pub garbage: Option<String>,
}

impl Driver {
    /// Starts it. `mutant`: what it is asked to do wrong.
    pub fn start(command: &str, url: &str, scenario: &str, mutant: Option<&str>) -> std::io::Result<Self> {
        let mut command = shell::shell(&command.replace("{url}", url));
        command
            .env("CONFORM_URL", url)
            .env("CONFORM_SCENARIO", scenario)
            .env("CONFORM_BREAK", mutant.unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell::group(&mut command);
        let mut child = command.spawn()?;
        let (said, lines) = mpsc::channel(1_024);
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || listen(out, &said));
        }
        let words = Arc::new(Mutex::new(Vec::new()));
        let (speaking, silent) = oneshot::channel();
        if let Some(err) = child.stderr.take() {
            let words = words.clone();
            std::thread::spawn(move || {
                keep(err, &words);
                let _ = speaking.send(());
            });
        }
        Ok(Self { child, lines, observed: Vec::new(), words, silent: Some(silent), killed: false, garbage: None })
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

    /// How it ended, if it did before the deadline. Cancel-safe.
    pub async fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            sleep(LOOK).await;
        }
        None
    }

    /// Ends it, with everything that it started; returns what all of them wrote to standard error.
    pub async fn end(&mut self) -> String {
        self.kill();
        if let Some(silent) = self.silent.take() {
            let _ = timeout(LAST_WORDS, silent).await;
        }
        String::from_utf8_lossy(&self.words.lock()).into_owned()
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            shell::end(&mut self.child);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps what is written as it comes, up to a limit. It is read to its end all the same: nobody can write into a pipe
/// that is full, or has no reader.
fn keep(mut err: impl Read, words: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4_096];
    loop {
        match err.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => {
                let mut words = words.lock();
                let room = count.min(MAX_WORDS.saturating_sub(words.len()));
                words.extend_from_slice(&piece[..room]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A driver that is this shell script; in it, `$OK` is an observation.
    fn driver(script: &str) -> Driver {
        let command = format!("env OK='{{\"observed\":\"x\"}}' sh -c '{script}'");
        Driver::start(&command, "ws://127.0.0.1:9/ws", "x", None).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn what_it_writes_is_told_while_it_runs() {
        let mut driver = driver(r#"echo "so it began" >&2; echo "$OK"; sleep 1000"#);
        assert!(driver.next(soon()).await.is_some());
        assert_eq!(driver.end().await, "so it began\n");
    }

    #[tokio::test]
    async fn whoever_writes_much_goes_on() {
        let mut driver = driver(r#"head -c 300000 /dev/zero >&2 && echo "$OK""#);
        assert!(driver.next(soon()).await.is_some(), "it was cut short");
        assert_eq!(driver.end().await.len(), MAX_WORDS);
    }

    #[tokio::test]
    async fn what_it_started_ends_with_it() {
        let mut driver = driver(r#"sleep 1000 & echo "$OK"; wait"#);
        assert!(driver.next(soon()).await.is_some());
        driver.end().await;
        // Its standard output ends when nobody holds it any more.
        let rest = timeout_at(soon(), driver.lines.recv()).await.expect("what it started is still there");
        assert!(rest.is_none());
    }
}
