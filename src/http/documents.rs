//! What is there to be read: the pages of the web app, the documents as the build made them, the schemas.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Payload,
    embedded::{self, ASSETS, Embedded, Serving},
    routes::Operation,
};
use crate::{
    error::Failure,
    protocol::{AssetName, ErrorCode, SchemaPath, schemas::SCHEMAS},
};

/// Scripts of this server only: what agents write can bring none of its own. The composer's editor writes its rules
/// into a style element.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether the operation gives a document: pages of every origin may read those.
pub fn is_document(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetOpenapi
            | Operation::GetOpenapi30
            | Operation::GetAsyncapi
            | Operation::GetAsyncapiClient
            | Operation::GetCatalogue
            | Operation::GetSchema
    )
}

pub fn console() -> Payload {
    Payload::Embedded(&embedded::CONSOLE, Serving::Page(CONSOLE_POLICY))
}

pub fn docs() -> Payload {
    Payload::Embedded(&embedded::DOCS, Serving::Page(DOCS_POLICY))
}

pub fn document(document: &'static Embedded) -> Payload {
    Payload::Embedded(document, Serving::Document)
}

pub fn asset(name: &AssetName) -> Result<Payload, Failure> {
    match ASSETS.binary_search_by_key(&name.as_str(), |(name, _)| name) {
        Ok(at) => Ok(Payload::Embedded(&ASSETS[at].1, Serving::Asset)),
        Err(_) => {
            let text = "the web app has no file of this name; a page of an older version may ask for it: reload it";
            Err(Failure::new(ErrorCode::NotFound, text))
        }
    }
}

/// The schema at `path` below `/schema/`.
pub fn schema(path: &SchemaPath) -> Result<Payload, Failure> {
    let found = SCHEMAS.iter().find(|(known, _)| *known == path.as_str());
    let found = found.map(|(_, text)| Payload::Schema(text));
    found.ok_or_else(|| Failure::new(ErrorCode::NotFound, "there is no schema at this path"))
}

/// A schema, or that it has not changed.
pub fn respond(schema: &'static str, request: &HeaderMap) -> Response {
    let digest = Sha256::digest(schema.as_bytes());
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
    let unchanged = embedded::knows(request, &tag);
    let mut response = Response::new(if unchanged { Body::empty() } else { Body::from(schema) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
