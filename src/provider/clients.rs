//! The HTTP clients that calls go out with.

use super::{Deadlines, ProviderError};
use parking_lot::Mutex;
use reqwest::redirect::Policy;
use std::{collections::HashMap, net::SocketAddr, sync::OnceLock};
use url::{Host, Url};

/// How many pinned clients are kept; past it all are dropped, and made anew when needed.
const MAX_PINNED: usize = 32;

/// Clients for addresses of the operator and of the providers, and one per checked set of
/// addresses for those of clients. None follows a redirect: it would lead around every check.
pub(super) struct Clients {
    deadlines: Deadlines,
    own: OnceLock<reqwest::Client>,
    direct: OnceLock<reqwest::Client>,
    pinned: Mutex<HashMap<(String, Vec<SocketAddr>), reqwest::Client>>,
}

impl Clients {
    pub fn new(deadlines: Deadlines) -> Self {
        Self { deadlines, own: OnceLock::new(), direct: OnceLock::new(), pinned: Mutex::default() }
    }

    /// For an address that the operator chose: through the system's proxy, but for this machine.
    pub fn own(&self, url: &Url) -> Result<reqwest::Client, ProviderError> {
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if here {
            return self.direct();
        }
        keep(&self.own, || self.builder())
    }

    /// Through no proxy.
    fn direct(&self) -> Result<reqwest::Client, ProviderError> {
        keep(&self.direct, || self.builder().no_proxy())
    }

    /// For an address that a client chose: connects to `addresses` and nothing else, and through
    /// no proxy, which would resolve the name for itself.
    pub fn pinned(&self, url: &Url, mut addresses: Vec<SocketAddr>) -> Result<reqwest::Client, ProviderError> {
        let Some(Host::Domain(name)) = url.host() else {
            // There is no name to resolve: the address is in the URL.
            return self.direct();
        };
        addresses.sort_unstable();
        let key = (name.to_owned(), addresses);
        if let Some(client) = self.pinned.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = build(|| self.builder().no_proxy().resolve_to_addrs(&key.0, &key.1))?;
        let mut pinned = self.pinned.lock();
        if pinned.len() >= MAX_PINNED {
            pinned.clear();
        }
        pinned.insert(key, client.clone());
        Ok(client)
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.deadlines.connect)
            // A few bytes could become gigabytes.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .pool_max_idle_per_host(8)
            .user_agent(concat!("agent-world/", env!("CARGO_PKG_VERSION")))
    }
}

/// The client in `place`, built at its first use.
fn keep(
    place: &OnceLock<reqwest::Client>,
    builder: impl Fn() -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, ProviderError> {
    if let Some(client) = place.get() {
        return Ok(client.clone());
    }
    let client = build(builder)?;
    Ok(place.get_or_init(|| client).clone())
}

/// On a system without root certificates a client cannot be built; one that trusts nobody still
/// speaks plain http, to a model on this machine.
fn build(builder: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, ProviderError> {
    builder().build().or_else(|_| builder().tls_certs_only([]).build()).map_err(|error| {
        ProviderError::lasting("the server could not set up a connection", format!("http client: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fake_upstream::{Act, FakeUpstream, head};

    #[tokio::test]
    async fn a_pinned_client_connects_to_the_checked_address_whatever_the_name_says() {
        let mut upstream = FakeUpstream::start(vec![Act::Send(head("204 No Content", ""))]).await;
        // `.invalid` resolves nowhere (RFC 6761): only the pinned address can be meant.
        let url = Url::parse(&format!("http://model.invalid:{}/", upstream.address.port())).unwrap();
        let clients = Clients::new(Deadlines::default());
        let client = clients.pinned(&url, vec![upstream.address]).unwrap();
        assert_eq!(client.get(url.clone()).send().await.unwrap().status(), 204);
        assert!(upstream.request().await.0.contains("host: model.invalid"));

        for port in 0..100 {
            clients.pinned(&url, vec![([127, 0, 0, 1], port).into()]).unwrap();
            assert!(clients.pinned.lock().len() <= MAX_PINNED);
        }
    }
}
