//! `agent-world record`: a proxy between any client and any server, which writes down every frame of both directions
//! with its time. HTTP goes through unrecorded, streams of server-sent events too, so a client library finds everything
//! where it expects it.

mod pass;
mod relay;
mod tape;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Request, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::Notify};
use url::Url;

use super::ToolError;
use tape::Tape;

/// What can be said on the command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The server: `ws://127.0.0.1:3001/ws`, or `http://127.0.0.1:3001`
    #[arg(value_name = "URL", required = false, required_unless_present = "broken")]
    pub url: String,
    /// The recording, one line for each frame (schema/recording.json); `-` is standard output
    #[arg(value_name = "OUT", required = false, required_unless_present = "broken")]
    pub out: PathBuf,
    /// Where clients connect to; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
    /// End after the first connection, instead of with Ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Break what the server says in one way, once on each connection: to see who notices; `list` names the ways
    #[arg(long = "break", value_name = "NAME")]
    pub broken: Option<String>,
}

/// What arrives in the place of a text of the server.
pub type Edit = Box<dyn FnMut(&str) -> Vec<String> + Send>;
/// Makes an [`Edit`] for each connection.
pub type Edits = Box<dyn Fn() -> Edit + Send + Sync>;

pub const AFTER_HELP: &str = "\
Point the client at the address that is printed, instead of the server's. Every frame goes through as it is; what is \
written down holds `redacted` in the place of every session token and key. Requests over HTTP go through and are not \
recorded.

  agent-world record ws://127.0.0.1:3001/ws out.ndjson --listen 127.0.0.1:4000
  agent-world chat --url ws://127.0.0.1:4000/ws            # in another terminal
  agent-world replay out.ndjson ws://127.0.0.1:3001/ws     # later";

/// A proxy that listens.
pub struct Recorder {
    listener: TcpListener,
    address: SocketAddr,
    proxy: Arc<Proxy>,
    once: bool,
}

struct Proxy {
    /// Scheme and authority of the server: `http://127.0.0.1:3001`.
    upstream: Url,
    http: reqwest::Client,
    tape: Tape,
    connections: AtomicU64,
    edits: Option<Edits>,
    /// A connection is over.
    over: Notify,
}

impl Recorder {
    /// Opens the file and takes the port. What the server says goes through `edits`, where there are some.
    pub async fn bind(options: &Options, edits: Option<Edits>) -> Result<Self, ToolError> {
        let upstream = http_origin(&options.url)?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        let http = http.map_err(|error| ToolError::Other(format!("failed to make an HTTP client: {error}")))?;
        let refused = |error: std::io::Error| ToolError::Listen {
            address: options.listen.to_string(),
            reason: error.to_string(),
        };
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let tape = Tape::create(&options.out, options.force)?;
        let proxy = Proxy { upstream, http, tape, connections: AtomicU64::new(0), edits, over: Notify::new() };
        Ok(Self { listener, address, proxy: Arc::new(proxy), once: options.once })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Records until `stop` resolves, or, with `--once`, a connection is over. Says how many frames it wrote.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<u64, ToolError> {
        let Self { listener, proxy, once, .. } = self;
        let router = Router::new().fallback(proxied).with_state(proxy.clone());
        let over = async {
            match once {
                true => proxy.over.notified().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            served = axum::serve(listener, router).into_future() => {
                served.map_err(|error| ToolError::Other(format!("failed to serve: {error}")))?;
            }
            () = over => {}
            () = stop => {}
        }
        proxy.tape.finish()
    }
}

/// Where the HTTP of a server is, from either of its addresses.
pub(super) fn http_origin(url: &str) -> Result<Url, ToolError> {
    let address = || ToolError::Address { url: url.to_owned() };
    let mut parsed = Url::parse(url).map_err(|_| address())?;
    let scheme = match parsed.scheme() {
        "ws" | "http" => "http",
        _ => return Err(address()),
    };
    if parsed.host().is_none() || parsed.set_scheme(scheme).is_err() {
        return Err(address());
    }
    parsed.set_path("/");
    parsed.set_query(None);
    Ok(parsed)
}

/// Everything that a client asks for.
async fn proxied(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    proxy.learn(request.headers());
    let upgrade =
        request.headers().get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !upgrade {
        return pass::pass(&proxy, request).await;
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &proxy).await {
        Ok(upgrade) => relay::relay(proxy, parts, upgrade).await,
        Err(rejection) => rejection.into_response(),
    }
}

impl Proxy {
    fn number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes note of the secrets in the headers of a request or an answer.
    fn learn(&self, headers: &HeaderMap) {
        for value in headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok()) {
            self.tape.secret(value.rsplit(' ').next().unwrap_or_default());
        }
        for offered in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok()) {
            offered
                .split(',')
                .filter_map(|name| name.trim().strip_prefix("bearer."))
                .for_each(|token| self.tape.secret(token));
        }
        if let Some(token) = headers.get("agent-world-token").and_then(|token| token.to_str().ok()) {
            self.tape.secret(token);
        }
    }

    /// The headers of a request as the server should see them: those of this hop are left out, and a page that comes
    /// from here comes from there.
    fn headers(&self, headers: &HeaderMap) -> HeaderMap {
        let here = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
        let mut passed = end_to_end(headers);
        passed.remove(header::HOST);
        if let Some(origin) = passed.get_mut(header::ORIGIN)
            && here.is_some_and(|here| origin.as_bytes() == here.as_bytes())
            && let Ok(there) = self.upstream.origin().ascii_serialization().parse()
        {
            *origin = there;
        }
        passed
    }
}

/// Without the headers that speak of one hop only (RFC 9110 §7.6.1).
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const HOP: [&str; 7] =
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
    let kept = headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is answered when the server is not there.
fn unreachable(proxy: &Proxy, reason: &str) -> Response {
    let text = format!("agent-world record: no answer from {}: {reason}\n", proxy.upstream);
    (StatusCode::BAD_GATEWAY, Body::from(text)).into_response()
}
