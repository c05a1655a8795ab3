//! What the operator sees.

use serde_json::json;

use crate::support::{TestServer, eventually};

#[tokio::test]
async fn health_counts_what_there_is() {
    let server = TestServer::start().await;
    let http = server.http();
    let empty = http.get("/health").await;
    assert_eq!(empty.json()["status"], "ok");
    assert_eq!((&empty.json()["worlds"], &empty.json()["sessions"]), (&json!(0), &json!(0)));
    let mut client = server.in_world("w").await;
    client.select("stage", "v").await;
    client.refused("nonsense").await;
    let health = http.get("/health").await;
    assert_eq!((&health.json()["worlds"], &health.json()["sessions"]), (&json!(2), &json!(1)));
    assert_eq!(health.json()["messages"]["total"], 3);
    assert!(health.json()["messages"]["perSecond"].as_f64().unwrap() > 0.0);
    assert_eq!(health.json()["errors"], 1);
    assert_eq!(health.json()["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    client.converse("hi").await;
    let metrics = server.http().get("/metrics").await;
    assert!(
        metrics.header("content-type").starts_with("text/plain; version=0.0.4"),
        "{}",
        metrics.header("content-type")
    );
    let mut typed = Vec::new();
    let mut samples = 0;
    for line in metrics.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            typed.push(name.to_owned());
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let name = name.split('{').next().unwrap();
            assert!(typed.iter().any(|typed| name.starts_with(typed.as_str())), "{line}: no TYPE before it");
            assert!(name.starts_with("agent_world_"), "{line}");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            samples += 1;
        }
    }
    assert!(samples >= 10, "{}", metrics.text);
    assert!(metrics.text.contains("\nagent_world_connections 1\n"), "{}", metrics.text);
}

#[tokio::test]
async fn a_draining_server_says_so() {
    let mut server = TestServer::with(|config| config.drain_timeout = std::time::Duration::from_secs(5)).await;
    let mut client = server.in_world("w").await;
    let http = server.http();
    let root = client.say("@a1 SLOW").await["messageId"].as_str().unwrap().to_owned();
    client.expect(|frame| frame.is_start()).await;
    server.ask_to_stop();
    client.expect(|frame| frame.status("draining").is_some()).await;
    assert_eq!(http.get("/health").await.json()["status"], "draining");
    let refused = client.fails("chat_send", json!({"content": "one more"}), "OVERLOADED").await;
    assert_eq!(refused["retryable"], true);
    client.until_settled(&root).await;
    assert_eq!(client.closed().await.0, Some(1001));
    server.stopped().await;
}

#[tokio::test]
async fn open_streams_are_counted() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let streams = || async {
        let metrics = http.get("/metrics").await.text;
        metrics.lines().find_map(|line| line.strip_prefix("agent_world_streams ")).map(str::to_owned)
    };
    let mut stream = http.chat("stage", "?until=never", "@human hi").await;
    stream.until(|frame| frame.action("settled").is_some()).await;
    assert_eq!(streams().await.as_deref(), Some("1"));
    drop(stream);
    eventually("it is gone", || async { streams().await.as_deref() == Some("0") }).await;
}
