//! Takes connections and speaks HTTP/1.1 on them until the server closes.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::{
    peer::{Peer, Watched},
    shutdown::{Phase, Shutdown},
};

pub struct Listening {
    pub listener: TcpListener,
    pub router: Router,
    pub shutdown: Shutdown,
    /// Time that a client has for the head of a request.
    pub handshake: Duration,
    /// The kernel's send buffer: small, so that what a slow client does not take waits where it is counted.
    pub send_buffer: usize,
}

impl Listening {
    /// Returns when the server closes and the connections are gone.
    pub async fn run(mut self) {
        // Set here once, every connection inherits them.
        let socket = SockRef::from(&self.listener);
        if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_send_buffer_size(self.send_buffer)) {
            tracing::warn!(%error, "failed to set socket options");
        }
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
