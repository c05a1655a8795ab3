//! `agent-world chat` as a program whose input is piped, before a server that is not always well.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_world::{Server, frames::mock, protocol::VERSION};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_hdr_async, connect_async,
    tungstenite::{
        ClientRequestBuilder, Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the client asked for, in this order.
type Asked = Arc<Mutex<Vec<String>>>;

/// A server, and before it a relay that lets everything through. `error`: what it says instead of all that comes after
/// a message was accepted.
async fn relay(error: Option<&'static str>) -> (SocketAddr, Asked, mock::Mock) {
    let options = mock::Options {
        source: None,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        templates: None,
        allow_origin: Vec::new(),
        print: false,
    };
    let mock = mock::prepare(&options).unwrap_or_else(|error| panic!("{error}"));
    let server = Server::bind(mock.config.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    let behind = server.local_addr();
    tokio::spawn(server.run(std::future::pending()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass(stream, behind, error, heard.clone()));
        }
    });
    (address, asked, mock)
}

async fn pass(mut stream: TcpStream, behind: SocketAddr, error: Option<&'static str>, asked: Asked) {
    let mut head = [0; 16];
    let length = stream.peek(&mut head).await.unwrap();
    let target = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(target.clone());
    if target == "/ws" {
        return speak(stream, behind, error).await;
    }
    let mut server = TcpStream::connect(behind).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}

#[expect(clippy::result_large_err, reason = "the handshake's callback has this type")]
async fn speak(stream: TcpStream, behind: SocketAddr, error: Option<&'static str>) {
    let agree = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(VERSION));
        Ok(response)
    };
    let mut client = accept_hdr_async(stream, agree).await.unwrap();
    let url = format!("ws://{behind}/ws").parse().unwrap();
    let (mut server, _) = connect_async(ClientRequestBuilder::new(url).with_sub_protocol(VERSION)).await.unwrap();
    loop {
        tokio::select! {
            Some(Ok(message)) = client.next() => drop(server.send(message).await),
            Some(Ok(message)) = server.next() => {
                let frame: Value = serde_json::from_str(message.to_text().unwrap_or_default()).unwrap_or_default();
                let _ = client.send(message).await;
                if let (Some(code), true) = (error, frame["payload"]["type"] == "message_accepted") {
                    let payload = json!({"code": code, "message": "it broke", "retryable": true});
                    let frame = json!({"id": frame["id"], "type": "error", "timestamp": frame["timestamp"], "payload": payload});
                    let _ = client.send(Message::text(frame.to_string())).await;
                    // Nothing more comes, and the connection stays.
                    while let Some(Ok(_)) = client.next().await {}
                    return;
                }
            }
            else => return,
        }
    }
}

async fn chat(address: SocketAddr, input: &'static str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_agent-world"))
        .args(["chat", "--url", &format!("ws://{address}/ws")])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let id = child.id().to_string();
    let mut ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    if let Ok(output) = tokio::time::timeout(PATIENCE, &mut ended).await {
        return output.unwrap();
    }
    Command::new("kill").args(["-KILL", &id]).status().unwrap();
    panic!("it does not end: {:?}", ended.await.unwrap());
}

/// A connection on which somebody only thinks is closed; so the template is chosen before there is one.
#[tokio::test]
async fn the_template_is_chosen_before_the_connection_is_made() {
    let (address, asked, _mock) = relay(None).await;
    let output = chat(address, "Hello!\n").await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("guide: "), "{output:?}");
    assert_eq!(*asked.lock().unwrap(), ["/worlds", "/ws"]);
}

/// The server ends the subscription with an error that answers nothing; no reply is to be waited for.
#[tokio::test]
async fn the_end_of_the_subscription_ends_the_conversation() {
    for code in ["STORAGE_ERROR", "UNRESUMABLE"] {
        let (address, _, _mock) = relay(Some(code)).await;
        let output = chat(address, "Hello!\nAre you there?\n").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(said, format!("agent-world: {code}: it broke\n"), "{output:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = chat(free, "").await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1), "{output:?}");
    assert!(
        said.starts_with(&format!("agent-world: no server answers at ws://{free}/ws (connection refused)")),
        "{said}"
    );
}
