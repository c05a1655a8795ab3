//! `--demo-token`: every example in `schema/` can be sent as it stands to a fresh server, and gets the answer that it
//! shows. Without the setting nothing of it exists.

use agent_world::protocol::SessionToken;
use serde_json::{Value, json};

use crate::support::{Answer, Http, TestServer, schemas};

const TOKEN: &str = "q7H2m0Xv4cYw9Zr1LkT8sB5nJ3dPfGaE6uVxR_yQo-A";
/// What nobody can know beforehand: clocks, random numbers, counters. Lengths and forms are held by the schemas.
const OPEN: &[&str] = &["uptimeSeconds", "connections", "sessions", "messages", "serverTime", "userId", "sessionToken"];

async fn demo() -> TestServer {
    TestServer::with(|config| {
        config.demo_token = SessionToken::new(TOKEN).ok();
        config.script = None;
        config.templates = None;
    })
    .await
}

/// Whether `shown`, the example, is what `found` says. Documents and prompts are shown by their beginnings; fields of
/// documents are left out.
fn shows(shown: &Value, found: &Value, at: &str, wrong: &mut Vec<String>) {
    let name = at.rsplit('/').next().unwrap_or_default();
    match (shown, found) {
        _ if OPEN.contains(&name) => {}
        (Value::Object(shown), Value::Object(found)) => {
            for (key, value) in shown {
                shows(value, found.get(key).unwrap_or(&Value::Null), &format!("{at}/{key}"), wrong);
            }
        }
        (Value::Array(shown), Value::Array(found)) => {
            if shown.len() != found.len() {
                wrong.push(format!("{at}: {} instead of {} items", found.len(), shown.len()));
            }
            for (index, (shown, found)) in shown.iter().zip(found).enumerate() {
                shows(shown, found, &format!("{at}/{index}"), wrong);
            }
        }
        (Value::String(shown), Value::String(found)) if name == "systemPrompt" && found.starts_with(shown) => {}
        // The time at which this test ran.
        (Value::String(_), Value::String(found)) if name == "createdAt" && !found.starts_with("2026-01-15T10:0") => {}
        (Value::String(shown), Value::String(found)) if ["cursor", "next", "prev"].contains(&name) => {
            if shown.split(':').nth(1) != found.split(':').nth(1) {
                wrong.push(format!("{at}: {found} instead of {shown}"));
            }
        }
        _ if shown.as_f64().is_some() && shown.as_f64() == found.as_f64() => {}
        _ if shown == found => {}
        _ => wrong.push(format!("{at}: {found} instead of {shown}")),
    }
}

/// `/worlds/{worldName}?limit=3` with the example's parameters in it.
fn target(path: &str, example: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut target = path.to_owned();
    for (name, value) in example["pathParameters"].as_object().into_iter().flatten() {
        target = target.replace(&format!("{{{name}}}"), &text(value));
    }
    for (index, (name, value)) in example["query"].as_object().into_iter().flatten().enumerate() {
        target += &format!("{}{name}={}", if index == 0 { '?' } else { '&' }, text(value));
    }
    target
}

async fn send(http: &Http, route: &Value, example: &Value) -> Answer {
    let media = route["request"].as_object().and_then(|media| media.keys().next());
    let media = media.map(|media| ("content-type", media.as_str()));
    let headers = example["headers"].as_object().into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let headers: Vec<_> = media.into_iter().chain(headers).collect();
    let body = example.get("request").map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned));
    let method = route["method"].as_str().expect("a method");
    let path = target(route["path"].as_str().expect("a path"), example);
    http.call(method, &path, &headers, body.map(String::into_bytes)).await
}

#[tokio::test]
async fn every_example_of_a_route_is_true() {
    let mut wrong = Vec::new();
    for (path, file) in schemas().files() {
        let (Some(route), Some(examples)) = (file.get("x-route"), file["x-examples"].as_object()) else { continue };
        for (name, example) in examples {
            let server = demo().await;
            let http = if route["auth"] == "none" { server.http() } else { server.http_of(TOKEN) };
            let answer = send(&http, route, example).await;
            let at = format!("{path} {name}");
            let shown = &example["response"];
            if shown["status"].as_str() != Some(&answer.status.to_string()) {
                wrong.push(format!("{at}: {} instead of {}: {}", answer.status, shown["status"], answer.text));
                continue;
            }
            match shown.get("body") {
                None => assert_eq!(answer.text, "", "{at}"),
                // A stream has new ids and times in it, the console its own text.
                Some(Value::String(text)) if path == "http/exportWorld.json" => assert!(answer.text.starts_with(text)),
                Some(Value::String(text)) => {
                    let first = |text: &str| text.chars().take(2).collect::<String>();
                    assert_eq!(first(&answer.text), first(text), "{at}");
                }
                Some(body) => shows(body, answer.json(), &at, &mut wrong),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_example_of_a_message_is_accepted() {
    let server = demo().await;
    let selection = json!({"templateName": "default-world", "worldName": "my-world"});
    let epoch = {
        let mut client = server.client_of(TOKEN).await;
        let selected = client.ok("world_select", selection.clone()).await;
        selected["cursor"].as_str().expect("a cursor").split(':').next().expect("an epoch").to_owned()
    };
    for wire in schemas().client_types() {
        for mut example in
            schemas().files()[&format!("client/{wire}.json")]["examples"].as_array().expect("some").clone()
        {
            // The epoch of a log is random.
            if let Some(after) = example.get_mut("after") {
                let seq = after.as_str().and_then(|after| after.split(':').nth(1)).expect("a cursor").to_owned();
                *after = json!(format!("{epoch}:{seq}"));
            }
            let mut client = server.client_of(TOKEN).await;
            if wire != "world_select" {
                client.ok("world_select", selection.clone()).await;
            }
            client.ok(wire, example).await;
        }
    }
}

#[tokio::test]
async fn it_outlives_restarts_as_it_was_left_and_is_not_made_unasked() {
    let mut server = demo().await;
    let http = server.http_of(TOKEN);
    assert_eq!(http.delete("/worlds/my-world/agents/scribe").await.status, 204);
    let events = "/worlds/my-world/events?limit=500&types=message,world,sse,system";
    let before = http.get(events).await.text;
    server.restart().await;
    let http = server.http_of(TOKEN);
    assert_eq!(http.get(events).await.text, before);
    assert_eq!(http.get("/session/worlds").await.json().as_array().map(Vec::len), Some(1));
    assert_eq!(http.delete("/worlds/my-world").await.status, 204);
    assert_eq!(http.delete("/session").await.status, 204);
    server.restart().await;
    let agents = server.http_of(TOKEN).get("/worlds/my-world/agents").await;
    assert_eq!(agents.json().as_array().map(Vec::len), Some(3), "what is gone comes back");

    let without = TestServer::start().await;
    without.http_of(TOKEN).get("/session/worlds").await.problem("UNAUTHENTICATED");
}
