//! [`Model`]: a model server as OpenAI's, of which a test decides every byte.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::support::{Client, Http, PATIENCE};

pub struct Model {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One call of the model, which waits for its answer.
pub struct Call {
    /// What was asked.
    pub body: Value,
    socket: TcpStream,
}

impl Model {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Some(call) = asked(socket).await {
                        let _ = sender.send(call);
                    }
                });
            }
        });
        Self { address, calls }
    }

    /// Adds an agent that asks this model to the world.
    pub async fn agent(&self, http: &Http, world: &str, name: &str) {
        let url = format!("http://{}/v1/", self.address);
        let config = json!({"provider": "openai-compatible", "model": "m", "baseUrl": url});
        let answer = http.post(&format!("/worlds/{world}/agents"), Some(json!({"name": name, "config": config}))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// The next call.
    pub async fn call(&mut self) -> Call {
        let call = timeout(PATIENCE, self.calls.recv()).await;
        call.expect("the model is called").expect("the model server runs")
    }

    pub fn calls_waiting(&self) -> usize {
        self.calls.len()
    }
}

/// A world without agents, and in it one, `m1`, that asks `model`.
pub async fn world_with(model: &Model, client: &mut Client, http: &Http, name: &str) {
    client.select("empty", name).await;
    model.agent(http, name, "m1").await;
    client.expect(|frame| frame.action("agent-created").is_some()).await;
}

impl Call {
    /// Sends bytes; `false` when the other side is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// The head of a stream that ends with the connection.
    pub async fn stream(&mut self) -> bool {
        self.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n").await
    }

    pub async fn chunk(&mut self, content: &str) -> bool {
        self.send(&chunk(content)).await
    }

    /// The end of a reply that is whole.
    pub async fn finish(mut self) -> bool {
        self.send(&finish()).await && self.socket.shutdown().await.is_ok()
    }

    /// Waits until the server has closed its side.
    pub async fn closed(mut self) {
        let mut rest = [0; 64];
        let gone = async { while matches!(self.socket.read(&mut rest).await, Ok(1..)) {} };
        timeout(Duration::from_secs(5), gone).await.expect("the request upstream ends");
    }
}

pub fn chunk(content: &str) -> Vec<u8> {
    let data = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]});
    format!("data: {data}\n\n").into_bytes()
}

pub fn finish() -> Vec<u8> {
    let data = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    format!("data: {data}\n\ndata: [DONE]\n\n").into_bytes()
}

/// Reads a request to its end.
async fn asked(mut socket: TcpStream) -> Option<Call> {
    let _ = socket.set_nodelay(true);
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if read.len() >= end + 4 + length {
                let body = serde_json::from_slice(&read[end + 4..]).expect("the server sends JSON");
                return Some(Call { body, socket });
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}
