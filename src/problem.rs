//! Errors over HTTP: problem documents (RFC 9457) with the same codes as WebSocket errors.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::Failure,
    protocol::{ErrorInfo, HttpStatus, Problem, codec},
};

/// The answer to a request that failed.
pub struct ProblemResponse {
    problem: Problem,
    /// For 405: the methods that the path has.
    allow: Option<String>,
}

pub fn problem(failure: Failure) -> ProblemResponse {
    from_info(failure.into())
}

pub fn from_info(info: ErrorInfo) -> ProblemResponse {
    let ErrorInfo { code, message, retryable, retry_after_ms, details } = info;
    let details = details.unwrap_or_default();
    let problem = Problem {
        r#type: code.docs().to_owned(),
        title: code.title().to_owned(),
        status: HttpStatus::saturating(u64::from(code.status())),
        detail: message,
        code,
        retryable,
        retry_after_ms,
        errors: details.errors,
        truncated: details.truncated,
        reason: details.reason,
        cursor: details.cursor,
        known: details.known,
        docs: details.docs,
    };
    ProblemResponse { problem, allow: None }
}

impl ProblemResponse {
    pub fn allow(mut self, allow: String) -> Self {
        self.allow = Some(allow);
        self
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let status = u16::try_from(self.problem.status.get()).unwrap_or(500);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, codec::json(&self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = &self.problem.retry_after_ms {
            let seconds = after.get().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}
