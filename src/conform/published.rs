//! The published schemas, at run time: what every frame and body in either direction is held to. They are read from
//! the documents that the build makes, and share nothing with the server's own types.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use jsonschema::{Registry, Validator};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::protocol::schemas::BUNDLE;

const CATALOGUE: &str = include_str!(concat!(env!("OUT_DIR"), "/catalogue.json"));
const BASE: &str = "https://agent-world.example/bundle.json";
/// What any route may answer besides what it lists: there is no such route or method, the guard refused, or a
/// parameter is not known.
const ANYWHERE: [&str; 5] = ["NOT_FOUND", "METHOD_NOT_ALLOWED", "PERMISSION_DENIED", "INVALID_MESSAGE", "RATE_LIMITED"];
/// How many violations are told.
const MAX_TOLD: usize = 5;

pub struct Published {
    definitions: Value,
    pub catalogue: Value,
    registry: Registry<'static>,
    compiled: Mutex<HashMap<String, Option<Arc<Validator>>>>,
    /// The definition of a client frame by its `type`.
    client: BTreeMap<String, String>,
    /// The definition of a server frame by its `type`, or `type/variant`.
    server: BTreeMap<String, String>,
}

/// What the answer to a request over HTTP turned out to be.
pub struct Answered {
    /// The body, where it is JSON.
    pub json: Option<Value>,
    pub faults: Vec<String>,
}

pub fn published() -> &'static Published {
    static PUBLISHED: OnceLock<Published> = OnceLock::new();
    PUBLISHED.get_or_init(Published::read)
}

impl Published {
    fn read() -> Self {
        let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap_or_default();
        bundle["$id"] = json!(BASE);
        let catalogue: Value = serde_json::from_str(CATALOGUE).unwrap_or_default();
        let registry = Registry::new().add(BASE, bundle.clone()).and_then(jsonschema::RegistryBuilder::prepare);
        let registry = registry.unwrap_or_else(|error| unreachable!("a test compiles every published schema: {error}"));
        let definitions = bundle["$defs"].take();
        let (mut client, mut server) = (BTreeMap::new(), BTreeMap::new());
        for (union, frames) in [("ClientMessage", &mut client), ("ServerMessage", &mut server)] {
            for frame in definitions[union]["oneOf"].as_array().into_iter().flatten() {
                let Some(name) = frame["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) else {
                    continue;
                };
                let properties = &definitions[name]["properties"];
                let kind = properties["type"]["const"].as_str().unwrap_or_default();
                let payload = properties["payload"]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
                let variant = payload.and_then(|payload| definitions[payload]["properties"]["type"]["const"].as_str());
                let key = variant.map_or(kind.to_owned(), |variant| format!("{kind}/{variant}"));
                frames.insert(key, name.to_owned());
            }
        }
        Self { definitions, catalogue, registry, compiled: Mutex::default(), client, server }
    }

    /// The names of all definitions.
    pub fn definitions(&self) -> impl Iterator<Item = &str> {
        self.definitions.as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The wire types of client messages.
    pub fn client_types(&self) -> impl Iterator<Item = &str> {
        self.client.keys().map(String::as_str)
    }

    /// The frames of the server: `type`, or `type/variant`.
    pub fn server_types(&self) -> impl Iterator<Item = &str> {
        self.server.keys().map(String::as_str)
    }

    /// What contradicts the definition `name` in `value`.
    pub fn faults(&self, name: &str, value: &Value) -> Vec<String> {
        let mut compiled = self.compiled.lock();
        let validator = compiled.entry(name.to_owned()).or_insert_with(|| {
            let options = jsonschema::options().with_registry(&self.registry).should_validate_formats(true).offline();
            options.build(&json!({"$ref": format!("{BASE}#/$defs/{name}")})).ok().map(Arc::new)
        });
        let validator = validator.clone();
        drop(compiled);
        let Some(validator) = validator else { return vec![format!("there is no definition {name}")] };
        if validator.is_valid(value) {
            return Vec::new();
        }
        let told = validator.iter_errors(value).take(MAX_TOLD);
        told.map(|error| format!("{}: {} ({name})", error.instance_path(), error.masked())).collect()
    }

    /// What contradicts the schemas in a frame of the server.
    pub fn server_frame(&self, frame: &Value) -> Vec<String> {
        let kind = frame["type"].as_str().unwrap_or_default();
        let variant = frame["payload"]["type"].as_str().unwrap_or_default();
        let known = self.server.get(kind).or_else(|| self.server.get(&format!("{kind}/{variant}")));
        match known {
            Some(definition) => self.faults(definition, frame),
            None => vec![format!("/type: {kind:?} is no message of the server (nor with the variant {variant:?})")],
        }
    }

    /// What contradicts the schemas in a frame of a client.
    pub fn client_frame(&self, frame: &Value) -> Vec<String> {
        match frame["type"].as_str().and_then(|kind| self.client.get(kind)) {
            Some(definition) => self.faults(definition, frame),
            None => vec!["/type: is no message of a client".to_owned()],
        }
    }

    fn message(&self, kind: &str) -> &Value {
        let messages = self.catalogue["messages"].as_array();
        let found = messages.into_iter().flatten().find(|one| one["type"] == kind && one["direction"] == "client");
        found.unwrap_or(&Value::Null)
    }

    /// The frame that answers a client message, as `type` or `type/variant`.
    pub fn reply_to(&self, kind: &str) -> &str {
        self.message(kind)["reply"].as_str().unwrap_or_default()
    }

    /// Whether a client message lists this error.
    pub fn lists(&self, kind: &str, code: &str) -> bool {
        self.message(kind)["errors"].as_array().is_some_and(|codes| codes.iter().any(|one| one == code))
    }

    /// The route of a request, if the schemas have it.
    pub fn route(&self, method: &str, path: &str) -> Option<&Value> {
        let wanted: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            let tail = template.last() == Some(&"{path}");
            (template.len() == wanted.len() || tail && wanted.len() > template.len())
                && template.iter().zip(&wanted).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let method = if method == "HEAD" { "GET" } else { method };
        let routes = self.catalogue["routes"].as_array().into_iter().flatten();
        let fitting = routes.filter(|route| route["method"] == method && route["path"].as_str().is_some_and(fits));
        // `/worlds/import` before `/worlds/{worldName}`.
        fitting.min_by_key(|route| route["path"].as_str().unwrap_or_default().matches('{').count())
    }

    /// What contradicts the schemas in the body of a request.
    pub fn request(&self, method: &str, path: &str, media: &str, body: &Value) -> Vec<String> {
        let Some(route) = self.route(method, path) else { return vec![format!("there is no route {method} {path}")] };
        match route["request"][media].as_str() {
            Some("ndjson") => Vec::new(),
            Some(definition) => self.faults(definition, body),
            None => vec![format!("{method} {path} takes no {media}")],
        }
    }

    /// The problem of an answer with an error status.
    fn problem(&self, route: Option<&Value>, path: &str, status: u16, media: Option<&str>, body: &[u8]) -> Answered {
        let mut faults = Vec::new();
        if media != Some("application/problem+json") {
            faults.push(format!("an error of the media type {media:?} instead of application/problem+json"));
        }
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let Some(problem) = &json else {
            faults.push("an error whose body is no JSON".to_owned());
            return Answered { json, faults };
        };
        faults.extend(self.faults("Problem", problem));
        if problem["status"] != status {
            faults.push(format!("/status: is {}, and the answer's is {status}", problem["status"]));
        }
        let code = problem["code"].as_str().unwrap_or_default();
        let codes = self.catalogue["errorCodes"].as_array();
        let known = codes.into_iter().flatten().find(|one| one["code"] == code);
        if known.is_none_or(|known| known["status"] != status) {
            faults.push(format!("/code: {code} does not go with the status {status}"));
        }
        if let Some(known) = known
            && (known["retryable"] == "yes" && problem["retryable"] == false
                || known["retryable"] == "no" && problem["retryable"] == true)
        {
            faults.push(format!("/retryable: {code} says {}", known["retryable"]));
        }
        let listed =
            route.and_then(|route| route["errors"].as_array()).is_some_and(|all| all.iter().any(|one| one == code));
        if !listed && !ANYWHERE.contains(&code) && !path.starts_with("/ws") {
            faults.push(format!("/code: the route does not list {code}"));
        }
        Answered { json, faults }
    }

    /// Holds an answer to what its route promises.
    pub fn answer(&self, method: &str, path: &str, status: u16, media: Option<&str>, body: &[u8]) -> Answered {
        let fault = |text: String| Answered { json: None, faults: vec![text] };
        let route = self.route(method, path);
        if method == "HEAD" {
            let faults = if body.is_empty() { Vec::new() } else { vec!["an answer to HEAD has a body".to_owned()] };
            return Answered { json: None, faults };
        }
        if status >= 400 {
            return self.problem(route, path, status, media, body);
        }
        if status == 304 && body.is_empty() {
            return Answered { json: None, faults: Vec::new() };
        }
        let Some(route) = route else { return fault("the schemas have no such route".to_owned()) };
        let Some(promised) = route["responses"].get(status.to_string()) else {
            return fault(format!("{} promises no status {status}", route["operationId"]));
        };
        let Some(media) = media else {
            let empty = promised.as_object().is_some_and(serde_json::Map::is_empty) && body.is_empty();
            return if empty { Answered { json: None, faults: Vec::new() } } else { fault("no media type".to_owned()) };
        };
        match promised.get(media).or_else(|| promised.get("*/*")).and_then(Value::as_str) {
            None => fault(format!("the media type {media} is not promised for {status}")),
            Some("text" | "ndjson" | "stream") => {
                Answered { json: serde_json::from_slice(body).ok(), faults: Vec::new() }
            }
            Some(definition) => match serde_json::from_slice::<Value>(body) {
                Ok(json) => {
                    let faults = self.faults(definition, &json);
                    Answered { json: Some(json), faults }
                }
                Err(error) => fault(format!("the body is no JSON: {error}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_compiles_and_every_message_is_found() {
        let published = published();
        let mut compiled = 0;
        for name in published.definitions() {
            assert!(
                !published.faults(name, &json!({"$nonsense": 1})).iter().any(|fault| fault.contains("no definition"))
            );
            compiled += 1;
        }
        assert!(compiled >= 150, "{compiled}");
        assert_eq!(published.client_types().count(), 9);
        assert!(published.server_types().count() >= 14);
        for kind in published.client_types() {
            let reply = published.reply_to(kind);
            assert!(published.server.contains_key(reply), "{kind} is answered by {reply:?}");
        }
    }

    #[test]
    fn frames_and_bodies_are_held_to_the_schemas() {
        let published = published();
        let pong = json!({"id": "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", "type": "pong", "timestamp": "2026-01-15T10:00:00.000Z", "replyTo": "1", "payload": {}});
        assert_eq!(published.server_frame(&pong), Vec::<String>::new());
        let mut more = pong.clone();
        more["extra"] = json!(1);
        assert_eq!(published.server_frame(&more), Vec::<String>::new(), "what the server sends is open");
        let mut less = pong;
        less["timestamp"] = Value::Null;
        assert_eq!(published.server_frame(&less).len(), 1);
        assert_eq!(published.server_frame(&json!({"type": "nonsense"})).len(), 1);
        assert!(published.client_frame(&json!({"id": "1", "type": "ping"})).is_empty());
        assert!(!published.client_frame(&json!({"id": "1", "type": "ping", "extra": 1})).is_empty());
        let answer =
            |status, media, body: &str| published.answer("GET", "/worlds", status, media, body.as_bytes()).faults.len();
        assert_eq!(answer(200, Some("application/json"), "[]"), 0);
        assert_eq!(answer(200, Some("text/html"), "[]"), 1);
        assert_eq!(answer(200, Some("application/json"), "{}"), 1);
        assert_eq!(answer(201, Some("application/json"), "[]"), 1);
        assert!(answer(404, Some("application/json"), "{}") > 1);
    }
}
