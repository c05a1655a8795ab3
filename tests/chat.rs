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
const PROGRAM: &str = env!("CARGO_BIN_EXE_agent-world");

/// What the client asked for, in this order.
type Asked = Arc<Mutex<Vec<String>>>;

/// What the relay does to the first connection that comes.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Says this error instead of all that comes after a message was accepted.
    Error(&'static str),
    /// Resets the connection in place of the first frame that this is true of. It is `cuts` connections to which that is done.
    Cut {
        at: fn(&Value) -> bool,
        cuts: usize,
    },
}

/// A server, and before it a relay that lets everything through, but for its fault.
async fn relay(fault: Fault) -> (SocketAddr, Asked, mock::Mock) {
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
            tokio::spawn(pass(stream, behind, fault, heard.clone()));
        }
    });
    (address, asked, mock)
}

async fn pass(mut stream: TcpStream, behind: SocketAddr, fault: Fault, asked: Asked) {
    let mut head = [0; 16];
    let length = stream.peek(&mut head).await.unwrap();
    let target = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        asked.push(target.clone());
        asked.iter().filter(|one| *one == "/ws").count()
    };
    if target == "/ws" {
        let fault = match fault {
            Fault::Cut { cuts, .. } if before > cuts => Fault::None,
            fault => fault,
        };
        return speak(stream, behind, fault).await;
    }
    let mut server = TcpStream::connect(behind).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}

#[expect(clippy::result_large_err, reason = "the handshake's callback has this type")]
async fn speak(stream: TcpStream, behind: SocketAddr, fault: Fault) {
    let mut token = None;
    let agree = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        token = request.headers().get("authorization").cloned();
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(VERSION));
        Ok(response)
    };
    let mut client = accept_hdr_async(stream, agree).await.unwrap();
    let url = format!("ws://{behind}/ws").parse().unwrap();
    let mut request = ClientRequestBuilder::new(url).with_sub_protocol(VERSION);
    if let Some(token) = token {
        request = request.with_header("Authorization", token.to_str().unwrap());
    }
    let (mut server, _) = connect_async(request).await.unwrap();
    loop {
        tokio::select! {
            Some(Ok(message)) = client.next() => drop(server.send(message).await),
            Some(Ok(message)) = server.next() => {
                let frame: Value = serde_json::from_str(message.to_text().unwrap_or_default()).unwrap_or_default();
                if matches!(fault, Fault::Cut { at, .. } if at(&frame)) {
                    // Nobody says goodbye.
                    socket2::SockRef::from(client.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
                    return;
                }
                let _ = client.send(message).await;
                if let (Fault::Error(code), true) = (fault, frame["payload"]["type"] == "message_accepted") {
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
    chat_with(&["--url", &format!("ws://{address}/ws")], input).await
}

async fn chat_with(arguments: &[&str], input: &'static str) -> Output {
    let mut child = Command::new(PROGRAM)
        .arg("chat")
        .args(arguments)
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
    let (address, asked, _mock) = relay(Fault::None).await;
    let output = chat(address, "Hello!\n").await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("guide: "), "{output:?}");
    assert_eq!(*asked.lock().unwrap(), ["/worlds", "/ws"]);
}

/// The server ends the subscription with an error that answers nothing; no reply is to be waited for.
#[tokio::test]
async fn the_end_of_the_subscription_ends_the_conversation() {
    for code in ["STORAGE_ERROR", "UNRESUMABLE"] {
        let (address, _, _mock) = relay(Fault::Error(code)).await;
        let output = chat(address, "Hello!\nAre you there?\n").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(said, format!("agent-world: {code}: it broke\n"), "{output:?}");
    }
}

/// Wherever the connection breaks, what is shown in the end is what would have been shown.
#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_nothing_is_lost_or_doubled() {
    let (address, asked, _mock) = relay(Fault::None).await;
    let calm = chat(address, "Hello!\n@guide And now?\n").await;
    let calm = String::from_utf8(calm.stdout).unwrap();
    assert!(calm.matches("guide: ").count() == 2 && asked.lock().unwrap().len() == 2, "{calm}");
    let points: [(&str, fn(&Value) -> bool, usize); 5] = [
        ("the acknowledgement is lost", |frame| frame["payload"]["type"] == "message_accepted", 1),
        ("before a reply starts", |frame| frame["type"] == "chat_response", 2),
        ("in a reply", |frame| frame["payload"]["offset"].as_u64() > Some(3), 1),
        ("before a reply ends", |frame| frame["payload"]["complete"] == true, 1),
        ("before it is settled", |frame| frame["payload"]["event"]["payload"]["action"] == "settled", 1),
    ];
    for (case, at, cuts) in points {
        let (address, asked, _mock) = relay(Fault::Cut { at, cuts }).await;
        let output = chat(address, "Hello!\n@guide And now?\n").await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{case}: {output:?}");
        assert_eq!(said.matches("Connected again.").count(), cuts, "{case}: {said}");
        assert_eq!(asked.lock().unwrap().iter().filter(|one| *one == "/ws").count(), 1 + cuts, "{case}");
        let notes = ["connecting again", "Connected again."];
        let rest: Vec<&str> = said.lines().filter(|line| !notes.iter().any(|note| line.contains(note))).collect();
        // A note may stand in the middle of a line.
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(plain(&rest.concat()), plain(&calm), "{case}");
    }
}

#[tokio::test]
async fn the_address_of_the_pages_will_do_and_ones_own_world_is_found_by_its_token() {
    let (address, _, _mock) = relay(Fault::None).await;
    let url = format!("http://{address}");
    let first = ["--url", &url, "--template", "debate", "--world", "my own", "--persistent"];
    let output = chat_with(&first, "").await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("You are in my own, with: moderator"), "{output:?}");
    let back = "To come back: agent-world chat ";
    let (_, back) = said.trim_end().split_once(back).unwrap_or_else(|| panic!("{said}"));
    // What it says can be pasted into a shell.
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" chat {back}"), PROGRAM]).env_clear();
    let pasted = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&pasted.stdout);
    assert!(pasted.status.success() && said.contains("You are in my own, with: moderator"), "{pasted:?}");
    let (_, token) = back.rsplit_once("--token=").unwrap();
    let output = chat_with(&["--url", &url, "--world", "My own", "--token", token], "").await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("You are in my own, with: moderator"), "{output:?}");
    let output = chat_with(&["--url", &url, "--token", &format!("-{}", "x".repeat(42))], "").await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("does not know this token"), "{output:?}");
    let output = chat_with(&["--url", "ftp://localhost"], "").await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not an address of the form http://"), "{output:?}");
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
    assert!(said.contains("start one with `agent-world`, or"), "nothing here comes from cargo: {said}");
}
