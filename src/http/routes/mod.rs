//! The routes as the schema has them: `Operation`, one call struct and one answer for each, the [`Api`] trait that
//! answers them, and [`call`], which decodes every input before a method runs. Generated from `schema/http/` by
//! `build.rs`; what is written by hand is how a path is found ([`find`]), how inputs are read and how a media type
//! is chosen.

mod accept;
mod find;
mod inputs;
mod reply;

pub use accept::quality;
pub use find::{Auth, Found, Unrouted, find};
pub use generated::*;
pub use reply::{Content, Reply};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/routes.rs"));
}

#[cfg(test)]
mod tests;
