//! What lets pages of other origins read answers (the Fetch standard's CORS protocol): those that the operator allows
//! with `--allow-origin` everything, and every page the documents. There are no cookies, so nothing is sent along that
//! the page does not already know, and the wildcards hold for every header but `Authorization`.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Who may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Pages of this server only; they need no header.
    Own,
    Origin(HeaderValue),
    Everyone,
}

/// Seconds for which a browser remembers the answer to its question.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Whether a browser asks, ahead of a request, whether a page may send it.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to such a question. Whether the path has the method is told by the request itself.
pub fn preflight() -> Response {
    let allowed = HeaderValue::from_static("authorization, *");
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ANY),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

impl Readers {
    /// Says in `response` who may read it.
    pub fn name_in(self, response: &mut Response) {
        let headers = response.headers_mut();
        let origin = match self {
            Self::Own => return,
            Self::Origin(origin) => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                origin
            }
            Self::Everyone => ANY,
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
    }
}
