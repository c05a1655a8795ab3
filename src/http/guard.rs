//! Who may talk to this server at all: Host and Origin, and how fast new connections may come
//! (docs/PROTOCOL.md §1 and §8). It keeps web pages of others, and names that others point here, away.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use parking_lot::Mutex;

use super::{
    cors::{self, Readers},
    documents, routes,
};
use crate::{error::Failure, peer::Peer, problem::problem, protocol::ErrorCode, session::Rates};

/// Time between two refusals that are logged.
const TELL_AGAIN: Duration = Duration::from_secs(10);

pub struct Guard {
    /// It listens on loopback.
    local: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
    trust_proxy: bool,
    /// For listeners other than loopback.
    new_connections: Option<Rates<IpAddr>>,
    /// When the operator was told of a refusal.
    told: Mutex<Option<Instant>>,
}

impl Guard {
    /// `listen` is the address that the server listens on; `hosts` and `origins` are allowed besides.
    pub fn new(
        listen: SocketAddr,
        hosts: &[String],
        origins: &[String],
        trust_proxy: bool,
        rate: Option<(f64, f64)>,
    ) -> Self {
        let local = listen.ip().is_loopback();
        let lower =
            |names: &[String]| names.iter().map(|name| name.trim_end_matches('/').to_ascii_lowercase()).collect();
        let new_connections = rate.filter(|_| !local).map(|(rate, burst)| Rates::new(rate, burst));
        Self {
            local,
            hosts: lower(hosts),
            origins: lower(origins),
            trust_proxy,
            new_connections,
            told: Mutex::default(),
        }
    }

    /// `open`: pages of every origin may read what is asked for.
    fn check(&self, peer: &Peer, headers: &HeaderMap, host: &Host, open: bool) -> Result<(), Failure> {
        if peer.activity.first_request()
            && let Some(rates) = &self.new_connections
            && let Err(after_ms) = rates.take(self.client(peer, headers))
        {
            let text = "too many new connections from this address";
            return Err(Failure::new(ErrorCode::RateLimited, text).retry_after_ms(after_ms));
        }
        if !self.allows_host(host) {
            let text = "this server does not serve that host; the operator can allow it with --allow-host";
            return Err(Failure::new(ErrorCode::PermissionDenied, text));
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !open && !self.allows_origin(origin, host) => {
                let text =
                    "pages of that origin may not use this server; the operator can allow it with --allow-origin";
                Err(Failure::new(ErrorCode::PermissionDenied, text))
            }
            _ => Ok(()),
        }
    }

    /// Who may read the answer, of those that [`Guard::check`] lets pass.
    fn readers(&self, headers: &HeaderMap, host: &Host, open: bool) -> Readers {
        match headers.get(header::ORIGIN) {
            _ if open => Readers::Everyone,
            Some(origin) if self.allows_origin(origin, host) => Readers::Origin(origin.clone()),
            _ => Readers::Own,
        }
    }

    /// What the client, or the proxy that is trusted, takes this server for.
    fn host(&self, headers: &HeaderMap, authority: Option<&str>) -> Host {
        let forwarded = headers.get("x-forwarded-host").filter(|_| self.trust_proxy);
        Host::read(match forwarded.or_else(|| headers.get(header::HOST)) {
            Some(host) => host.to_str().unwrap_or_default(),
            None => authority.unwrap_or_default(),
        })
    }

    fn allows_host(&self, host: &Host) -> bool {
        self.knows_host(host) || (!host.name.is_empty() && self.hosts.iter().any(|allowed| allowed == "*"))
    }

    /// Whether no stranger can have pointed that name here: it is an address, this machine's own, or the operator's.
    fn knows_host(&self, host: &Host) -> bool {
        // An allowed host without a port is allowed on any.
        let named = |allowed: &String| *allowed == host.name || *allowed == host.whole;
        host.address.is_some() || host.name == "localhost" || self.hosts.iter().any(named)
    }

    fn allows_origin(&self, origin: &HeaderValue, host: &Host) -> bool {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let from = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme)).map(Host::read);
        let own = from.as_ref().is_some_and(|from| from.whole == host.whole && self.knows_host(host));
        // Whom a proxy on this machine serves is not near.
        let near = self.local && host.is_loopback() && from.as_ref().is_some_and(Host::is_loopback);
        own || near || self.origins.iter().any(|allowed| *allowed == origin || allowed == "*")
    }

    /// Tells the operator whom the guard keeps away: now and then, as it may be many.
    fn tell(&self, headers: &HeaderMap, failure: &Failure) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            *told = Some(Instant::now());
            let (host, origin) = (headers.get(header::HOST), headers.get(header::ORIGIN));
            let code = failure.code.as_str();
            tracing::warn!(?host, ?origin, code, "a client is kept away; see --allow-host and --allow-origin");
        }
    }

    /// The client's address: the one that the proxy saw, if there is one that is trusted.
    fn client(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        // Proxies add to the last line, or a line.
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back().filter(|_| self.trust_proxy);
        let last = forwarded.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        last.unwrap_or_else(|| peer.ip())
    }
}

/// What stands in a `Host` header, in small letters; nothing where that is no host.
#[derive(Default)]
struct Host {
    /// With its port.
    whole: String,
    name: String,
    /// The name, if it is one.
    address: Option<IpAddr>,
}

impl Host {
    fn read(text: &str) -> Self {
        let Ok(authority) = text.parse::<Authority>() else { return Self::default() };
        let name = authority.host().to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        Self { whole: text.to_ascii_lowercase(), name, address }
    }

    fn is_loopback(&self) -> bool {
        self.name == "localhost" || self.address.is_some_and(|address| address.is_loopback())
    }
}

/// Refuses what the guard does not allow.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return problem(Failure::internal("request without a peer")).into_response();
    };
    let host = guard.host(request.headers(), request.uri().authority().map(|authority| authority.as_str()));
    let asked = cors::is_preflight(request.method(), request.headers());
    let method = match request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD) {
        Some(method) if asked => method.to_str().unwrap_or_default(),
        _ => request.method().as_str(),
    };
    let found = routes::find(method, request.uri().path());
    let open = found.is_ok_and(|found| documents::is_document(found.operation));
    let mut readers = guard.readers(request.headers(), &host, open);
    let mut response = match guard.check(peer, request.headers(), &host, open) {
        Ok(()) if asked => cors::preflight(),
        Ok(()) => next.run(request).await,
        Err(failure) => {
            guard.tell(request.headers(), &failure);
            // Whoever writes the page is to read what is wrong.
            readers = Readers::Everyone;
            problem(failure).into_response()
        }
    };
    readers.name_in(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &Guard, headers: &[(&'static str, &str)]) -> bool {
        let peer = Peer::new("10.0.0.9:4000".parse().unwrap());
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap =
            headers.collect::<Vec<(header::HeaderName, header::HeaderValue)>>().into_iter().collect();
        guard.check(&peer, &headers, &guard.host(&headers, None), false).is_ok()
    }

    #[test]
    fn hosts_and_origins_on_loopback() {
        let guard = Guard::new("127.0.0.1:3001".parse().unwrap(), &[], &[], false, Some((1.0, 1.0)));
        for (allowed, headers) in [
            (true, &[("host", "localhost:3001")][..]),
            (true, &[("host", "LOCALHOST:3001")]),
            (true, &[("host", "127.0.0.1:3001")]),
            (true, &[("host", "[::1]:3001")]),
            (true, &[("host", "[::1]")]),
            (true, &[("host", "localhost")]),
            (true, &[("host", "192.168.1.5:8080")]),
            (false, &[("host", "evil.example:3001")]),
            (false, &[("host", "localhost.evil.example:3001")]),
            (false, &[("host", "127.0.0.1.evil.example")]),
            (false, &[("host", "")]),
            (false, &[("host", "local host")]),
            (false, &[]),
            (true, &[("host", "localhost:3001"), ("origin", "http://localhost:3001")]),
            (true, &[("host", "localhost:3001"), ("origin", "http://127.0.0.1:3001")]),
            (true, &[("host", "localhost:3001"), ("origin", "http://localhost:5173")]),
            (true, &[("host", "localhost:3001"), ("origin", "https://[::1]:5173")]),
            (false, &[("host", "192.168.1.5:3001"), ("origin", "http://localhost:5173")]),
            (false, &[("host", "localhost:3001"), ("origin", "http://192.168.1.5:3001")]),
            (false, &[("host", "localhost:3001"), ("origin", "https://evil.example")]),
            (false, &[("host", "localhost:3001"), ("origin", "http://localhost.evil.example")]),
            (false, &[("host", "localhost:3001"), ("origin", "localhost:3001")]),
            (false, &[("host", "localhost:3001"), ("origin", "null")]),
            (false, &[("host", "localhost:3001"), ("origin", "")]),
            (false, &[("host", "evil.example"), ("origin", "http://evil.example")]),
            (false, &[("host", "evil.example"), ("x-forwarded-host", "localhost:3001")]),
        ] {
            assert_eq!(verdict(&guard, headers), allowed, "{headers:?}");
        }
    }

    #[test]
    fn what_the_operator_allows() {
        let hosts = ["agents.example".to_owned()];
        let origins = ["https://app.example/".to_owned()];
        let guard = Guard::new("0.0.0.0:80".parse().unwrap(), &hosts, &origins, true, None);
        for (allowed, headers) in [
            (true, &[("host", "agents.example")][..]),
            (true, &[("host", "agents.example:8443")]),
            (true, &[("host", "10.0.0.1:80"), ("x-forwarded-host", "agents.example")]),
            (true, &[("host", "localhost")]),
            (true, &[("host", "agents.example"), ("origin", "https://app.example")]),
            (true, &[("host", "agents.example"), ("origin", "https://agents.example")]),
            (true, &[("host", "n1"), ("x-forwarded-host", "agents.example"), ("origin", "https://agents.example")]),
            (true, &[("host", "10.0.0.1"), ("origin", "http://10.0.0.1")]),
            (false, &[("host", "agents.example"), ("origin", "http://app.example")]),
            (false, &[("host", "agents.example"), ("origin", "https://agents.example:8443")]),
            (false, &[("host", "10.0.0.1"), ("origin", "http://10.0.0.1:8080")]),
            (false, &[("host", "localhost"), ("origin", "http://localhost:5173")]),
        ] {
            assert_eq!(verdict(&guard, headers), allowed, "{headers:?}");
        }
    }

    #[test]
    fn where_every_host_is_allowed_a_page_of_that_name_is_not() {
        let guard = Guard::new("127.0.0.1:3001".parse().unwrap(), &["*".to_owned()], &[], false, None);
        assert!(verdict(&guard, &[("host", "evil.example")]));
        assert!(!verdict(&guard, &[("host", "evil.example"), ("origin", "http://evil.example")]));
    }

    #[test]
    fn new_connections_are_counted_by_the_address_that_the_proxy_saw() {
        let hosts = ["*".to_owned()];
        let guard = Guard::new("0.0.0.0:3001".parse().unwrap(), &hosts, &[], true, Some((0.001, 1.0)));
        let from = |address| verdict(&guard, &[("host", "h"), ("x-forwarded-for", address)]);
        assert!(from("203.0.113.1"));
        assert!(!from("203.0.113.1"));
        assert!(!from("198.51.100.7, 203.0.113.1"));
        let lines = [("host", "h"), ("x-forwarded-for", "198.51.100.8"), ("x-forwarded-for", "203.0.113.1")];
        assert!(!verdict(&guard, &lines));
        assert!(from("203.0.113.2"));
    }
}
