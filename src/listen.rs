//! Takes connections and speaks HTTP/1.1 on them until the server closes.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::{
    peer::{Peer, Watched},
    shutdown::{Phase, Shutdown},
};

/// Connections that wait to be accepted; the kernel may have a lower limit.
const BACKLOG: u32 = 1_024;

pub struct Listening {
    pub listener: TcpListener,
    pub router: Router,
    pub shutdown: Shutdown,
    /// Time that a client has for the head of a request.
    pub handshake: Duration,
}

/// Takes the port. Every connection inherits the socket's options, those too that clients make before anybody accepts:
/// small writes go out at once, and the kernel's send buffer has this many bytes, few, so that what a slow client does
/// not take waits where it is counted.
pub fn listen(address: SocketAddr, send_buffer: usize) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Elsewhere it would let another program take the port as well.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.set_send_buffer_size(u32::try_from(send_buffer).unwrap_or(u32::MAX))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listening {
    /// Returns when the server closes and the connections are gone.
    pub async fn run(mut self) {
        let connections = TaskTracker::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let serving = self.serve(stream, Peer::new(address));
                        connections.spawn(serving);
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: those who are here leave some day.
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = self.shutdown.reached(Phase::Closing) => break,
            }
        }
        connections.close();
        connections.wait().await;
    }

    fn serve(&self, stream: TcpStream, peer: Peer) -> impl Future<Output = ()> + use<> {
        let router = self.router.clone();
        let mut shutdown = self.shutdown.clone();
        let handshake = self.handshake;
        async move {
            let io = TokioIo::new(Watched::new(stream, peer.activity.clone()));
            let service = service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer.clone());
                let mut router = router.clone();
                async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(handshake)
                .serve_connection(io, service)
                .with_upgrades();
            let mut serving = std::pin::pin!(serving);
            let ended = tokio::select! {
                ended = &mut serving => ended,
                () = shutdown.reached(Phase::Closing) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// A server opens its log after it has taken the port, and clients that wait for it come before it has.
    #[tokio::test]
    async fn who_comes_before_anybody_accepts_has_the_options() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 10_000).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        // The kernel counts its own part of the buffer, too.
        assert!((10_000..=20_000).contains(&socket.send_buffer_size().unwrap()));
    }
}
