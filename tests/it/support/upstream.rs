//! [`Upstream`]: a model server as OpenAI's, which answers every call alike and remembers what it was asked.

use std::net::SocketAddr;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::header, routing};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A call: its headers and body.
pub type Seen = (HeaderMap, Value);

pub struct Upstream {
    pub address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, seen) = mpsc::unbounded_channel();
        let router = Router::new().route("/v1/chat/completions", routing::post(complete)).with_state(sender);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1/", self.address)
    }

    /// The next call.
    pub async fn call(&mut self) -> Seen {
        let call = tokio::time::timeout(super::PATIENCE, self.seen.recv()).await;
        call.expect("the model is called").expect("the upstream runs")
    }

    pub fn calls_waiting(&self) -> usize {
        self.seen.len()
    }
}

async fn complete(
    State(seen): State<mpsc::UnboundedSender<Seen>>,
    headers: HeaderMap,
    body: Bytes,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let body: Value = serde_json::from_slice(&body).expect("the server sends JSON");
    let _ = seen.send((headers, body));
    let chunk = |delta: Value, finish: Value, usage: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [choice], "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let text = [
        chunk(json!({"role": "assistant", "content": "Understood"}), Value::Null, Value::Null),
        chunk(json!({"content": "."}), Value::Null, Value::Null),
        chunk(json!({}), json!("stop"), json!({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})),
        "data: [DONE]\n\n".to_owned(),
    ];
    ([(header::CONTENT_TYPE, "text/event-stream")], text.concat())
}
