//! A provider for tests: a socket that plays one answer per request, exactly as it is written.

use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// What is done with a connection once its request has been read.
#[derive(Debug, Clone)]
pub enum Act {
    Send(Vec<u8>),
    /// One byte per write.
    Drip(Vec<u8>),
    /// The same, for ever, until the other side is gone.
    Repeat(Vec<u8>),
    /// Nothing, for a while.
    Wait(Duration),
    /// Nothing, until the other side is gone.
    Hang,
}

/// What the upstream saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Saw {
    Request {
        head: String,
        body: String,
    },
    /// The client closed its side, or reset it.
    Closed,
}

pub struct FakeUpstream {
    pub address: std::net::SocketAddr,
    pub saw: mpsc::Receiver<Saw>,
}

impl FakeUpstream {
    /// Plays `acts` to every connection, then closes it.
    pub async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, saw) = mpsc::channel(64);
        let acts = Arc::new(acts);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&acts), sender.clone()));
            }
        });
        Self { address, saw }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next thing that it sees; panics after five seconds.
    pub async fn next(&mut self) -> Saw {
        let next = tokio::time::timeout(Duration::from_secs(5), self.saw.recv()).await;
        next.expect("the upstream saw nothing").expect("the upstream is alive")
    }

    pub async fn request(&mut self) -> (String, serde_json::Value) {
        match self.next().await {
            Saw::Request { head, body } => (head, serde_json::from_str(&body).unwrap_or_default()),
            Saw::Closed => panic!("closed before a request"),
        }
    }
}

async fn serve(mut socket: TcpStream, acts: Arc<Vec<Act>>, saw: mpsc::Sender<Saw>) {
    let Some((head, body)) = request(&mut socket).await else {
        return;
    };
    let _ = saw.send(Saw::Request { head, body }).await;
    for act in acts.iter() {
        let alive = match act {
            Act::Send(bytes) => socket.write_all(bytes).await.is_ok(),
            Act::Drip(bytes) => drip(&mut socket, bytes).await,
            Act::Repeat(bytes) => {
                while socket.write_all(bytes).await.is_ok() {}
                false
            }
            Act::Wait(time) => {
                tokio::time::sleep(*time).await;
                true
            }
            Act::Hang => {
                let mut byte = [0];
                while matches!(socket.read(&mut byte).await, Ok(1..)) {}
                false
            }
        };
        if !alive {
            let _ = saw.send(Saw::Closed).await;
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn drip(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    let _ = socket.set_nodelay(true);
    for byte in bytes {
        if socket.write_all(&[*byte]).await.is_err() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

async fn request(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if read.len() >= end + 4 + length {
                return Some((head, String::from_utf8_lossy(&read[end + 4..]).into_owned()));
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The head of an answer that ends when the connection does.
pub fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

pub fn event_stream() -> Vec<u8> {
    head("200 OK", "content-type: text/event-stream\r\n")
}

pub fn chunked_stream() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
}

pub fn chunk(content: &str) -> Vec<u8> {
    let data = serde_json::json!({"choices": [{"index": 0, "delta": {"content": content}}]});
    format!("data: {data}\n\n").into_bytes()
}

pub fn finish(reason: &str) -> Vec<u8> {
    let data = serde_json::json!({
        "choices": [{"index": 0, "delta": {}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    });
    format!("data: {data}\n\ndata: [DONE]\n\n").into_bytes()
}
