//! Every route: what it gives, and the problems it names (docs/PROTOCOL.md §7). What an answer looks like is held
//! to the schema by the client itself.

use serde_json::{Value, json};

use crate::support::{Answer, Http, TestServer, schemas};

/// Sends `body` as it is, with a media type.
async fn raw(http: &Http, method: &str, path: &str, media: &str, body: &str) -> Answer {
    http.call(method, path, &[("content-type", media)], Some(body.as_bytes().to_vec())).await
}

#[tokio::test]
async fn templates_are_listed_and_read_by_anybody() {
    let server = TestServer::start().await;
    let http = server.http();
    let list = http.get("/worlds").await;
    let templates = list.json().as_array().unwrap();
    for (name, agents) in [("default-world", 2), ("debate", 3), ("writers-room", 3), ("stage", 2), ("empty", 0)] {
        let found = templates.iter().find(|template| template["name"] == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found["agentCount"], agents, "{name}");
    }
    let world = http.get("/worlds/Stage").await;
    assert_eq!((&world.json()["kind"], &world.json()["persistent"]), (&json!("template"), &json!(false)));
    assert_eq!(world.json().get("cursor"), None);
    assert_eq!(http.get("/worlds/stage/agents").await.json().as_array().unwrap().len(), 2);
    assert_eq!(http.get("/worlds/stage/agents/A1").await.json()["name"], "a1");
    http.get("/worlds/stage/agents/a9").await.problem("AGENT_NOT_FOUND");
    http.get("/worlds/nowhere").await.problem("WORLD_NOT_FOUND");
    http.get("/worlds/nowhere/agents").await.problem("WORLD_NOT_FOUND");
}

#[tokio::test]
async fn a_world_from_its_making_to_its_end() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let body = json!({"templateName": "stage", "persistent": false, "title": "Mine"});
    let made = http.put("/worlds/My%20world", body.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!((&made.json()["kind"], &made.json()["title"]), (&json!("world"), &json!("Mine")));
    let again = http.put("/worlds/my%20WORLD", body).await;
    assert_eq!((again.status, &again.json()["worldName"]), (200, &json!("My world")));
    http.put("/worlds/my%20world", json!({"templateName": "duo"})).await.problem("CONFLICT");
    http.put("/worlds/x", json!({"templateName": "nowhere"})).await.problem("TEMPLATE_NOT_FOUND");

    let patched = http.patch("/worlds/My%20world", json!({"turnLimit": 9, "title": null})).await;
    assert_eq!(patched.json()["worldState"]["turnLimit"], 9);
    assert_eq!(patched.json().get("title"), None);
    let merge = "application/merge-patch+json";
    let patched = raw(&http, "PATCH", "/worlds/My%20world", merge, r#"{"title":"Again"}"#).await;
    assert_eq!(patched.json()["title"], "Again");
    assert_eq!(http.get("/worlds/My%20world").await.json()["worldState"]["turnLimit"], 9);
    let listed = http.get("/session/worlds").await;
    assert_eq!((&listed.json()[0]["worldName"], &listed.json()[0]["title"]), (&json!("My world"), &json!("Again")));

    assert_eq!(http.delete("/worlds/My%20world").await.status, 204);
    http.delete("/worlds/My%20world").await.problem("WORLD_NOT_FOUND");
    assert_eq!(http.get("/session/worlds").await.json(), &json!([]));
}

#[tokio::test]
async fn an_agent_from_its_making_to_its_end() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("w").await;
    let path = "/worlds/w/agents";
    let body = json!({"name": "Scribe", "status": "inactive", "config": {"provider": "script", "temperature": 0}});
    let made = http.post(path, Some(body.clone())).await;
    assert_eq!(
        (made.status, &made.json()["status"], &made.json()["config"]["temperature"]),
        (201, &json!("inactive"), &json!(0.0))
    );
    for name in ["scribe", "A1", "human", "User", "SYSTEM", "world"] {
        http.post(path, Some(json!({"name": name, "config": {}}))).await.problem("CONFLICT");
    }
    let patched = http.patch("/worlds/w/agents/SCRIBE", json!({"status": "active", "config": {"model": "m"}})).await;
    assert_eq!((&patched.json()["status"], &patched.json()["config"]["model"]), (&json!("active"), &json!("m")));
    assert_eq!(patched.json()["config"]["temperature"], 0.0, "what is absent stays");
    let merge =
        raw(&http, "PATCH", "/worlds/w/agents/scribe", "application/merge-patch+json", r#"{"clearMemory":true}"#).await;
    assert_eq!(merge.status, 200, "{}", merge.text);
    assert_eq!(http.get(path).await.json().as_array().unwrap().len(), 3);
    assert_eq!(http.delete("/worlds/w/agents/scribe").await.status, 204);
    for method in ["GET", "DELETE"] {
        http.call(method, "/worlds/w/agents/scribe", &[], None).await.problem("AGENT_NOT_FOUND");
    }
    http.patch("/worlds/w/agents/scribe", json!({})).await.problem("AGENT_NOT_FOUND");
}

#[tokio::test]
async fn a_world_holds_64_agents() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.put("/worlds/w", json!({"templateName": "empty"})).await;
    for number in 0..64 {
        let made = http.post("/worlds/w/agents", Some(json!({"name": format!("n{number}"), "config": {}}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    http.post("/worlds/w/agents", Some(json!({"name": "one-more", "config": {}}))).await.problem("CONFLICT");
}

/// Every route that writes, with a body that its schema takes.
fn writes(world: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let reply = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";
    vec![
        ("PATCH", format!("/worlds/{world}"), Some(json!({"turnLimit": 3}))),
        ("DELETE", format!("/worlds/{world}"), None),
        ("POST", format!("/worlds/{world}/agents"), Some(json!({"name": "x", "config": {}}))),
        ("PATCH", format!("/worlds/{world}/agents/a1"), Some(json!({"status": "inactive"}))),
        ("DELETE", format!("/worlds/{world}/agents/a1"), None),
        ("DELETE", format!("/worlds/{world}/replies/{reply}"), None),
    ]
}

#[tokio::test]
async fn templates_are_never_written() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let before = http.get("/worlds/stage").await.json().clone();
    for (method, path, body) in writes("stage") {
        let answer = http.call(method, &path, &[], body.map(|body| body.to_string().into_bytes())).await;
        let expected = if path.contains("/replies/") {
            answer.json()["code"].as_str().unwrap().to_owned()
        } else {
            "PERMISSION_DENIED".into()
        };
        answer.problem(&expected);
    }
    let mut after = http.get("/worlds/stage").await.json().clone();
    for (now, then) in after["agents"].as_array_mut().unwrap().iter_mut().zip(before["agents"].as_array().unwrap()) {
        now["createdAt"] = then["createdAt"].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_needs_a_token_says_so() {
    let server = TestServer::start().await;
    let mut requests = writes("w");
    requests.extend([
        ("PUT", "/worlds/w".into(), Some(json!({"templateName": "stage"}))),
        ("GET", "/session/worlds".into(), None),
        ("DELETE", "/session".into(), None),
        ("GET", "/worlds/w/events".into(), None),
        ("GET", "/worlds/w/export".into(), None),
    ]);
    let unknown = server.http_of(&"B".repeat(43));
    for (method, path, body) in requests {
        let body = body.map(|body| body.to_string().into_bytes());
        for http in [server.http(), unknown.clone()] {
            let answer = http.call(method, &path, &[], body.clone()).await;
            answer.problem("UNAUTHENTICATED");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
        }
    }
    for path in ["/worlds/stage", "/worlds/stage/agents"] {
        unknown.get(path).await.problem("UNAUTHENTICATED");
    }
    server
        .http()
        .call("GET", "/session/worlds", &[("authorization", "Basic eDp5")], None)
        .await
        .problem("UNAUTHENTICATED");
}

#[tokio::test]
async fn bodies_are_held_to_their_schema() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("w").await;
    let agent = "/worlds/w/agents/a1";
    for (method, path, body, pointer, keyword) in [
        ("PUT", "/worlds/x", "{", "", "syntax"),
        ("PUT", "/worlds/x", "", "", "syntax"),
        ("PUT", "/worlds/x", "[]", "", "type"),
        ("PUT", "/worlds/x", "{}", "", "required"),
        ("PUT", "/worlds/x", r#"{"templateName":"../x"}"#, "/templateName", "pattern"),
        ("PUT", "/worlds/x", r#"{"templateName":"stage","templateName":"duo"}"#, "", "duplicateKey"),
        ("PUT", "/worlds/x", r#"{"templateName":"stage","color":1}"#, "", "additionalProperties"),
        ("PUT", "/worlds/x", r#"{"templateName":"stage","title":null}"#, "/title", "type"),
        ("PUT", "/worlds/..%2F..%2Fx", r#"{"templateName":"stage"}"#, "/path/worldName", "pattern"),
        ("PUT", "/worlds/%20x", r#"{"templateName":"stage"}"#, "/path/worldName", "pattern"),
        ("PATCH", "/worlds/w", r#"{"turnLimit":0}"#, "/turnLimit", "minimum"),
        ("PATCH", "/worlds/w", r#"{"turnLimit":101}"#, "/turnLimit", "maximum"),
        ("PATCH", "/worlds/w", r#"{"turnLimit":null}"#, "/turnLimit", "type"),
        ("PATCH", agent, r#"{"status":"error"}"#, "/status", "enum"),
        ("PATCH", agent, r#"{"config":{"provider":null}}"#, "/config/provider", "enum"),
        ("PATCH", agent, r#"{"clearMemory":false}"#, "/clearMemory", "const"),
        ("PATCH", agent, r#"{"config":{"llmCallCount":0}}"#, "/config", "additionalProperties"),
        ("PATCH", agent, r#"{"name":"b"}"#, "", "additionalProperties"),
        ("PATCH", agent, r#"{"config":{"hasApiKey":true}}"#, "/config", "additionalProperties"),
        ("POST", "/worlds/w/agents", r#"{"name":"1x","config":{}}"#, "/name", "pattern"),
        ("POST", "/worlds/w/chat", r#"{"message":""}"#, "/message", "minLength"),
        ("POST", "/worlds/w/chat?until=later", r#"{"message":"x"}"#, "/query/until", "enum"),
        ("POST", "/worlds/w/chat?untl=never", r#"{"message":"x"}"#, "/query", "additionalProperties"),
        ("POST", "/worlds/w/chat?until=never&until=never", r#"{"message":"x"}"#, "/query/until", "duplicateKey"),
    ] {
        let answer = http.call(method, path, &[], Some(body.as_bytes().to_vec())).await;
        let errors = answer.problem("INVALID_MESSAGE")["errors"].as_array().unwrap().clone();
        let named = errors.iter().any(|error| error["pointer"] == pointer && error["keyword"] == keyword);
        assert!(named, "{method} {path} {body}\nlacks {pointer:?} {keyword}: {}", answer.text);
    }
    for (path, pointer) in [
        ("/worlds/w/events?limit=0", "/query/limit"),
        ("/worlds/w/events?limit=501", "/query/limit"),
        ("/worlds/w/events?limit=x", "/query/limit"),
        ("/worlds/w/events?types=chat", "/query/types"),
        ("/worlds/w/events?after=5", "/query/after"),
        ("/worlds/w/agents/1", "/path/agentName"),
        ("/health?x=1", "/query"),
    ] {
        let answer = http.get(path).await;
        assert_eq!(answer.problem("INVALID_MESSAGE")["errors"][0]["pointer"], pointer, "{path}");
    }
}

/// The counter-examples of the schema, over HTTP.
#[tokio::test]
async fn every_counter_example_of_a_body_is_refused() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("my-world").await;
    let mut seen = 0;
    for (file, schema) in schemas().files() {
        let invalid = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("schema")
            .join(file.replace(".json", ".invalid.json"));
        let Some(route) = schema["x-route"].as_object().filter(|_| invalid.is_file()) else { continue };
        let path = route["path"].as_str().unwrap().replace("{worldName}", "my-world").replace("{agentName}", "a1");
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&invalid).unwrap()).unwrap();
        for case in cases {
            let body = case["request"].to_string().into_bytes();
            let answer = http.call(route["method"].as_str().unwrap(), &path, &[], Some(body)).await;
            let errors = answer.problem("INVALID_MESSAGE")["errors"].as_array().unwrap().clone();
            let pointer = case["pointer"].as_str().unwrap();
            assert!(
                errors.iter().any(|e| e["pointer"].as_str().unwrap().starts_with(pointer)),
                "{case}: {}",
                answer.text
            );
            seen += 1;
        }
    }
    assert!(seen >= 50, "{seen}");
}

#[tokio::test]
async fn bodies_of_another_kind_or_size_are_refused() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("w").await;
    for media in ["text/plain", "application/xml", "application/merge-patch+json", "multipart/form-data"] {
        let answer = raw(&http, "POST", "/worlds/w/chat", media, r#"{"message":"x"}"#).await;
        answer.problem("UNSUPPORTED_MEDIA_TYPE");
    }
    for media in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(raw(&http, "PATCH", "/worlds/w", media, "{}").await.status, 200, "{media}");
    }
    let big = format!(r#"{{"title":"{}"}}"#, "x".repeat(64 * 1024));
    raw(&http, "PATCH", "/worlds/w", "application/json", &big).await.problem("PAYLOAD_TOO_LARGE");
    let fits = format!(r#"{{"title":"fits"{}}}"#, " ".repeat(64 * 1024 - 16));
    assert_eq!(fits.len(), 64 * 1024);
    assert_eq!(raw(&http, "PATCH", "/worlds/w", "application/json", &fits).await.status, 200);
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let answer = raw(&http, "PATCH", "/worlds/w", "application/json", &deep).await;
    assert_eq!(answer.problem("INVALID_MESSAGE")["errors"][0]["keyword"], "depth");
    let answer = http.call("PATCH", "/worlds/w", &[], Some(vec![b'"', 0xff, b'"'])).await;
    answer.problem("INVALID_MESSAGE");
}

#[tokio::test]
async fn the_longest_body_is_the_operator_s_to_say_but_for_imports() {
    let server = TestServer::with(|config| config.max_body_bytes = 2_000).await;
    let http = server.session().await;
    http.world("w").await;
    let body = |length: usize| format!(r#"{{"title":"fits"{}}}"#, " ".repeat(length - 16));
    assert_eq!(raw(&http, "PATCH", "/worlds/w", "application/json", &body(2_000)).await.status, 200);
    let refused = raw(&http, "PATCH", "/worlds/w", "application/json", &body(2_001)).await;
    let told = refused.problem("PAYLOAD_TOO_LARGE").to_string();
    assert!(told.contains("2000"), "{told}");
    let import = raw(&http, "POST", "/worlds/import", "application/x-ndjson", &"\n".repeat(3_000)).await;
    import.problem("INVALID_MESSAGE");
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let server = TestServer::start().await;
    let http = server.http();
    for path in [
        "/nothing",
        "/worlds/a/b/c",
        "/Worlds",
        "/worlds/",
        "/schema/nothing.json",
        "/schema/../Cargo.toml",
        "/%2e%2e/x",
    ] {
        let answer = http.get(path).await;
        assert!(matches!(answer.status, 404 | 400), "{path}: {}", answer.text);
    }
    for (method, path, allow) in [
        ("DELETE", "/worlds", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/worlds/w/chat", "POST"),
        ("PUT", "/session", "DELETE, POST"),
        ("POST", "/worlds/w", "DELETE, GET, HEAD, PATCH, PUT"),
    ] {
        let answer = http.call(method, path, &[], None).await;
        answer.problem("METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("w").await;
    for path in [
        "/",
        "/docs",
        "/health",
        "/worlds",
        "/worlds/w",
        "/worlds/w/agents/a1",
        "/openapi.json",
        "/schema/client/ping.json",
    ] {
        let get = http.get(path).await;
        let head = http.call("HEAD", path, &[], None).await;
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        // How long a server is up has more digits every now and then.
        if path != "/health" {
            assert_eq!(head.header("content-length"), get.text.len().to_string(), "{path}");
        }
    }
    let stream = http.call("HEAD", "/worlds/w/events", &[("accept", "text/event-stream")], None).await;
    assert_eq!((stream.status, stream.header("content-length")), (200, ""), "as long as it is listened to");
    assert_eq!(http.call("HEAD", "/worlds/nowhere", &[], None).await.status, 404);
}

#[tokio::test]
async fn every_schema_is_served_at_the_path_of_its_id() {
    let server = TestServer::start().await;
    let http = server.http();
    let mut served = 0;
    for (file, json) in schemas().files() {
        if file.starts_with("http/") {
            continue;
        }
        let id = json["$id"].as_str().unwrap();
        let path = id.strip_prefix("https://agent-world.example").unwrap();
        assert_eq!(path, format!("/schema/{file}"));
        let answer = http.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let schema: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(schema["$id"], id);
        assert!(!answer.text.contains("\"x-"), "{path}: keywords of our own are not published");
        served += 1;
    }
    assert!(served >= 25, "{served}");
}

#[tokio::test]
async fn the_documents_are_served() {
    let server = TestServer::start().await;
    let http = server.http();
    for (path, field) in [
        ("/openapi.json", "openapi"),
        ("/openapi-3.0.json", "openapi"),
        ("/asyncapi.json", "asyncapi"),
        ("/asyncapi-client.json", "asyncapi"),
        ("/catalogue.json", "protocol"),
    ] {
        let answer = http.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let document: Value = serde_json::from_str(&answer.text).unwrap();
        assert!(document[field].is_string(), "{path} has no {field}");
    }
    for path in ["/", "/docs"] {
        let answer = http.get(path).await;
        assert!(answer.text.to_ascii_lowercase().starts_with("<!doctype html>"), "{path}");
    }
}

#[tokio::test]
async fn a_world_may_be_called_import() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("import").await;
    assert_eq!(http.get("/worlds/import").await.json()["worldName"], "import");
    http.patch("/worlds/import", json!({"turnLimit": 2})).await;
    let events = http.chat("import", "", "@a1 hi").await.rest().await;
    assert!(events.last().unwrap().frame.action("settled").is_some());
    assert_eq!(http.delete("/worlds/import").await.status, 204);
}

#[tokio::test]
async fn a_reply_is_cancelled_over_http() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let http = server.http_of(client.token());
    let root = client.say("@a1 HANG").await["messageId"].as_str().unwrap().to_owned();
    let reply = client.expect(|frame| frame.is_delta()).await.payload()["messageId"].as_str().unwrap().to_owned();
    let answer = http.delete(&format!("/worlds/w/replies/{reply}")).await;
    assert_eq!(answer.json(), &json!({"messageIds": [reply], "dropped": 0}));
    client.until_settled(&root).await;
    let unknown = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";
    http.delete(&format!("/worlds/w/replies/{unknown}")).await.problem("MESSAGE_NOT_FOUND");
    http.delete("/worlds/w/replies/nonsense").await.problem("INVALID_MESSAGE");
}
