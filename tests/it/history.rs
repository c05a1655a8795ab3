//! A world's events over HTTP: as pages, and as a tail that goes on.

use serde_json::{Value, json};

use crate::support::{Client, Frame, Http, TestServer};

const ALL: &str = "/worlds/w/events?types=message,world,sse,system";

/// A world with a history, its user over HTTP, and all of its public frames.
async fn world(server: &TestServer) -> (Client, Http, Vec<Value>) {
    let mut client = server.in_world("w").await;
    for content in ["hi", "@a1 ASK2", "@nobody", "@a2 FAIL"] {
        client.converse(content).await;
    }
    let http = server.http_of(client.token());
    client
        .ok("event_subscribe", json!({"eventTypes": ["message", "world", "sse", "system"], "after": client.at(0)}))
        .await;
    let mut frames = client.until(|frame| frame.status("caught_up").is_some()).await;
    frames.pop();
    (client, http, frames.into_iter().map(|frame| frame.json).collect())
}

fn events(page: &Value) -> Vec<Value> {
    page["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn walking_forward_or_back_covers_everything_once() {
    let server = TestServer::start().await;
    let (client, http, all) = world(&server).await;
    let head = all.last().unwrap()["seq"].as_u64().unwrap();
    for limit in [1, 2, 3, 7, 500] {
        let mut forward = Vec::new();
        let mut after = client.at(0);
        loop {
            let page = http.get(&format!("{ALL}&limit={limit}&after={after}")).await.json().clone();
            assert!(events(&page).len() <= limit);
            assert_eq!(page["cursor"], client.at(head));
            forward.extend(events(&page));
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(forward, all, "forward, {limit} at once");

        let mut back = Vec::new();
        let mut path = format!("{ALL}&limit={limit}");
        loop {
            let page = http.get(&path).await.json().clone();
            back.splice(0..0, events(&page));
            match page["prev"].as_str() {
                Some(prev) => path = format!("{ALL}&limit={limit}&before={prev}"),
                None => break,
            }
        }
        assert_eq!(back, all, "back, {limit} at once");
    }
}

#[tokio::test]
async fn a_page_turns_both_ways() {
    let server = TestServer::start().await;
    let (client, http, all) = world(&server).await;
    let seq = |at: usize| all[at]["seq"].as_u64().unwrap();
    let middle = http.get(&format!("{ALL}&limit=4&after={}", client.at(seq(5)))).await.json().clone();
    assert_eq!(events(&middle), all[6..10]);
    let next = http.get(&format!("{ALL}&limit=4&after={}", middle["next"].as_str().unwrap())).await.json().clone();
    assert_eq!(events(&next), all[10..14]);
    let prev = http.get(&format!("{ALL}&limit=4&before={}", middle["prev"].as_str().unwrap())).await.json().clone();
    assert_eq!(events(&prev), all[2..6]);
    let back = http.get(&format!("{ALL}&limit=4&after={}", prev["next"].as_str().unwrap())).await.json().clone();
    assert_eq!(events(&back), all[6..10]);
    let newest = http.get(&format!("{ALL}&limit=3")).await.json().clone();
    assert_eq!(events(&newest), all[all.len() - 3..]);
    assert_eq!(newest.get("next"), None);
    // Nothing is behind the newest, and the way back begins there all the same.
    let behind = http.get(&format!("{ALL}&after={}", newest["cursor"].as_str().unwrap())).await.json().clone();
    assert_eq!(events(&behind), [0; 0]);
    let back = http.get(&format!("{ALL}&limit=3&before={}", behind["prev"].as_str().unwrap())).await.json().clone();
    assert_eq!(events(&back), all[all.len() - 3..]);
    http.get(&format!("{ALL}&before={}", client.at(seq(all.len() - 1) + 2))).await.problem("UNRESUMABLE");
}

#[tokio::test]
async fn pages_hold_what_was_asked_for() {
    let server = TestServer::start().await;
    let (client, http, all) = world(&server).await;
    let of = |kinds: &[&str]| -> Vec<Value> {
        let kind = |frame: &Value| match frame["type"] == "chat_response" {
            true => "sse".to_owned(),
            false => frame["payload"]["eventType"].as_str().unwrap().to_owned(),
        };
        all.iter().filter(|frame| kinds.contains(&kind(frame).as_str())).cloned().collect()
    };
    for types in ["message", "world", "sse", "system", "message,system", "sse,message,world"] {
        let kinds: Vec<&str> = types.split(',').collect();
        let page = http.get(&format!("/worlds/w/events?types={types}&limit=500")).await;
        assert_eq!(events(page.json()), of(&kinds), "{types}");
    }
    let usual = http.get("/worlds/w/events?limit=500").await;
    assert_eq!(events(usual.json()), of(&["message", "world", "sse"]));
    let a2 = http.get(&format!("{ALL}&limit=500&agent=A2")).await;
    let a2 = events(a2.json());
    assert!(
        a2.iter().all(|frame| frame["payload"]["agentName"] != "a1" && frame["payload"]["event"]["sender"] != "a1")
    );
    assert!(a2.iter().any(|frame| frame["payload"]["agentName"] == "a2"));
    let both = format!("{ALL}&before={}&after={}", client.at(9), client.at(1));
    http.get(&both).await.problem("INVALID_MESSAGE");
    http.get(&format!("{ALL}&before={}", client.at(9_999))).await.problem("UNRESUMABLE");
}

#[tokio::test]
async fn the_tail_follows_from_where_it_was_left() {
    let server = TestServer::start().await;
    let (mut client, http, all) = world(&server).await;
    let accept = ("accept", "text/event-stream");
    // From now on.
    let mut live = http.stream("GET", ALL, &[accept], None).await;
    let left_at = client.at(all[all.len() - 3]["seq"].as_u64().unwrap());
    let mut resumed = http.stream("GET", ALL, &[accept, ("last-event-id", &left_at)], None).await;
    let caught_up = resumed.until(|frame| frame.status("caught_up").is_some()).await;
    assert_eq!(caught_up.len(), 3);
    let root = client.say("@a1 SLOW").await["messageId"].as_str().unwrap().to_owned();
    let (live, resumed) = (live.until(|f| f.settles(&root)).await, resumed.until(|f| f.settles(&root)).await);
    let durable = |events: &[crate::support::SseEvent]| -> Vec<String> {
        events.iter().filter(|event| event.id.is_some()).map(|event| event.frame.text.clone()).collect()
    };
    assert_eq!(durable(&live), durable(&resumed));
    assert!(live.iter().any(|event| event.frame.is_delta()));
    assert!(live.iter().all(|event| event.frame.status("caught_up").is_none()));
    let after: Vec<Frame> = client.until_settled(&root).await;
    let live_ws: Vec<String> = after.iter().filter(|f| f.seq().is_some()).map(|f| f.text.clone()).collect();
    assert_eq!(durable(&live), live_ws, "the same bytes on both transports");
}

#[tokio::test]
async fn accept_decides_between_page_and_tail() {
    let server = TestServer::start().await;
    let (_client, http, _) = world(&server).await;
    for (accept, media) in [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("application/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.1", "text/event-stream"),
    ] {
        let found = http.try_stream("GET", "/worlds/w/events", &[("accept", accept)], None).await;
        let given = if found.is_ok() { "text/event-stream" } else { "application/json" };
        assert_eq!(given, media, "{accept:?}");
    }
    let Err(answer) = http.try_stream("GET", "/worlds/w/events", &[("accept", "text/html")], None).await else {
        panic!()
    };
    answer.problem("NOT_ACCEPTABLE");
    let template = http.get("/worlds/duo/events").await;
    template.problem("WORLD_NOT_FOUND");
}
