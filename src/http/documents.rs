//! The documents, as the build made them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::routes::Operation;
use crate::{
    error::Failure,
    protocol::{ErrorCode, SchemaPath, schemas::SCHEMAS},
};

pub const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
pub const OPENAPI_30: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi-3.0.json"));
pub const ASYNCAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/asyncapi.json"));
pub const ASYNCAPI_CLIENT: &str = include_str!(concat!(env!("OUT_DIR"), "/asyncapi-client.json"));
pub const CATALOGUE: &str = include_str!(concat!(env!("OUT_DIR"), "/catalogue.json"));

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

/// The entity tag of a document: it changes when the document does.
pub fn etag(document: &str) -> String {
    let digest = Sha256::digest(document.as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]))
}

/// The schema at `path` below `/schema/`.
pub fn schema(path: &SchemaPath) -> Result<&'static str, Failure> {
    let found = SCHEMAS.iter().find(|(known, _)| *known == path.as_str());
    found.map(|(_, text)| *text).ok_or_else(|| Failure::new(ErrorCode::NotFound, "there is no schema at this path"))
}

pub fn console() -> &'static str {
    include_str!("pages/console.html")
}

pub fn docs() -> &'static str {
    include_str!("pages/docs.html")
}
