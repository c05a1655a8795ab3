//! What there is: every message with its direction and reply, every route, every error and close code.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use super::{
    bundle::target,
    fault::{Fault, Faults},
};

/// One schema file.
#[derive(Clone, Debug)]
pub struct File {
    /// Relative to `schema/`, with `/`.
    pub path: String,
    pub json: Value,
}

impl File {
    pub fn title(&self) -> &str {
        text(&self.json, "title")
    }

    /// The file's name without folder and `.json`.
    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.strip_suffix(".json").unwrap_or(name)
    }

    pub fn is_in(&self, folder: &str) -> bool {
        self.path.split_once('/').is_some_and(|(first, _)| first == folder)
    }

    /// Whether the root is itself a definition: a message's payload, or a file that a person writes.
    pub fn is_definition(&self) -> bool {
        self.json.get("type").is_some() || self.json.get("oneOf").is_some()
    }
}

/// Reads every schema below `folder`, by path. Counter-examples are no schemas.
pub fn read_files(folder: &Path) -> Result<Vec<File>, Faults> {
    let mut files = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        let fault = |error: std::io::Error| Fault::new(below.as_str(), "", format!("cannot be read: {error}"), "");
        for entry in fs::read_dir(folder.join(&below)).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type().map_err(fault)?.is_dir() {
                open.push(path);
            } else if path.ends_with(".json") && !path.ends_with(".invalid.json") {
                let text = fs::read_to_string(entry.path()).map_err(fault)?;
                let json = serde_json::from_str(&text)
                    .map_err(|error| Fault::new(path.as_str(), "", format!("is not JSON: {error}"), ""))?;
                files.push(File { path, json });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub struct Message {
    pub wire: String,
    pub title: String,
    pub description: String,
    pub reply: Option<Reply>,
    pub errors: Vec<String>,
    pub idempotent: bool,
    pub payload_optional: bool,
    pub durable: bool,
}

/// The one answer of a client message: a server message, or one variant of it.
pub struct Reply {
    pub wire: String,
    pub variant: Option<String>,
}

pub struct Route {
    pub id: String,
    pub title: String,
    pub description: String,
    pub method: String,
    pub path: String,
    pub auth: String,
    pub path_parameters: Vec<Parameter>,
    pub query: Vec<Parameter>,
    pub headers: Vec<Parameter>,
    /// By media type.
    pub request: Vec<(String, Content)>,
    pub responses: Vec<Response>,
    pub errors: Vec<String>,
}

/// A parameter of a route, or a header of a response.
pub struct Parameter {
    pub name: String,
    pub description: String,
    /// A definition's name; none means a plain boolean.
    pub definition: Option<String>,
    pub required: bool,
    pub default: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Json(String),
    Text,
    Stream,
    Ndjson,
}

pub struct Response {
    pub status: u16,
    pub description: String,
    pub content: Vec<(String, Content)>,
    pub headers: Vec<Parameter>,
}

pub struct Code {
    pub name: String,
    pub status: u64,
    pub retryable: String,
    pub provokable: bool,
    pub description: String,
    /// What to do about it.
    pub advice: String,
}

impl Code {
    /// `WORLD_NOT_FOUND` → `World not found`.
    pub fn title(&self) -> String {
        let mut words = self.name.replace('_', " ").to_lowercase();
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        words
    }

    /// Where the server explains it: a path on itself.
    pub fn docs(&self) -> String {
        format!("/docs#errors/{}", self.name)
    }
}

pub struct CloseCode {
    pub code: u16,
    pub name: String,
    pub reconnect: bool,
    pub description: String,
}

pub struct Catalogue {
    pub client: Vec<Message>,
    pub server: Vec<Message>,
    pub routes: Vec<Route>,
    pub codes: Vec<Code>,
    pub close_codes: Vec<CloseCode>,
    pub client_envelope: Value,
    pub server_envelope: Value,
    /// The titles of the files that a person writes.
    pub documents: Vec<String>,
}

impl Catalogue {
    /// `files` have passed the profile.
    pub fn new(files: &[File]) -> Result<Self, Faults> {
        let messages = |folder| files.iter().filter(|file| file.is_in(folder)).map(message).collect::<Vec<_>>();
        let routes =
            files.iter().filter(|file| file.is_in("http")).map(|file| route(files, file)).collect::<Result<_, _>>()?;
        let envelope = find(files, "envelope.json")?;
        let documents = files.iter().filter(|file| file.is_definition() && !file.path.contains('/'));
        Ok(Self {
            documents: documents.map(|file| file.title().to_owned()).collect(),
            client: messages("client"),
            server: messages("server"),
            routes,
            codes: codes(find(files, "common/error-code.json")?),
            close_codes: close_codes(find(files, "common/close-code.json")?),
            client_envelope: super::bundle::rewrite(files, envelope, &envelope.json["$defs"]["ClientEnvelope"])?,
            server_envelope: super::bundle::rewrite(files, envelope, &envelope.json["$defs"]["ServerEnvelope"])?,
        })
    }
}

fn find<'f>(files: &'f [File], path: &str) -> Result<&'f File, Fault> {
    files.iter().find(|file| file.path == path).ok_or_else(|| Fault::new(path, "", "is missing", "the file"))
}

fn message(file: &File) -> Message {
    let reply = file.json.get("x-reply").and_then(Value::as_str).map(|reply| match reply.split_once('/') {
        Some((wire, variant)) => Reply { wire: wire.to_owned(), variant: Some(variant.to_owned()) },
        None => Reply { wire: reply.to_owned(), variant: None },
    });
    Message {
        wire: file.stem().to_owned(),
        title: file.title().to_owned(),
        description: text(&file.json, "description").to_owned(),
        reply,
        errors: strings(file.json.get("x-errors")),
        idempotent: file.json.get("x-idempotent") == Some(&Value::Bool(true)),
        payload_optional: text(&file.json, "x-payload") == "optional",
        durable: file.json.get("x-durable") == Some(&Value::Bool(true)),
    }
}

fn route(files: &[File], file: &File) -> Result<Route, Fault> {
    let route = &file.json["x-route"];
    let mut responses = Vec::new();
    for (status, response) in entries(route.get("responses")) {
        responses.push(Response {
            status: status.parse().map_err(|_| {
                Fault::new(
                    file.path.as_str(),
                    format!("/x-route/responses/{status}"),
                    "is no HTTP status",
                    "three digits",
                )
            })?,
            description: text(response, "description").to_owned(),
            content: contents(files, file, response.get("content"))?,
            headers: parameters(files, file, response.get("headers"))?,
        });
    }
    responses.sort_by_key(|response| response.status);
    Ok(Route {
        id: file.stem().to_owned(),
        title: file.title().to_owned(),
        description: text(&file.json, "description").to_owned(),
        method: text(route, "method").to_owned(),
        path: text(route, "path").to_owned(),
        auth: text(route, "auth").to_owned(),
        path_parameters: parameters(files, file, route.get("pathParameters"))?,
        query: parameters(files, file, route.get("query"))?,
        headers: parameters(files, file, route.get("headers"))?,
        request: contents(files, file, route.get("request"))?,
        responses,
        errors: strings(file.json.get("x-errors")),
    })
}

fn parameters(files: &[File], file: &File, value: Option<&Value>) -> Result<Vec<Parameter>, Fault> {
    entries(value)
        .map(|(name, schema)| {
            Ok(Parameter {
                name: name.clone(),
                description: text(schema, "description").to_owned(),
                definition: schema.get("$ref").and_then(Value::as_str).map(|to| target(files, file, to)).transpose()?,
                required: schema.get("required") == Some(&Value::Bool(true)),
                default: schema.get("default").cloned(),
            })
        })
        .collect()
}

fn contents(files: &[File], file: &File, value: Option<&Value>) -> Result<Vec<(String, Content)>, Fault> {
    entries(value)
        .map(|(media, content)| {
            let content = match content.as_str() {
                Some("text") => Content::Text,
                Some("stream") => Content::Stream,
                Some("ndjson") => Content::Ndjson,
                _ => Content::Json(target(files, file, text(content, "$ref"))?),
            };
            Ok((media.clone(), content))
        })
        .collect()
}

fn codes(file: &File) -> Vec<Code> {
    entries(file.json.get("x-codes"))
        .map(|(name, code)| Code {
            name: name.clone(),
            status: code["status"].as_u64().unwrap_or_default(),
            retryable: text(code, "retryable").to_owned(),
            provokable: code["provokable"] == Value::Bool(true),
            description: text(code, "description").to_owned(),
            advice: text(code, "advice").to_owned(),
        })
        .collect()
}

fn close_codes(file: &File) -> Vec<CloseCode> {
    entries(file.json.get("x-close-codes"))
        .map(|(code, entry)| CloseCode {
            code: code.parse().unwrap_or_default(),
            name: text(entry, "name").to_owned(),
            reconnect: entry["reconnect"] == Value::Bool(true),
            description: text(entry, "description").to_owned(),
        })
        .collect()
}

pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}
