//! The server under test, where the kit starts it, and may stop it and start it again.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{embedded, host::Host, shell};

const STARTING: Duration = Duration::from_secs(30);
/// How long killed processes may take to be gone. Only what left the group can take longer.
const GOING: Duration = Duration::from_secs(2);
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(5);
/// The most that is told of what a server wrote that does not start, in bytes and in lines.
const LAST_WORDS: (u64, usize) = (4 * 1_024, 20);

/// How a server is started.
#[derive(Debug, Clone)]
pub enum Program {
    /// This very program.
    Own(PathBuf),
    /// A command for the shell, which finds what it needs in its environment (docs/CONFORMANCE.md).
    Shell(String),
}

/// Why there is no server to test.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the server under test cannot be started: {0}")]
    Io(#[from] io::Error),
    #[error("the server under test does not start: `{command}` {outcome}{words}")]
    Server { command: String, outcome: String, words: String },
}

pub struct Server {
    pub host: Host,
    program: Program,
    settings: BTreeMap<String, String>,
    dir: PathBuf,
    running: Option<Running>,
}

/// What was started: the process, and all that it started itself.
struct Running {
    child: Child,
    /// Reads its standard output, until nobody can write there any more: a shell ends sooner than the server that it runs.
    listening: Option<JoinHandle<()>>,
    killed: bool,
}

impl Running {
    fn spawn(mut command: Command) -> io::Result<Self> {
        shell::group(&mut command);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let listening = child.stdout.take().map(|mut out| {
            std::thread::spawn(move || {
                let _ = io::copy(&mut out, &mut io::sink());
            })
        });
        Ok(Self { child, listening, killed: false })
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            shell::end(&mut self.child);
        }
    }

    fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None)) && self.listening.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all of it is gone.
    async fn gone(&mut self) {
        while !self.is_gone() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Running {
    /// Afterwards its port is free, and nothing writes into its folder.
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        self.kill();
        let since = Instant::now();
        while !self.is_gone() && since.elapsed() < GOING {
            std::thread::sleep(LOOK);
        }
    }
}

impl Server {
    /// Starts a server with these settings on a free port, and waits until it answers.
    pub async fn start(program: &Program, settings: &BTreeMap<String, String>) -> Result<Self, StartError> {
        let dir = std::env::temp_dir().join(format!("agent-world-conform-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("data"))?;
        embedded::write(&dir)?;
        let host = Host { name: "127.0.0.1".to_owned(), port: 0 };
        let mut server = Self { host, program: program.clone(), settings: settings.clone(), dir, running: None };
        server.run().await?;
        Ok(server)
    }

    async fn run(&mut self) -> Result<(), StartError> {
        let mut ended = None;
        // Another process may take the port before the server does.
        for _ in 0..3 {
            self.host.port = TcpListener::bind((self.host.name.as_str(), 0))?.local_addr()?.port();
            self.running = Some(Running::spawn(self.command())?);
            ended = None;
            let since = Instant::now();
            while since.elapsed() < STARTING && ended.is_none() {
                if self.answers().await {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                ended = self.ended();
            }
            self.end().await;
            if ended.is_none() {
                break;
            }
        }
        Err(self.unstarted(ended))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.child.try_wait().ok()?
    }

    /// What is to be known of a command that does not become a server.
    fn unstarted(&self, ended: Option<ExitStatus>) -> StartError {
        let command = match &self.program {
            Program::Own(path) => path.display().to_string(),
            Program::Shell(line) => line.clone(),
        };
        let outcome = match ended {
            Some(status) => format!("ends ({status})"),
            None => format!("does not answer GET /health on port {} within {STARTING:?}", self.host.port),
        };
        let words = last_words(&self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = words.lines().collect();
        let words = match lines[lines.len().saturating_sub(LAST_WORDS.1)..].join("\n    ") {
            words if words.is_empty() => "; it wrote nothing to standard error".to_owned(),
            words => format!("; the end of its standard error:\n    {words}"),
        };
        StartError::Server { command, outcome, words }
    }

    async fn answers(&self) -> bool {
        let answer = async {
            let client = reqwest::Client::builder().no_proxy().build().ok()?;
            client.get(self.host.http("/health")).send().await.ok()
        };
        matches!(tokio::time::timeout(Duration::from_secs(2), answer).await, Ok(Some(answer)) if answer.status().is_success())
    }

    fn command(&self) -> Command {
        let (data, script, templates) =
            (self.dir.join("data"), self.dir.join("script.json"), self.dir.join("templates"));
        let listen = SocketAddr::from(([127, 0, 0, 1], self.host.port)).to_string();
        let mut command = match &self.program {
            Program::Own(path) => {
                let mut command = Command::new(path);
                command.arg("serve").args(["--listen", &listen, "--log", "warn"]);
                command.arg("--data-dir").arg(data).arg("--script").arg(script).arg("--templates").arg(templates);
                for (name, value) in &self.settings {
                    command.arg(format!("--{name}")).arg(value);
                }
                command.env_clear();
                command
            }
            Program::Shell(line) => {
                let mut command = shell::shell(line);
                command.env("CONFORM_LISTEN", listen).env("CONFORM_PORT", self.host.port.to_string());
                command.env("CONFORM_DATA", data).env("CONFORM_SCRIPT", script).env("CONFORM_TEMPLATES", templates);
                let settings: Vec<String> =
                    self.settings.iter().map(|(name, value)| format!("--{name}={value}")).collect();
                command.env("CONFORM_SETTINGS", settings.join(" "));
                command
            }
        };
        let log = std::fs::File::create(self.dir.join("log"));
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        command
    }

    /// Tells the server to stop as it is meant to.
    pub fn ask_to_stop(&self) {
        if let Some(running) = &self.running {
            shell::signal(&running.child, "TERM");
        }
    }

    /// Ends the server, at once or as it is meant to, and starts it again on the same data. It has another port then.
    pub async fn restart(&mut self, at_once: bool) -> Result<(), StartError> {
        if !at_once {
            self.ask_to_stop();
            if let Some(running) = &mut self.running {
                let _ = timeout(STARTING, running.gone()).await;
            }
        }
        self.end().await;
        self.run().await
    }

    async fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
            let _ = timeout(GOING, running.gone()).await;
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn last_words(log: &Path) -> io::Result<String> {
    let mut log = std::fs::File::open(log)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS.0)))?;
    let mut words = Vec::new();
    log.take(LAST_WORDS.0).read_to_end(&mut words)?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_that_does_not_become_a_server_is_told_with_its_last_words() {
        let refused = async |command: &str| {
            let started = Server::start(&Program::Shell(command.to_owned()), &BTreeMap::new()).await;
            started.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let told = refused("sh -c 'echo first >&2; echo no such flag >&2; exit 3'").await;
        assert!(told.contains("exit 3'` ends (exit status: 3); the end of its standard error:"), "{told}");
        assert!(told.ends_with("\n    first\n    no such flag"), "{told}");
        let told = refused("no-such-server-anywhere").await;
        assert!(told.contains("`no-such-server-anywhere` ends (exit status: 127)"), "{told}");
        assert!(told.contains("not found"), "{told}");
        let told = refused("false").await;
        assert!(told.ends_with("; it wrote nothing to standard error"), "{told}");
        let told = refused("sh -c 'yes much | head -n 100000 >&2; exit 1'").await;
        assert_eq!(told.matches("much").count(), LAST_WORDS.1 + 1, "{told}");
        let told = refused("sh -c 'head -c 300000 /dev/zero >&2; exit 1'").await;
        assert!(told.len() < 5_000, "{} bytes", told.len());
    }
}
