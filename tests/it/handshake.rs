//! The first moments of a connection: versions, tokens, and who may connect at all.

use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::support::{Client, Opening, TestServer, eventually};

fn protocols(text: &str) -> Opening {
    Opening { protocols: Some(text.to_owned()), ..Opening::default() }
}

fn with(name: &'static str, value: &str) -> Opening {
    Opening { headers: vec![(name, value.to_owned())], ..Opening::default() }
}

#[tokio::test]
async fn the_version_is_echoed_when_it_is_offered_and_a_token_never() {
    let server = TestServer::start().await;
    let token = server.session().await.token().to_owned();
    let bearer = format!("bearer.{token}");
    for (offered, echoed) in [
        (None, None),
        (Some("agent-world.v1".to_owned()), Some("agent-world.v1")),
        (Some("chat, agent-world.v1".to_owned()), Some("agent-world.v1")),
        (Some(format!("{bearer}, agent-world.v1")), Some("agent-world.v1")),
        (Some(format!("agent-world.v1, {bearer}")), Some("agent-world.v1")),
        (Some("agent-world.v2, agent-world.v1".to_owned()), Some("agent-world.v1")),
    ] {
        let opening = Opening { protocols: offered.clone(), ..Opening::default() };
        let mut client = Client::open(&server, opening).await.unwrap();
        let echo = client.handshake.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert_eq!(echo, echoed, "{offered:?}");
        client.greeting().await;
        let known = offered.as_ref().is_some_and(|offered| offered.contains("bearer."));
        assert_eq!(client.token.is_none(), known, "{offered:?}: a token comes only with a new user");
    }
}

#[tokio::test]
async fn unknown_versions_are_told_in_a_frame_and_closed_4002() {
    let server = TestServer::start().await;
    for (offered, echoed) in [
        ("agent-world.v9", "agent-world.v9"),
        ("bearer.x, chat, agent-world.v2", "chat"),
        ("AGENT-WORLD.V1", "AGENT-WORLD.V1"),
    ] {
        let mut client = Client::open(&server, protocols(offered)).await.unwrap();
        assert_eq!(client.handshake.headers()["sec-websocket-protocol"], echoed);
        let (code, frames) = client.closed().await;
        assert_eq!(code, Some(4002));
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0].payload()["code"], "INVALID_MESSAGE");
        assert_eq!(frames[0].payload()["details"]["known"], json!(["agent-world.v1"]));
    }
}

#[tokio::test]
async fn an_unknown_token_is_told_in_a_frame_and_closed_4001() {
    let server = TestServer::start().await;
    let unknown = "A".repeat(43);
    for opening in [
        Opening { token: Some(unknown.clone()), ..Opening::default() },
        Opening { token: Some("short".into()), ..Opening::default() },
        protocols(&format!("agent-world.v1, bearer.{unknown}")),
        protocols("agent-world.v1, bearer.short"),
        with("authorization", "Basic dXNlcjpwYXNz"),
    ] {
        let mut client = Client::open(&server, opening).await.unwrap();
        let (code, frames) = client.closed().await;
        assert_eq!(code, Some(4001));
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0].payload()["code"], "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_token_is_the_same_user_on_every_connection() {
    let server = TestServer::start().await;
    let mut first = server.client().await;
    first.select("stage", "mine").await;
    let mut second = server.client_of(first.token()).await;
    assert_eq!(second.user, first.user);
    assert_eq!(second.token, None);
    let bearer = format!("agent-world.v1, bearer.{}", first.token());
    let third = server.open(protocols(&bearer)).await;
    assert_eq!(third.user, first.user);
    // The same world, whoever says something in it.
    second.select("stage", "MINE").await;
    let root = second.say("hi").await["messageId"].as_str().unwrap().to_owned();
    first.until_settled(&root).await;
    let stranger = server.client().await;
    assert_ne!(stranger.user, first.user);
}

#[tokio::test]
async fn a_token_of_a_connection_that_never_selected_a_world_is_void() {
    let server = TestServer::start().await;
    let unused = server.client().await;
    let void = unused.token().to_owned();
    unused.close().await;
    let mut refused = Client::open(&server, Opening { token: Some(void), ..Opening::default() }).await.unwrap();
    assert_eq!(refused.closed().await.0, Some(4001));
}

#[tokio::test]
async fn a_token_of_a_connection_becomes_valid_with_the_first_write_over_http() {
    let server = TestServer::start().await;
    let export = {
        let http = server.session().await;
        http.put("/worlds/mine", json!({"templateName": "stage"})).await;
        http.get("/worlds/mine/export").await.text
    };
    for write in ["create", "import", "chat"] {
        let client = server.client().await;
        let http = server.http_of(client.token());
        http.get("/session/worlds").await.problem("UNAUTHENTICATED");
        let status = match write {
            "create" => http.put("/worlds/mine", json!({"templateName": "stage"})).await.status,
            "import" => {
                let headers = [("content-type", "application/x-ndjson")];
                http.call("POST", "/worlds/import", &headers, Some(export.clone().into_bytes())).await.status
            }
            _ => {
                http.chat("stage", "", "hi").await;
                201
            }
        };
        assert_eq!(status, 201, "{write}");
        assert_eq!(http.get("/session/worlds").await.json().as_array().unwrap().len(), 1, "{write}");
        let again = server.client_of(client.token()).await;
        assert_eq!(again.user, client.user, "{write}");
        // What is valid stays so without the connection; and what never was, is void with it.
        client.close().await;
        assert_eq!(http.get("/session/worlds").await.status, 200, "{write}");
    }
    let unused = server.client().await;
    let http = server.http_of(unused.token());
    unused.close().await;
    eventually("the server has seen it go", || async {
        server.http().get("/health").await.json()["connections"]["active"] == 0
    })
    .await;
    http.put("/worlds/mine", json!({"templateName": "stage"})).await.problem("UNAUTHENTICATED");
}

#[tokio::test]
async fn a_revoked_token_is_unknown() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let token = http.token().to_owned();
    let mut open = server.client_of(&token).await;
    let mut asking = http.chat("stage", "?until=never", "@a1 hi").await;
    asking.until(|frame| frame.action("settled").is_some()).await;
    let following = http.stream("GET", "/worlds/stage/events", &[("accept", "text/event-stream")], None).await;
    assert_eq!(http.delete("/session").await.status, 204);
    assert_eq!(open.closed().await.0, Some(4001), "what it opened is closed");
    for stream in [asking, following] {
        let events = stream.rest().await;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].frame.payload()["code"], "UNAUTHENTICATED", "and so are its streams");
    }
    eventually("nothing is open", || async {
        let metrics = server.http().get("/metrics").await.text;
        metrics.contains("\nagent_world_streams 0\n") && metrics.contains("\nagent_world_connections 0\n")
    })
    .await;
    http.get("/session/worlds").await.problem("UNAUTHENTICATED");
    let mut refused = Client::open(&server, Opening { token: Some(token), ..Opening::default() }).await.unwrap();
    assert_eq!(refused.closed().await.0, Some(4001));
}

#[tokio::test]
async fn only_this_machine_s_pages_and_names_are_served() {
    let server = TestServer::start().await;
    let port = server.address.port();
    let cases = [
        ("origin", format!("http://localhost:{port}"), true),
        ("origin", format!("http://127.0.0.1:{port}"), true),
        ("origin", format!("http://[::1]:{port}"), true),
        ("origin", "http://localhost:1".to_owned(), true),
        ("origin", "http://192.168.1.5:1".to_owned(), false),
        ("origin", format!("https://evil.example:{port}"), false),
        ("origin", "null".to_owned(), false),
        ("host", format!("localhost:{port}"), true),
        ("host", format!("[::1]:{port}"), true),
        ("host", format!("evil.example:{port}"), false),
        ("host", "localhost".to_owned(), true),
        ("host", "192.168.1.5:1".to_owned(), true),
    ];
    for (name, value, allowed) in cases {
        let over_http = server.http().call("GET", "/worlds", &[(name, &value)], None).await;
        let over_ws = Client::open(&server, with(name, &value)).await;
        if allowed {
            assert_eq!(over_http.status, 200, "{name}: {value}");
            over_ws.unwrap().greeting().await;
        } else {
            over_http.problem("PERMISSION_DENIED");
            let Err(error) = over_ws else { panic!("{name}: {value} is let in") };
            let tungstenite::Error::Http(answer) = *error else { panic!("{error}") };
            assert_eq!(answer.status(), 403);
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
}

#[tokio::test]
async fn what_the_operator_allows_is_served() {
    let server = TestServer::with(|config| {
        config.allow_origin = vec!["https://app.example".to_owned()];
        config.allow_host = vec!["chat.example".to_owned()];
    })
    .await;
    for (name, value, allowed) in [
        ("origin", "https://app.example", true),
        ("origin", "https://other.example", false),
        ("host", "chat.example", true),
        ("host", "chat.example:8443", true),
        ("host", "other.example", false),
    ] {
        let answer = server.http().call("GET", "/health", &[(name, value)], None).await;
        assert_eq!(answer.status == 200, allowed, "{name}: {value}");
    }
    // Its own pages, under the name that is allowed.
    let own = [("host", "chat.example"), ("origin", "https://chat.example")];
    assert_eq!(server.http().call("GET", "/worlds", &own, None).await.status, 200);
}

#[tokio::test]
async fn a_plain_request_to_the_websocket_is_a_problem() {
    let server = TestServer::start().await;
    server.http().get("/ws").await.problem("INVALID_MESSAGE");
    // A token there would stand in logs; passed over, it would make somebody else of its owner.
    let query = server.http().get("/ws?token=abc").await;
    assert!(query.problem("INVALID_MESSAGE")["detail"].as_str().unwrap().contains("bearer.TOKEN"));
    for method in ["POST", "PUT", "DELETE"] {
        let answer = server.http().call(method, "/ws", &[], None).await;
        answer.problem("METHOD_NOT_ALLOWED");
        assert_eq!((answer.status, answer.header("allow")), (405, "GET"));
    }
}

#[tokio::test]
async fn connections_are_counted_and_forgotten() {
    let server = TestServer::start().await;
    let http = server.http();
    let first = server.client().await;
    let second = server.client().await;
    assert_eq!(http.get("/health").await.json()["connections"], json!({"active": 2, "total": 2}));
    drop(first);
    second.close().await;
    eventually("both are gone", || async {
        http.get("/health").await.json()["connections"] == json!({"active": 0, "total": 2})
    })
    .await;
}
