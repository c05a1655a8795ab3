//! Where the server under test is.

use std::{io, net::SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// A name or address, and a port.
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
        connect_any(tokio::net::lookup_host((self.name.as_str(), self.port)).await?, receive).await
    }
}

/// `localhost` is two addresses, and a server may listen on one of them.
async fn connect_any(addresses: impl Iterator<Item = SocketAddr>, receive: Option<u32>) -> io::Result<TcpStream> {
    let mut refused = io::Error::other("it has no address");
    for address in addresses {
        match connect(address, receive).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

async fn connect(address: SocketAddr, receive: Option<u32>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(receive) = receive {
        socket.set_recv_buffer_size(receive)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{text}: the address of a server is its host and port alone"));
    }
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    Ok(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, there.port()));
        for (addresses, found) in
            [(vec![nobody, there], true), (vec![there, nobody], true), (vec![nobody], false), (vec![], false)]
        {
            assert_eq!(connect_any(addresses.into_iter(), None).await.is_ok(), found);
        }
    }

    #[test]
    fn addresses_are_read() {
        let host = |name: &str, port| Ok(Host { name: name.to_owned(), port });
        assert_eq!(address("localhost:3001"), host("localhost", 3001));
        assert_eq!(address("http://127.0.0.1:80/"), host("127.0.0.1", 80));
        assert_eq!(address("ws://[::1]:3001/ws"), host("::1", 3001));
        assert!(address("https://example.org").is_err());
        assert!(address("http://example.org/other").is_err());
        assert!(address("http://").is_err());
        for alone in
            ["http://user@example.org", "http://:pw@example.org", "http://example.org?x", "http://example.org#x"]
        {
            assert!(address(alone).is_err(), "{alone}");
        }
    }
}
