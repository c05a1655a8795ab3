//! The server under test: one that runs somewhere, or one that the kit starts, and may stop and start again.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use super::embedded;

const STARTING: Duration = Duration::from_secs(30);

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub port: u16,
}

impl Host {
    pub fn authority(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    pub fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    /// A connection; `receive` is the size of the kernel's buffer for what comes, where another than the usual is asked for.
    pub async fn tcp(&self, receive: Option<u32>) -> io::Result<TcpStream> {
        let address = tokio::net::lookup_host((self.name.as_str(), self.port)).await?.next();
        let address = address.ok_or_else(|| io::Error::other(format!("{} is nowhere", self.name)))?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(receive) = receive {
            socket.set_recv_buffer_size(receive)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Reads `host:port`, `http://host:port` or `ws://host:port/ws`.
pub fn address(text: &str) -> Result<Host, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&with_scheme).map_err(|error| format!("{text} is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "ws") {
        return Err(format!("{text}: only http and ws; for TLS put a proxy on this machine before it"));
    }
    if !matches!(url.path(), "" | "/" | "/ws") {
        return Err(format!("{text}: the address of a server has no path"));
    }
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    Ok(Host { name, port })
}

/// How a server is started.
#[derive(Debug, Clone)]
pub enum Program {
    /// This very program.
    Own(PathBuf),
    /// A command for the shell, which finds what it needs in its environment (docs/CONFORMANCE.md).
    Shell(String),
}

pub struct Server {
    pub host: Host,
    program: Program,
    settings: BTreeMap<String, String>,
    dir: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with these settings on a free port, and waits until it answers.
    pub async fn start(program: &Program, settings: &BTreeMap<String, String>) -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("agent-world-conform-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("data"))?;
        embedded::write(&dir)?;
        let host = Host { name: "127.0.0.1".to_owned(), port: 0 };
        let mut server = Self { host, program: program.clone(), settings: settings.clone(), dir, child: None };
        server.run().await?;
        Ok(server)
    }

    async fn run(&mut self) -> io::Result<()> {
        // Another process may take the port before the server does.
        for _ in 0..3 {
            self.host.port = TcpListener::bind((self.host.name.as_str(), 0))?.local_addr()?.port();
            self.child = Some(self.command().spawn()?);
            let since = Instant::now();
            while since.elapsed() < STARTING {
                if self.answers().await {
                    return Ok(());
                }
                if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.end();
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        Err(io::Error::other(format!("the server under test does not start: {}", last.join(" / "))))
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
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("exec {line}"));
                command.env("CONFORM_LISTEN", listen).env("CONFORM_PORT", self.host.port.to_string());
                command.env("CONFORM_DATA", data).env("CONFORM_SCRIPT", script).env("CONFORM_TEMPLATES", templates);
                let settings: Vec<String> =
                    self.settings.iter().map(|(name, value)| format!("--{name}={value}")).collect();
                command.env("CONFORM_SETTINGS", settings.join(" "));
                command
            }
        };
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        command
    }

    /// Tells the server to stop as it is meant to.
    pub fn ask_to_stop(&self) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
    }

    /// Ends the server, at once or as it is meant to, and starts it again on the same data. It has another port then.
    pub async fn restart(&mut self, at_once: bool) -> io::Result<()> {
        if !at_once {
            self.ask_to_stop();
            let since = Instant::now();
            while since.elapsed() < STARTING {
                if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        self.end();
        self.run().await
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let host = |name: &str, port| Ok(Host { name: name.to_owned(), port });
        assert_eq!(address("localhost:3001"), host("localhost", 3001));
        assert_eq!(address("http://127.0.0.1:80/"), host("127.0.0.1", 80));
        assert_eq!(address("ws://[::1]:3001/ws"), host("::1", 3001));
        assert!(address("https://example.org").is_err());
        assert!(address("http://example.org/other").is_err());
        assert!(address("http://").is_err());
    }
}
