//! The inputs of one request, read one by one; what is wrong with any of them is collected, so that a client learns
//! of everything at once.

use std::str::FromStr;

use axum::http::HeaderMap;

use super::Found;
use crate::{
    error::Failure,
    protocol::{Body, Invalid, Rejection, decode_body},
};

/// `None` from a method here always means that a violation was noted.
pub(super) struct Inputs<'r> {
    found: &'r Found,
    query: Vec<(String, String)>,
    headers: &'r HeaderMap,
    rejection: Rejection,
}

impl<'r> Inputs<'r> {
    pub(super) fn new(found: &'r Found, query: Option<&str>, headers: &'r HeaderMap) -> Self {
        let mut rejection = Rejection::default();
        let known = found.operation.info().query;
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let message = match known {
                    [] => "is not empty, but no parameters are known here".to_owned(),
                    known => format!("holds a parameter that does not exist here; known are {}", known.join(", ")),
                };
                rejection.add("/query".to_owned(), "additionalProperties", None, message);
            } else if given.iter().any(|(other, _)| *other == name) {
                rejection.add(format!("/query/{name}"), "duplicateKey", None, "is given twice".to_owned());
            } else {
                given.push((name.into_owned(), value.into_owned()));
            }
        }
        for (place, name) in found.operation.info().required {
            let is_given = match *place {
                "query" => given.iter().any(|(other, _)| other == name),
                _ => headers.contains_key(*name),
            };
            if !is_given {
                let message = format!("lacks the parameter \"{name}\"");
                rejection.add(format!("/{place}"), "required", Some((*name).to_owned()), message);
            }
        }
        Self { found, query: given, headers, rejection }
    }

    /// A parameter of the path is always there.
    pub(super) fn path<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<T> {
        let (_, text) = self.found.path.iter().find(|(other, _)| *other == name)?;
        self.read("path", name, text)
    }

    /// A parameter of the query, if it was given.
    pub(super) fn query<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<Option<T>> {
        let Some((_, text)) = self.query.iter().find(|(other, _)| other == name) else { return Some(None) };
        let text = text.clone();
        self.read("query", name, &text).map(Some)
    }

    pub(super) fn query_or<T: FromStr<Err = Invalid>>(&mut self, name: &str, default: impl Fn() -> T) -> Option<T> {
        self.query(name).map(|given| given.unwrap_or_else(default))
    }

    /// A header, if it was given.
    pub(super) fn header<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<Option<T>> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Some(None) };
        if values.next().is_some() {
            self.rejection.add(format!("/header/{name}"), "duplicateKey", None, "is given twice".to_owned());
            return None;
        }
        // Bytes beyond ASCII become characters that fit no header's pattern.
        let text = String::from_utf8_lossy(value.as_bytes());
        self.read("header", name, &text).map(Some)
    }

    pub(super) fn body<T: Body>(&mut self, body: &[u8]) -> Option<T> {
        match decode_body(body) {
            Ok(body) => Some(body),
            Err(rejection) => {
                self.rejection.absorb(rejection);
                None
            }
        }
    }

    /// Refuses the request if anything was wrong with it.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if self.rejection.is_empty() { Ok(()) } else { Err(self.refused()) }
    }

    pub(super) fn refused(&mut self) -> Failure {
        std::mem::take(&mut self.rejection).into()
    }

    fn read<T: FromStr<Err = Invalid>>(&mut self, place: &str, name: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.rejection.add_invalid(format!("/{place}/{name}"), invalid);
                None
            }
        }
    }
}
