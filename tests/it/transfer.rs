//! A world leaves as NDJSON and comes back: whole, without keys, as a world of its own.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Client, Http, TestServer};

async fn import(http: &Http, path: &str, body: &str) -> Answer {
    let media = ("content-type", "application/x-ndjson");
    http.call("POST", path, &[media], Some(body.as_bytes().to_vec())).await
}

/// The line that made the agent `a1`, for another one.
fn agent(lines: &[&str], name: &str) -> String {
    let made = lines.iter().find(|line| line.contains("agentCreated")).expect("an agent");
    made.replace("\"name\":\"a1\"", &format!("\"name\":\"{name}\""))
}

/// The first line of that kind, changed.
fn event(lines: &[&str], kind: &str, change: impl Fn(&mut Value)) -> String {
    let kind = format!("\"kind\":\"{kind}\"");
    let found = lines.iter().find(|line| line.contains(&kind)).expect("an event of the kind");
    let mut line: Value = serde_json::from_str(found).unwrap();
    change(&mut line["event"]);
    line.to_string()
}

/// A turn of `a1` that nobody has given yet, to be asked by `root`.
fn routed(lines: &[&str], root: Uuid) -> String {
    let id = Uuid::now_v7();
    event(lines, "routed", |event| {
        event["rootId"] = json!(root);
        event["turns"] = json!([{"agentName": "a1", "replyId": id}]);
    })
}

/// An export with some lines more.
fn grown(lines: &[&str], more: usize, line: &dyn Fn(usize) -> String) -> String {
    let mut all: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut head: Value = serde_json::from_str(&all[0]).unwrap();
    head.as_object_mut().unwrap().remove("head");
    all[0] = head.to_string();
    for at in 0..more {
        let mut line: Value = serde_json::from_str(&line(at)).unwrap();
        line["seq"] = json!(all.len());
        line["id"] = json!(Uuid::now_v7());
        all.push(line.to_string());
    }
    all.join("\n")
}

/// A world with some history and a key, and its export.
async fn exported(server: &TestServer) -> (Client, Http, String) {
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "stage", "worldName": "w", "title": "T", "persistent": true})).await;
    client.ok("agent_update", json!({"agentName": "a1", "config": {"apiKey": "sk-hush", "temperature": 0.5}})).await;
    client.converse("@a1 ASK2").await;
    let http = server.http_of(client.token());
    let export = http.get("/worlds/w/export").await;
    assert_eq!((export.status, export.header("content-type")), (200, "application/x-ndjson"));
    (client, http, export.text)
}

async fn events(http: &Http, world: &str) -> Vec<Value> {
    let page = http.get(&format!("/worlds/{world}/events?limit=500&types=message,world,sse,system")).await;
    let mut events = page.json()["events"].as_array().unwrap().clone();
    for event in &mut events {
        event["payload"].as_object_mut().unwrap().remove("worldName");
    }
    events
}

#[tokio::test]
async fn a_world_comes_back_whole_and_without_its_keys() {
    let server = TestServer::start().await;
    let (mut client, http, export) = exported(&server).await;
    assert!(!export.contains("sk-hush"));
    assert!(export.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object())));
    import(&http, "/worlds/import", &export).await.problem("CONFLICT");

    let other = server.session().await;
    let made = import(&other, "/worlds/import?worldName=again", &export).await;
    assert_eq!((made.status, &made.json()["worldName"], &made.json()["title"]), (201, &json!("again"), &json!("T")));
    assert_eq!(made.json()["agents"][0]["config"]["hasApiKey"], false);
    assert_eq!(made.json()["agents"][0]["config"]["temperature"], 0.5);
    let mut mine = events(&http, "w").await;
    for event in &mut mine {
        if let Some(agent) = event.pointer_mut("/payload/event/payload/agent/config/hasApiKey") {
            *agent = json!(false);
        }
    }
    assert_eq!(events(&other, "again").await, mine, "the same events under the same numbers");
    assert_ne!(
        made.json()["cursor"].as_str().unwrap().split(':').next(),
        client.cursor.split(':').next(),
        "a log of its own"
    );
    // It goes on where it was.
    let frames = other.chat("again", "", "@a1 hi").await.rest().await;
    assert!(
        frames.iter().any(|event| event.frame.is_end() && event.frame.payload()["content"] == "a1 heard you, call 2.")
    );
    assert!(client.drain().await.iter().all(|frame| frame.payload()["worldName"] == "w"));
}

#[tokio::test]
async fn what_was_under_way_is_over_when_it_comes_back() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    let root = client.say("@a1 HANG").await["messageId"].clone();
    client.expect(|frame| frame.is_start()).await;
    client.say("@a1 HANG").await;
    let export = server.http_of(client.token()).get("/worlds/w/export").await.text;
    let http = server.session().await;
    assert_eq!(import(&http, "/worlds/import", &export).await.status, 201);
    let page = http.get("/worlds/w/events?limit=500").await;
    let events = page.json()["events"].as_array().unwrap();
    let ends: Vec<_> = events.iter().filter(|event| event["payload"]["complete"] == true).collect();
    assert_eq!(ends.len(), 1, "{events:#?}");
    assert_eq!(ends[0]["payload"]["finishReason"], "interrupted");
    assert_eq!(ends[0]["payload"]["rootId"], root);
    let settled = events.iter().filter(|event| event["payload"]["event"]["payload"]["action"] == "settled");
    assert_eq!(settled.count(), 2);
    // The agent is free, and what was interrupted may be asked again.
    let frames = http.chat("w", "", "@a1 hi").await.rest().await;
    assert!(frames.iter().any(|event| event.frame.is_end() && event.frame.payload()["finishReason"] == "stop"));
    let mut again = server.client_of(http.token()).await;
    again.select("stage", "w").await;
    again.ok("chat_retry", json!({"messageId": ends[0]["payload"]["messageId"]})).await;
    again.expect(|frame| frame.is_start()).await;
}

#[tokio::test]
async fn what_is_no_export_is_refused_whole() {
    let server = TestServer::start().await;
    let (_client, _, export) = exported(&server).await;
    let http = server.session().await;
    let lines: Vec<&str> = export.lines().collect();
    let root = Uuid::now_v7();
    let settled = event(&lines, "settled", |event| event["rootId"] = json!(root));
    let gone =
        event(&lines, "agentCreated", |event| *event = json!({"v": 1, "kind": "agentDeleted", "agentName": "a1"}));
    let field = |line: &str, name: &str| serde_json::from_str::<Value>(line).unwrap()[name].clone();
    let id_of = |line: &str| field(line, "id").as_str().unwrap().to_owned();
    let at_of = |line: &str| format!("\"atMs\":{}", field(line, "atMs"));
    let without = |gone: usize| [&lines[..gone], &lines[gone + 1..]].concat().join("\n");
    for (why, body) in [
        ("nothing", String::new()),
        ("no JSON", "export".to_owned()),
        ("no head", without(0)),
        ("no creation", without(1)),
        ("a gap", without(3)),
        ("twice the same", format!("{export}{}", lines[lines.len() - 1])),
        ("only a head", lines[0].to_owned()),
        ("a piece of one", lines[..lines.len() - 1].join("\n")),
        ("an unknown event", grown(&lines, 1, &|_| event(&lines, "message", |event| event["kind"] = json!("sung")))),
        ("a path as name", export.replacen("\"w\"", "\"../w\"", 1)),
        ("a newer version", export.replacen("\"version\":1", "\"version\":99", 1)),
        ("an agent twice", export.replace("\"name\":\"a2\"", "\"name\":\"A1\"")),
        ("a reserved name", export.replace("\"name\":\"a2\"", "\"name\":\"human\"")),
        ("more agents than a world holds", grown(&lines, 65, &|at| agent(&lines, &format!("b{at}")))),
        (
            "a change of an agent that is not there",
            grown(&lines, 1, &|_| agent(&lines, "b").replace("Created", "Updated")),
        ),
        ("an end that contradicts itself", export.replace("\"finishReason\":\"stop\"", "\"finishReason\":\"error\"")),
        ("a text that no reply has", export.replace("@a1 ASK2", &"x".repeat(256 * 1024 + 100))),
        ("a message twice", grown(&lines, 1, &|_| event(&lines, "message", |_| {}))),
        ("a reply that starts twice", grown(&lines, 1, &|_| event(&lines, "replyStarted", |_| {}))),
        ("a reply that ends twice", grown(&lines, 1, &|_| event(&lines, "replyEnded", |_| {}))),
        ("a turn twice", grown(&lines, 1, &|_| event(&lines, "routed", |_| {}))),
        ("a turn of nobody", grown(&lines, 1, &|_| routed(&lines, root).replace("\"a1\"", "\"nobody\""))),
        ("more turns than wait for an agent", grown(&lines, 33, &|_| routed(&lines, root))),
        ("an end of what is under way", grown(&lines, 2, &|at| [routed(&lines, root), settled.clone()][at].clone())),
        ("an agent that goes with its turns", grown(&lines, 2, &|at| [routed(&lines, root), gone.clone()][at].clone())),
        ("a record twice", export.replace(&id_of(lines[3]), &id_of(lines[2]))),
        ("an id of another kind", export.replace(&id_of(lines[3]), "6e8bc430-9c3a-4d3b-8d3a-0305e82c3301")),
        ("a time that cannot be written", export.replace(&at_of(lines[3]), "\"atMs\":999999999999999")),
        ("another template", export.replacen("\"templateName\":\"stage\"", "\"templateName\":\"empty\"", 1)),
        ("somebody else as the human", export.replace("\"sender\":\"human\"", "\"sender\":\"a1\"")),
    ] {
        assert_ne!(body, export, "{why}");
        let answer = import(&http, "/worlds/import", &body).await;
        assert!(answer.problem("INVALID_MESSAGE")["errors"][0]["message"].is_string(), "{why}");
    }
    assert_eq!(http.get("/session/worlds").await.json(), &json!([]), "nothing of it was made");
    import(&server.http(), "/worlds/import", &export).await.problem("UNAUTHENTICATED");
    let json = http.call("POST", "/worlds/import", &[], Some(export.into_bytes())).await;
    json.problem("UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_queue_that_is_full_comes_back_and_is_over() {
    let server = TestServer::start().await;
    let (_client, _, export) = exported(&server).await;
    let http = server.session().await;
    let lines: Vec<&str> = export.lines().collect();
    let full = grown(&lines, 32, &|_| routed(&lines, Uuid::now_v7()));
    let answer = import(&http, "/worlds/import", &full).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let settled = |event: &&Value| event["payload"]["event"]["payload"]["action"] == "settled";
    let before = export.matches("\"kind\":\"settled\"").count();
    assert_eq!(events(&http, "w").await.iter().filter(settled).count(), before + 32);
}

/// One thread: if the import kept it, nobody else would be answered before it is through.
#[tokio::test]
async fn a_long_import_lets_others_have_their_turn() {
    let server = TestServer::start().await;
    let (_client, _, export) = exported(&server).await;
    let (http, other) = (server.session().await, server.session().await);
    let lines: Vec<&str> = export.lines().collect();
    let reloaded = event(&lines, "agentCreated", |event| *event = json!({"v": 1, "kind": "worldReloaded"}));
    let long = grown(&lines, 20_000, &|_| reloaded.clone());
    let mut answered = 0;
    let importing = import(&http, "/worlds/import", &long);
    tokio::pin!(importing);
    let answer = loop {
        tokio::select! {
            answer = &mut importing => break answer,
            health = other.get("/health") => answered += usize::from(health.status == 200),
        }
    };
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(answered >= 5, "{answered} requests were answered meanwhile");
}
