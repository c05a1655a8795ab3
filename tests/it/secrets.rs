//! Keys go in and never come out: no frame, body, header, metric, log or file name holds one.

use serde_json::json;

use crate::support::{Process, Upstream};

const KEYS: [&str; 5] = [
    "sk-template-4d1f0f3c",
    "sk-websocket-8a7b6c5d",
    "sk-patch-1f2e3d4c",
    "sk-created-9a8b7c6d",
    "sk-refused-5a4b3c2d",
];

#[tokio::test]
async fn no_key_ever_leaves() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Process::start(&data.path().join("data"), &["--log", "trace"]).await;
    let upstream = Upstream::start().await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "keyed", "worldName": "w", "persistent": true})).await;
    let http = server.http_of(client.token());
    let everything = json!({"eventTypes": ["message", "world", "sse", "system"]});
    client.ok("event_subscribe", everything).await;
    let agents = http.get("/worlds/w/agents").await;
    assert_eq!(agents.json()[0]["config"]["hasApiKey"], true, "the template's key is there");

    let url = upstream.url();
    let config = json!({"baseUrl": url, "apiKey": KEYS[1], "provider": "openai-compatible", "model": "m"});
    let updated = client.ok("agent_update", json!({"agentName": "k1", "config": config})).await;
    assert_eq!(updated["config"]["hasApiKey"], true);
    client.converse("@k1 hi").await;
    http.patch("/worlds/w/agents/k1", json!({"config": {"apiKey": KEYS[2]}})).await;
    client.converse("@k1 hi").await;
    let agent = json!({"name": "k2", "config": {"apiKey": KEYS[3], "provider": "openai", "model": "m", "baseUrl": "http://127.0.0.1:9/v1/"}});
    assert_eq!(http.post("/worlds/w/agents", Some(agent)).await.status, 201);
    client.converse("@k2 hi").await;
    // One that is refused is not repeated either.
    let refused = format!(
        r#"{{"id":"r","type":"agent_update","payload":{{"agentName":"k1","config":{{"apiKey":"{} "}}}}}}"#,
        KEYS[4]
    );
    client.refused(refused).await;
    http.patch("/worlds/w/agents/k1", json!({"config": {"apiKey": KEYS[4], "no": KEYS[4]}}))
        .await
        .problem("INVALID_MESSAGE");

    for path in
        ["/worlds/w", "/worlds/w/agents", "/worlds/w/agents/k1", "/worlds/keyed", "/worlds/keyed/agents/k1", "/worlds"]
    {
        assert_eq!(http.get(path).await.status, 200, "{path}");
    }
    http.get("/worlds/w/events?limit=500&types=message,world,sse,system").await;
    http.get("/worlds/w/export").await;
    http.get("/metrics").await;
    http.get("/health").await;
    client.select_with(json!({"templateName": "keyed", "worldName": "w", "after": client.at(0)})).await;
    client.until(|frame| frame.status("caught_up").is_some()).await;
    client.ok("world_reload", json!({})).await;

    server.terminate();
    server.ended().await;
    let wire = server.wire.lock().unwrap().join("\n");
    let log = server.log();
    assert!(wire.len() > 10_000 && log.lines().count() > 5, "something was looked at: {} {log}", wire.len());
    for key in KEYS {
        assert!(!wire.contains(key), "{key} is on the wire");
        assert!(!log.contains(key), "{key} is in the log");
    }
    assert!(!log.contains(http.token()), "the session token is in the log");
    for words in ["@k1 hi", "Understood"] {
        assert!(!log.contains(words), "content is in the log");
    }
    assert!(!wire.contains("apiKey\":"), "an apiKey field is on the wire");
}

#[cfg(unix)]
#[tokio::test]
async fn the_data_directory_is_its_owner_s() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("data");
    let _server = Process::start(&path, &[]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}
