//! The documents, as the build made them.

use crate::{
    error::Failure,
    protocol::{ErrorCode, SchemaPath, schemas::SCHEMAS},
};

pub const OPENAPI: &str = "{}";
pub const OPENAPI_30: &str = "{}";
pub const ASYNCAPI: &str = "{}";
pub const ASYNCAPI_CLIENT: &str = "{}";
pub const CATALOGUE: &str = "{}";

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
