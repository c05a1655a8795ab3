//! HTTP: goes through, answers piece by piece, and is not recorded.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Proxy, end_to_end, unreachable};

/// The largest body of a request that goes through, in bytes. Limits are the server's business.
const MAX_BODY: usize = 64 * 1_024 * 1_024;

pub async fn pass(proxy: &Proxy, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut url = proxy.upstream.clone();
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    let Ok(body) = to_bytes(body, MAX_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let sent = proxy.http.request(parts.method, url).headers(proxy.headers(&parts.headers)).body(body);
    match sent.send().await {
        Ok(answer) => {
            proxy.learn(answer.headers());
            let (mut parts, body) = axum::http::Response::from(answer).into_parts();
            parts.headers = end_to_end(&parts.headers);
            Response::from_parts(parts, Body::new(body))
        }
        Err(error) => unreachable(proxy, &super::super::cause(&error)),
    }
}
