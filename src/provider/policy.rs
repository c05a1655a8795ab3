//! Where a client may send the server: the policy for base URLs (docs/PROTOCOL.md §6, *keys*).
//!
//! A URL is checked before its name is resolved, and every address after; the connection is then
//! made to the addresses that were checked (see `clients`), so that a name that changes its mind
//! between check and connection gains nothing.

use super::ProviderKind;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};
use url::{Host, Url};

/// The most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 32;

/// Which base URLs clients may set.
///
/// The default permits nothing. Whatever is allowed, link-local, unspecified, multicast and cloud
/// metadata addresses are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseUrlPolicy {
    /// Whether addresses of this machine are permitted: true only while the server listens on
    /// loopback itself, because then whoever reaches it could reach them anyway.
    pub loopback: bool,
    /// What `--allow-base-url` adds.
    pub patterns: Vec<BaseUrlPattern>,
}

/// One `--allow-base-url`: `[scheme://]host[:port]` or a network such as `10.0.0.0/8`.
///
/// `host` is a name, an address, `*.example.com` or `*`. A name may resolve to any address that is
/// not forbidden; what has a wildcard reaches public addresses only, so that `*` does not open the
/// private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrlPattern {
    scheme: Option<String>,
    host: HostPattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    Below(String),
    Name(String),
    Network(IpAddr, u32),
}

/// An `--allow-base-url` that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a pattern of the form [scheme://]host[:port] or address/bits: {0:?}")]
pub struct InvalidPattern(pub String);

/// Why a base URL is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlRefused {
    #[error("the base URL is not an http or https address")]
    NotHttp,
    #[error("the base URL must not hold a user, a password, a query or a fragment")]
    Decorated,
    #[error("the base URL is not allowed by this server; see --allow-base-url")]
    NotAllowed,
    #[error(
        "the base URL leads to a link-local, multicast or metadata address; addresses of this kind are never called"
    )]
    Forbidden,
    #[error("the host of the base URL is not known")]
    Unresolved,
}

impl BaseUrlPolicy {
    /// Checks what can be checked without the network: for an early answer to whoever sets it. The
    /// call itself checks again, with the addresses.
    ///
    /// # Errors
    /// Says why the URL cannot be used, whatever it resolves to.
    pub fn check(&self, kind: ProviderKind, base_url: &str) -> Result<(), BaseUrlRefused> {
        let url = parse_base_url(kind, base_url)?;
        let possible = match literal(&url) {
            Some(address) if forbidden(unwrapped(address)) => return Err(BaseUrlRefused::Forbidden),
            Some(address) => self.permits(&url, address),
            None => self.loopback || self.patterns.iter().any(|pattern| pattern.may_match(&url)),
        };
        possible.then_some(()).ok_or(BaseUrlRefused::NotAllowed)
    }

    /// Resolves the host of `url`, and leaves the addresses that may be connected to: at least one.
    pub(super) async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, BaseUrlRefused> {
        let port = url.port_or_known_default().ok_or(BaseUrlRefused::NotHttp)?;
        let found: Vec<SocketAddr> = match (literal(url), url.host_str()) {
            (Some(address), _) => vec![SocketAddr::new(address, port)],
            (None, Some(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|_| BaseUrlRefused::Unresolved)?
                .take(MAX_ADDRESSES)
                .collect(),
            (None, None) => return Err(BaseUrlRefused::NotHttp),
        };
        if found.is_empty() {
            return Err(BaseUrlRefused::Unresolved);
        }
        if found.iter().all(|found| forbidden(unwrapped(found.ip()))) {
            return Err(BaseUrlRefused::Forbidden);
        }
        let permitted: Vec<_> = found.into_iter().filter(|found| self.permits(url, found.ip())).collect();
        if permitted.is_empty() { Err(BaseUrlRefused::NotAllowed) } else { Ok(permitted) }
    }

    fn permits(&self, url: &Url, address: IpAddr) -> bool {
        let address = unwrapped(address);
        !forbidden(address)
            && ((self.loopback && address.is_loopback())
                || self.patterns.iter().any(|pattern| pattern.matches(url, address)))
    }
}

impl BaseUrlPattern {
    /// Whether the pattern could match, were the addresses right.
    fn may_match(&self, url: &Url) -> bool {
        self.scheme.as_deref().is_none_or(|scheme| scheme == url.scheme())
            && self.port.is_none_or(|port| Some(port) == url.port_or_known_default())
            && match &self.host {
                HostPattern::Any | HostPattern::Network(..) => true,
                HostPattern::Below(domain) => url
                    .domain()
                    .and_then(|name| name.strip_suffix(domain.as_str()))
                    .is_some_and(|rest| rest.ends_with('.')),
                HostPattern::Name(name) => url.domain() == Some(name),
            }
    }

    fn matches(&self, url: &Url, address: IpAddr) -> bool {
        self.may_match(url)
            && match &self.host {
                HostPattern::Any | HostPattern::Below(_) => public(address),
                HostPattern::Name(_) => true,
                HostPattern::Network(network, bits) => inside(address, *network, *bits),
            }
    }
}

impl FromStr for BaseUrlPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        Self::parse(&text.trim().to_ascii_lowercase()).ok_or_else(|| InvalidPattern(text.to_owned()))
    }
}

impl BaseUrlPattern {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        if let Some((network, bits)) = rest.split_once('/').filter(|(_, bits)| !bits.is_empty()) {
            let network: IpAddr = network.trim_matches(['[', ']']).parse().ok()?;
            let bits: u32 = bits.parse().ok().filter(|bits| *bits <= if network.is_ipv4() { 32 } else { 128 })?;
            return Some(Self { scheme, host: HostPattern::Network(network, bits), port: None });
        }
        let rest = rest.trim_end_matches('/');
        if let Ok(address) = rest.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
            return Some(Self { scheme, host: HostPattern::Network(address.into(), 128), port: None });
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (rest, None),
        };
        let host = if host == "*" {
            HostPattern::Any
        } else if let Some(domain) = host.strip_prefix("*.") {
            HostPattern::Below(domain_name(domain)?)
        } else {
            match Host::parse(host).ok()? {
                Host::Domain(_) => HostPattern::Name(domain_name(host)?),
                Host::Ipv4(address) => HostPattern::Network(address.into(), 32),
                Host::Ipv6(address) => HostPattern::Network(address.into(), 128),
            }
        };
        Some(Self { scheme, host, port })
    }
}

/// A name as a URL would hold it (international names in their ASCII form), without wildcards.
fn domain_name(text: &str) -> Option<String> {
    match Host::parse(text).ok()? {
        Host::Domain(name) if !name.contains('*') => Some(name),
        _ => None,
    }
}

/// Reads a base URL, and completes it: no path means the provider's usual one, and the path ends
/// in `/`, because the name of the operation is appended to it.
pub(super) fn parse_base_url(kind: ProviderKind, base_url: &str) -> Result<Url, BaseUrlRefused> {
    let mut url = Url::parse(base_url.trim()).map_err(|_| BaseUrlRefused::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(BaseUrlRefused::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(BaseUrlRefused::Decorated);
    }
    let mut path = url.path().trim_end_matches('/').to_owned();
    // What people paste: the address of the operation rather than of the API.
    if let Some(api) = path.strip_suffix("/chat/completions") {
        path = api.to_owned();
    }
    // Ollama serves its own protocol beside the `/v1` of its OpenAI imitation.
    if kind == ProviderKind::Ollama && path == "/v1" {
        path.clear();
    }
    if path.is_empty() {
        url.set_path(kind.defaults().base_path);
    } else {
        url.set_path(&format!("{path}/"));
    }
    Ok(url)
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

/// The IPv4 address inside an IPv6 one (mapped, NAT64, 6to4), since that is what is reached.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let embedded = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0x64, 0xff9b) => embedded(g, h),
        (0x2002, _) => embedded(b, c),
        // The deprecated "compatible" form; `::` and `::1` are not of it.
        (0, 0) if [c, d, e, f] == [0; 4] && g != 0 => embedded(g, h),
        _ => address,
    }
}

/// Addresses that are never a model: link-local with its metadata services, and those that are no host.
fn forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.octets()[0] == 0
                || v4.is_multicast()
                || v4.is_broadcast()
                // Metadata of Alibaba Cloud and of Azure.
                || matches!(v4.octets(), [100, 100, 100, 200] | [168, 63, 129, 16])
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                // Metadata of AWS.
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

/// Whether an address is one of the public internet.
fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_documentation()
                || (a == 100 && b & 0xc0 == 64)
                || (a == 198 && b & 0xfe == 18)
                || [a, b, c] == [192, 0, 0]
                || a >= 240)
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000 && !matches!(v6.segments(), [0x2001, 0xdb8, ..]),
    }
}

fn inside(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (a.to_bits() ^ n.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits() ^ n.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
