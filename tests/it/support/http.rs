//! [`Http`]: a client of the routes. Every answer is held to what its route promises in `schema/http/`.

use std::collections::HashMap;

use reqwest::{
    Client, Method, Response,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{Frame, Host, PATIENCE, schemas};

#[derive(Clone)]
pub struct Http {
    client: Client,
    host: Host,
    pub token: Option<String>,
}

/// An answer, checked.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub text: String,
    json: Option<Value>,
}

impl Answer {
    pub fn json(&self) -> &Value {
        self.json.as_ref().unwrap_or_else(|| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The problem that this is; its code must be `code`.
    pub fn problem(&self, code: &str) -> &Value {
        assert!(self.status >= 400, "{}: {}", self.status, self.text);
        assert_eq!(self.json()["code"], code, "{}", self.text);
        self.json()
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Http {
    pub fn new(host: Host, token: Option<String>) -> Self {
        Self { client: Client::builder().no_proxy().no_gzip().build().expect("a client"), host, token }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().expect("a token")
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Response {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("http://{}{path}", self.host.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        timeout(PATIENCE, request.send()).await.expect("the server answers").expect("an answer over HTTP")
    }

    /// A request as it is; the answer is checked all the same.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        let response = self.send(method, path, headers, body).await;
        self.read(method, path, response).await
    }

    /// What a browser asks ahead of a request of another origin. The schema knows no such route.
    pub async fn preflight(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.send("OPTIONS", path, headers, None).await;
        let status = response.status().as_u16();
        if status >= 400 {
            return self.read("OPTIONS", path, response).await;
        }
        let named = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        Answer { status, headers: response.headers().iter().map(named).collect(), text: String::new(), json: None }
    }

    async fn read(&self, method: &str, path: &str, response: Response) -> Answer {
        let status = response.status().as_u16();
        let headers: HashMap<_, _> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let body = timeout(PATIENCE, response.bytes()).await.expect("the answer ends").expect("a body");
        let media = headers.get("content-type").map(|media| media.split(';').next().unwrap_or_default().trim());
        let json = schemas().http_answer(method, path, status, media, &body);
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        self.host.heard(&text);
        self.host.heard(&format!("{headers:?}"));
        Answer { status, headers, text, json }
    }

    /// An answer as its bytes are, which may be encoded.
    pub async fn raw(&self, path: &str, headers: &[(&str, &str)]) -> RawAnswer {
        let response = self.send("GET", path, headers, None).await;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = timeout(PATIENCE, response.bytes()).await.expect("the answer ends").expect("a body");
        RawAnswer { status, headers, body: body.to_vec() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.json("PATCH", path, Some(body)).await
    }

    async fn json(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call(method, path, &[], body.map(|body| body.to_string().into_bytes())).await
    }

    /// Makes the world `name` from the template `stage`.
    pub async fn world(&self, name: &str) -> Value {
        let answer = self.put(&format!("/worlds/{name}"), serde_json::json!({"templateName": "stage"})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json().clone()
    }

    /// A stream of server-sent events, or the answer that refused it.
    pub async fn try_stream(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Sse, Answer> {
        let body = body.map(|body| body.to_string().into_bytes());
        let response = self.send(method, path, headers, body).await;
        let media = response.headers().get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default();
        if !media.starts_with("text/event-stream") {
            return Err(self.read(method, path, response).await);
        }
        Ok(Sse { response, buffer: Vec::new(), host: self.host.clone() })
    }

    pub async fn stream(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Sse {
        match self.try_stream(method, path, headers, body).await {
            Ok(stream) => stream,
            Err(answer) => panic!("no stream: {} {}", answer.status, answer.text),
        }
    }

    /// Says something in a world over HTTP; `query` may be `?until=never` and the like.
    pub async fn chat(&self, world: &str, query: &str, message: &str) -> Sse {
        let body = serde_json::json!({"message": message});
        self.stream("POST", &format!("/worlds/{world}/chat{query}"), &[], Some(body)).await
    }
}

/// One event of a stream, checked.
#[derive(Debug, Clone)]
pub struct SseEvent {
    pub id: Option<String>,
    pub frame: Frame,
}

/// A stream of server-sent events.
pub struct Sse {
    pub response: Response,
    buffer: Vec<u8>,
    host: Host,
}

impl Sse {
    pub fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                if let Some(event) = self.event(&block) {
                    return Some(event);
                }
                continue;
            }
            match timeout(PATIENCE, self.response.chunk()).await.expect("the stream goes on") {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) => {
                    assert!(self.buffer.is_empty(), "the stream ends within an event");
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    fn event(&self, block: &str) -> Option<SseEvent> {
        let (mut id, mut data) = (None, Vec::new());
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data.push(value),
                _ => assert!(line.is_empty() || line.starts_with(':'), "not a line of an event: {line:?}"),
            }
        }
        if data.is_empty() {
            return None;
        }
        let text = data.join("\n");
        self.host.heard(&text);
        let frame = Frame { json: schemas().server_frame(&text), text };
        match (&id, frame.seq()) {
            (Some(id), Some(seq)) => assert!(id.ends_with(&format!(":{seq}")), "{id} is not that of {}", frame.text),
            (None, None) => {}
            _ => panic!("an id exactly on durable events: {block}"),
        }
        Some(SseEvent { id, frame })
    }

    /// Everything up to the end of the stream.
    pub async fn rest(mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Everything up to the first that `is_it`.
    pub async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Vec<SseEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended early: {events:#?}"));
            let last = is_it(&event.frame);
            events.push(event);
            if last {
                return events;
            }
        }
    }
}
