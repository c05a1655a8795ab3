//! Who may talk to this server at all: Host and Origin, and how fast new connections may come
//! (docs/PROTOCOL.md §1 and §8). It keeps web pages of others, and names that others point here, away.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    cors::{self, Readers},
    documents, routes,
};
use crate::{error::Failure, peer::Peer, problem::problem, protocol::ErrorCode, session::Rates};

pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    trust_proxy: bool,
    /// For listeners other than loopback.
    new_connections: Option<Rates<IpAddr>>,
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
        let port = listen.port();
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
            names.push(match listen.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            });
        }
        let own: Vec<_> = names.iter().map(|name| format!("{name}:{port}")).collect();
        let mut allowed_origins: Vec<_> = own.iter().map(|host| format!("http://{host}")).collect();
        allowed_origins.extend(origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()));
        let mut allowed_hosts = own;
        if port == 80 {
            allowed_origins.extend(names.iter().map(|name| format!("http://{name}")));
            allowed_hosts.extend(names);
        }
        allowed_hosts.extend(hosts.iter().map(|host| host.to_ascii_lowercase()));
        let new_connections = rate.filter(|_| !listen.ip().is_loopback()).map(|(rate, burst)| Rates::new(rate, burst));
        Self { hosts: allowed_hosts, origins: allowed_origins, trust_proxy, new_connections }
    }

    /// `open`: pages of every origin may read what is asked for.
    fn check(&self, peer: &Peer, headers: &HeaderMap, authority: Option<&str>, open: bool) -> Result<(), Failure> {
        if peer.activity.first_request()
            && let Some(rates) = &self.new_connections
            && let Err(after_ms) = rates.take(self.client(peer, headers))
        {
            let text = "too many new connections from this address";
            return Err(Failure::new(ErrorCode::RateLimited, text).retry_after_ms(after_ms));
        }
        let forwarded = headers.get("x-forwarded-host").filter(|_| self.trust_proxy);
        let host = match forwarded.or_else(|| headers.get(header::HOST)) {
            Some(host) => host.to_str().unwrap_or_default(),
            None => authority.unwrap_or_default(),
        };
        if !self.allows_host(host) {
            let text = "this server does not serve that host; the operator can allow it with --allow-host";
            return Err(Failure::new(ErrorCode::PermissionDenied, text));
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !open && !self.allows_origin(origin.to_str().unwrap_or_default()) => {
                let text =
                    "pages of that origin may not use this server; the operator can allow it with --allow-origin";
                Err(Failure::new(ErrorCode::PermissionDenied, text))
            }
            _ => Ok(()),
        }
    }

    /// Who may read the answer, of those that [`Guard::check`] lets pass.
    fn readers(&self, headers: &HeaderMap, open: bool) -> Readers {
        match headers.get(header::ORIGIN) {
            _ if open => Readers::Everyone,
            Some(origin) if self.allows_origin(origin.to_str().unwrap_or_default()) => Readers::Origin(origin.clone()),
            _ => Readers::Own,
        }
    }

    fn allows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        // An allowed host without a port is allowed on any.
        self.hosts.iter().any(|allowed| *allowed == host || allowed == name || allowed == "*")
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.origins.iter().any(|allowed| *allowed == origin || allowed == "*")
    }

    /// The client's address: the one that the proxy saw, if there is one that is trusted.
    fn client(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        let forwarded = headers.get("x-forwarded-for").filter(|_| self.trust_proxy);
        let last = forwarded.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        last.unwrap_or_else(|| peer.ip())
    }
}

/// Refuses what the guard does not allow.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return problem(Failure::internal("request without a peer")).into_response();
    };
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let asked = cors::is_preflight(request.method(), request.headers());
    let method = match request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD) {
        Some(method) if asked => method.to_str().unwrap_or_default(),
        _ => request.method().as_str(),
    };
    let found = routes::find(method, request.uri().path());
    let open = found.is_ok_and(|found| documents::is_document(found.operation));
    let readers = guard.readers(request.headers(), open);
    let mut response = match guard.check(peer, request.headers(), authority, open) {
        Ok(()) if asked => cors::preflight(),
        Ok(()) => next.run(request).await,
        Err(failure) => problem(failure).into_response(),
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
        guard.check(&peer, &headers, None, false).is_ok()
    }

    #[test]
    fn hosts_and_origins_on_loopback() {
        let guard = Guard::new("127.0.0.1:3001".parse().unwrap(), &[], &[], false, Some((1.0, 1.0)));
        for (allowed, headers) in [
            (true, &[("host", "localhost:3001")][..]),
            (true, &[("host", "LOCALHOST:3001")]),
            (true, &[("host", "127.0.0.1:3001")]),
            (true, &[("host", "[::1]:3001")]),
            (false, &[("host", "localhost:3002")]),
            (false, &[("host", "localhost")]),
            (false, &[("host", "evil.example:3001")]),
            (false, &[("host", "localhost.evil.example:3001")]),
            (false, &[]),
            (true, &[("host", "localhost:3001"), ("origin", "http://localhost:3001")]),
            (true, &[("host", "localhost:3001"), ("origin", "http://127.0.0.1:3001")]),
            (false, &[("host", "localhost:3001"), ("origin", "https://localhost:3001")]),
            (false, &[("host", "localhost:3001"), ("origin", "http://localhost:5173")]),
            (false, &[("host", "localhost:3001"), ("origin", "null")]),
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
            (true, &[("host", "agents.example"), ("origin", "https://app.example")]),
            (false, &[("host", "agents.example"), ("origin", "http://app.example")]),
            (true, &[("host", "localhost")]),
        ] {
            assert_eq!(verdict(&guard, headers), allowed, "{headers:?}");
        }
    }

    #[test]
    fn new_connections_are_counted_by_the_address_that_the_proxy_saw() {
        let hosts = ["*".to_owned()];
        let guard = Guard::new("0.0.0.0:3001".parse().unwrap(), &hosts, &[], true, Some((0.001, 1.0)));
        let from = |address| verdict(&guard, &[("host", "h"), ("x-forwarded-for", address)]);
        assert!(from("203.0.113.1"));
        assert!(!from("203.0.113.1"));
        assert!(!from("198.51.100.7, 203.0.113.1"));
        assert!(from("203.0.113.2"));
    }
}
