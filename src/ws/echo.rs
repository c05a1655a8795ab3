//! Sends back what comes, over exactly the transport of `/ws`: its handshake, its socket, its close codes. The Autobahn
//! cases ask for that (tests/autobahn); no server has this route.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    connection::close,
    fault::fault,
    socket::Socket,
    upgrade::{accept_key, socket, switching},
};

/// Time for the closing handshake.
const GOODBYE: Duration = Duration::from_secs(2);

/// A router that echoes at `/`. `max_frame`: bytes of the largest frame that is read.
pub fn echo(max_frame: usize) -> Router {
    Router::new().route("/", routing::get(upgrade)).with_state(max_frame)
}

async fn upgrade(State(max_frame): State<usize>, mut request: Request) -> Response {
    let Some(accept) = accept_key(request.headers()) else { return StatusCode::BAD_REQUEST.into_response() };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await
            && let Some(socket) = socket(upgraded, max_frame, Arc::default())
        {
            serve(socket).await;
        }
    });
    switching(accept, None)
}

async fn serve(mut socket: Socket) {
    loop {
        let added = match socket.next().await {
            Ok(Message::Text(text)) => socket.line().text(text.as_bytes()),
            Ok(Message::Binary(bytes)) => socket.line().binary(&bytes),
            Ok(Message::Close(_)) => {
                let _ = tokio::time::timeout(GOODBYE, socket.flush()).await;
                return;
            }
            // The answer to a ping goes out with the next flush.
            Ok(_) => Ok(()),
            Err(error) => {
                if let Some(code) = fault(&error) {
                    close(&mut socket, code, GOODBYE).await;
                }
                return;
            }
        };
        if added.is_err() || socket.flush().await.is_err() {
            return;
        }
    }
}
