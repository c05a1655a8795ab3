//! The schemas as an oracle of their own: read from `schema/`, compiled by `jsonschema`, and sharing nothing with
//! the generated types but the files.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use agent_world::protocol::codec;
use jsonschema::{Registry, Validator};
use serde_json::{Map, Value, json};

const BASE: &str = "https://agent-world.example/schema/";
/// What any route may answer besides what it lists: there is no such route, method or query parameter, or the guard
/// refused.
const ANYWHERE: [&str; 5] = ["NOT_FOUND", "METHOD_NOT_ALLOWED", "PERMISSION_DENIED", "INVALID_MESSAGE", "RATE_LIMITED"];

pub struct Schemas {
    files: BTreeMap<String, Value>,
    registry: Registry<'static>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One route of `schema/http/`.
pub struct Route<'s> {
    pub id: &'s str,
    pub info: &'s Value,
    pub errors: &'s Value,
}

pub fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(Schemas::read)
}

impl Schemas {
    fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema");
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        let mut registry = Registry::new();
        for (path, json) in &files {
            registry = registry.add(format!("{BASE}{path}"), json.clone()).expect("a schema is a resource");
        }
        let registry = registry.prepare().expect("the references of the schemas lead somewhere");
        Self { files, registry, compiled: Mutex::default() }
    }

    /// The schema files by path, `client/ping.json` and so on.
    pub fn files(&self) -> &BTreeMap<String, Value> {
        &self.files
    }

    /// The wire types of the client messages.
    pub fn client_types(&self) -> Vec<&str> {
        self.files.keys().filter_map(|path| path.strip_prefix("client/")?.strip_suffix(".json")).collect()
    }

    fn validator(&self, name: String, schema: impl FnOnce() -> Value) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().expect("no test panicked in here");
        let known = compiled.entry(name).or_insert_with(|| {
            let options = jsonschema::options().with_registry(&self.registry).should_validate_formats(true).offline();
            Arc::new(options.build(&schema()).expect("a schema compiles"))
        });
        known.clone()
    }

    /// Panics unless `value` is what the schema at `reference` (`common/problem.json#/$defs/Problem`) asks for.
    pub fn hold(&self, reference: &str, value: &Value, what: &str) {
        let validator = self.validator(reference.to_owned(), || json!({"$ref": format!("{BASE}{reference}")}));
        demand(&validator, value, what);
    }

    /// Checks a frame of the server: the typed decoder and the schema agree that it is one.
    pub fn server_frame(&self, text: &str) -> Value {
        let frame: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"));
        if let Err(refused) = codec::decode_server(text) {
            panic!("the typed decoder refuses a frame of the server: {:?}\n{text}", refused.violations());
        }
        let kind = frame["type"].as_str().expect("a type").to_owned();
        let path = format!("server/{kind}.json");
        let file = self.files.get(&path).unwrap_or_else(|| panic!("no such type of message: {text}"));
        let durable = file["x-durable"] == json!(true);
        let validator = self.validator(path.clone(), || self.frame("ServerEnvelope", &kind, &path, durable));
        demand(&validator, &frame, text);
        shape(&frame, text);
        frame
    }

    /// Whether `frame` is one that a client may send.
    pub fn is_client_frame(&self, frame: &Value) -> Result<(), String> {
        let kind = frame["type"].as_str().ok_or("no type")?.to_owned();
        let path = format!("client/{kind}.json");
        let file = self.files.get(&path).ok_or("no such type of message")?;
        let (idempotent, optional) = (file["x-idempotent"] == json!(true), file["x-payload"] == json!("optional"));
        let validator = self.validator(path.clone(), || {
            let mut frame = self.frame("ClientEnvelope", &kind, &path, true);
            if !idempotent {
                object(&mut frame["properties"]).remove("idempotencyKey");
            }
            if optional {
                frame["required"].as_array_mut().expect("a list").retain(|field| field != "payload");
            }
            frame
        });
        validator.validate(frame).map_err(|error| format!("{} at {}", error, error.instance_path()))
    }

    fn frame(&self, envelope: &str, kind: &str, path: &str, durable: bool) -> Value {
        let mut frame = self.files["envelope.json"]["$defs"][envelope].clone();
        for property in object(&mut frame["properties"]).values_mut() {
            if let Some(reference) = property["$ref"].as_str() {
                *property = json!({"$ref": format!("{BASE}{reference}")});
            }
        }
        frame["properties"]["type"] = json!({"const": kind});
        frame["properties"]["payload"] = json!({"$ref": format!("{BASE}{path}")});
        if !durable {
            object(&mut frame["properties"]).remove("seq");
        }
        frame
    }

    /// Panics unless the error that answers the message `kind` is one that it lists.
    pub fn error_is_listed(&self, kind: &str, code: &str) {
        let listed = &self.files[&format!("client/{kind}.json")]["x-errors"];
        assert!(listed.as_array().is_some_and(|codes| codes.iter().any(|one| one == code)), "{kind} lists no {code}");
    }

    /// The route that a request goes to, if there is one.
    pub fn route(&self, method: &str, path: &str) -> Option<Route<'_>> {
        let wanted: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            let tail = template.last() == Some(&"{path}");
            (template.len() == wanted.len() || tail && wanted.len() > template.len())
                && template.iter().zip(&wanted).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let method = if method == "HEAD" { "GET" } else { method };
        let routes = self.files.iter().filter(|(file, _)| file.starts_with("http/"));
        let fitting = routes.filter(|(_, json)| {
            let info = &json["x-route"];
            info["method"] == method && info["path"].as_str().is_some_and(fits)
        });
        // `/worlds/import` before `/worlds/{worldName}`.
        let (file, json) =
            fitting.min_by_key(|(_, json)| json["x-route"]["path"].as_str().unwrap().matches('{').count())?;
        let id = file.strip_prefix("http/")?.strip_suffix(".json")?;
        Some(Route { id, info: &json["x-route"], errors: &json["x-errors"] })
    }

    /// Checks an answer over HTTP against what its route promises.
    pub fn http_answer(
        &self,
        method: &str,
        path: &str,
        status: u16,
        media: Option<&str>,
        body: &[u8],
    ) -> Option<Value> {
        let route = self.route(method, path);
        let what = format!("{method} {path} → {status} {}", String::from_utf8_lossy(body));
        if method == "HEAD" {
            assert!(body.is_empty(), "{what}: an answer to HEAD has a body");
            return None;
        }
        if status >= 400 {
            assert_eq!(media, Some("application/problem+json"), "{what}: not a problem document");
            let problem: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{what}: no JSON"));
            self.hold("common/problem.json#/$defs/Problem", &problem, &what);
            assert_eq!(problem["status"], status, "{what}: two statuses");
            let code = problem["code"].as_str().expect("a code");
            let table = &self.files["common/error-code.json"]["x-codes"][code];
            assert_eq!(table["status"], status, "{what}: the code has another status");
            let listed =
                |route: &Route<'_>| route.errors.as_array().is_some_and(|codes| codes.iter().any(|one| one == code));
            let ws = path.starts_with("/ws");
            assert!(ws || ANYWHERE.contains(&code) || route.as_ref().is_some_and(listed), "{what}: not listed");
            return Some(problem);
        }
        if status == 304 {
            assert!(body.is_empty() && media.is_none(), "{what}: a body that the client has");
            return None;
        }
        let route = route.unwrap_or_else(|| panic!("{what}: the schema has no such route"));
        let response = &route.info["responses"][status.to_string()];
        assert!(response.is_object(), "{what}: {} promises no such status", route.id);
        let Some(content) = response["content"].as_object() else {
            assert!(body.is_empty() && media.is_none(), "{what}: a body where none is promised");
            return None;
        };
        let media = media.unwrap_or_else(|| panic!("{what}: no media type"));
        let shape = content
            .get(media)
            .or_else(|| content.get("*/*"))
            .unwrap_or_else(|| panic!("{what}: {media} is not promised"));
        let Some(reference) = shape["$ref"].as_str() else { return serde_json::from_slice(body).ok() };
        let value: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{what}: no JSON"));
        let reference = match reference.strip_prefix("../") {
            Some(rest) => rest.to_owned(),
            None => format!("http/{}.json{reference}", route.id),
        };
        self.hold(&reference, &value, &what);
        Some(value)
    }
}

/// What no schema says about a frame of the server (docs/PROTOCOL.md §2 and §3).
fn shape(frame: &Value, text: &str) {
    let payload = &frame["payload"];
    let (seq, reply_to) = (frame.get("seq").is_some(), frame.get("replyTo").is_some());
    match frame["type"].as_str().unwrap_or_default() {
        "event_stream" => {
            assert!(seq && !reply_to, "{text}");
            assert_eq!(payload["eventType"], payload["event"]["type"], "{text}");
            assert_eq!(payload["event"]["id"], frame["id"], "{text}");
        }
        "chat_response" => {
            let (complete, empty) = (payload["complete"] == true, payload["content"] == "");
            let has = |field| payload.get(field).is_some();
            assert_eq!(seq, complete || empty, "seq exactly on start and end: {text}");
            assert_eq!(has("finishReason"), complete, "{text}");
            assert_eq!(has("error"), payload["finishReason"] == "error", "{text}");
            assert!(!reply_to && (!complete || payload["offset"] == 0), "{text}");
        }
        "status" => {
            let pushed = ["connected", "caught_up", "draining"].iter().any(|kind| payload["type"] == *kind);
            assert!(!(pushed && reply_to), "{text}");
        }
        _ => {}
    }
    let time = frame["timestamp"].as_str().unwrap_or_default();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "milliseconds, UTC: {text}");
    assert_eq!(frame["id"].as_str().unwrap_or_default().as_bytes()[14], b'7', "a UUID of version 7: {text}");
}

fn demand(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<_> =
        validator.iter_errors(value).map(|e| format!("{} at {:?}", e, e.instance_path().to_string())).collect();
    assert!(errors.is_empty(), "not what the schema asks for: {errors:?}\n{what}");
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

fn collect(root: &Path, below: &Path, files: &mut BTreeMap<String, Value>) {
    for entry in fs::read_dir(below).expect("schema/ can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).expect("below schema/").to_string_lossy().replace('\\', "/");
        if name.ends_with(".json") && !name.ends_with(".invalid.json") {
            let text = fs::read_to_string(&path).expect("a schema can be read");
            files.insert(name, serde_json::from_str(&text).expect("a schema is JSON"));
        }
    }
}
