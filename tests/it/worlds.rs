//! Worlds: cloned from templates, opened again, moved between, and gone when nobody wants them.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestServer, eventually};

#[tokio::test]
async fn a_new_world_is_a_clone_of_its_template() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let selected = client
        .select_with(
            json!({"templateName": "duo", "worldName": "Tuesday 1", "title": "Dienstag, 世界", "persistent": true}),
        )
        .await;
    assert_eq!(selected["worldName"], "Tuesday 1");
    assert_eq!(selected["title"], "Dienstag, 世界");
    assert_eq!(selected["templateName"], "duo");
    assert_eq!(selected["worldState"], json!({"name": "Tuesday 1", "turnLimit": 3}));
    assert_eq!(selected["persistent"], true);
    let agents = selected["agents"].as_array().unwrap();
    assert_eq!(agents.iter().map(|agent| &agent["name"]).collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(agents.iter().all(|agent| agent["status"] == "active" && agent["llmCallCount"] == 0));
    assert!(client.drain().await.is_empty(), "what made the world lies before its cursor");
}

#[tokio::test]
async fn an_existing_world_is_opened_as_it_stands() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "stage", "worldName": "My-World", "title": "first"})).await;
    client.ok("agent_update", json!({"agentName": "a1", "config": {"temperature": 0.5}})).await;
    client.converse("@a1 hi").await;
    let again = client.select_with(json!({"templateName": "STAGE", "worldName": "my-world", "title": "second"})).await;
    assert_eq!(again["worldName"], "My-World", "as it was first written");
    assert_eq!(again["title"], "first");
    assert_eq!(again["agents"][0]["config"]["temperature"], 0.5);
    assert_eq!(again["agents"][0]["llmCallCount"], 1);
    let error = client.fails("world_select", json!({"templateName": "duo", "worldName": "my-world"}), "CONFLICT").await;
    assert_eq!(error["retryable"], false);
}

#[tokio::test]
async fn an_unknown_template_names_the_known_ones() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let error =
        client.fails("world_select", json!({"templateName": "nowhere", "worldName": "w"}), "TEMPLATE_NOT_FOUND").await;
    let known = error["details"]["known"].as_array().unwrap();
    for name in ["default-world", "debate", "writers-room", "stage", "duo"] {
        assert!(known.contains(&json!(name)), "{known:?}");
    }
}

#[tokio::test]
async fn persistent_is_never_taken_back() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (asked, given) in [(false, false), (true, true), (false, true)] {
        let selected =
            client.select_with(json!({"templateName": "stage", "worldName": "w", "persistent": asked})).await;
        assert_eq!(selected["persistent"], given);
    }
}

#[tokio::test]
async fn nothing_of_the_old_world_follows_the_move_to_another() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select("stage", "old").await;
    let root = client.say("@a1 SLOW").await["messageId"].as_str().unwrap().to_owned();
    client.expect(|frame| frame.is_start()).await;
    client.send("world_select", json!({"templateName": "stage", "worldName": "new"})).await;
    client.until(|frame| frame.kind() == "world_selected").await;
    let frames = client.converse("SLOW too").await;
    assert!(frames.iter().all(|frame| frame.payload()["worldName"] != "old"), "{frames:#?}");
    // What was left goes on: its reply is there, whole, when its user comes back.
    client.select("stage", "old").await;
    let after = client.at(0);
    client.select_with(json!({"templateName": "stage", "worldName": "old", "after": after})).await;
    let frames = client.until_settled(&root).await;
    assert!(frames.iter().any(|frame| frame.ends("a1") && frame.payload()["finishReason"] == "stop"), "{frames:#?}");
}

#[tokio::test]
async fn a_failed_select_changes_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    client.ok("event_subscribe", json!({"eventTypes": ["message"]})).await;
    for (payload, code) in [
        (json!({"templateName": "nowhere", "worldName": "x"}), "TEMPLATE_NOT_FOUND"),
        (json!({"templateName": "duo", "worldName": "w"}), "CONFLICT"),
        (json!({"templateName": "stage", "worldName": "w", "after": "aaaaaaaaaaaaaaaa:1"}), "UNRESUMABLE"),
    ] {
        client.fails("world_select", payload, code).await;
        let root = client.say("@a1 hi").await["messageId"].as_str().unwrap().to_owned();
        let posted =
            client.until(|frame| frame.event("message").is_some_and(|m| m["inReplyTo"] == root.as_str())).await;
        assert!(posted.iter().all(|frame| frame.event("message").is_some()), "the filter still holds: {posted:#?}");
    }
}

#[tokio::test]
async fn an_ephemeral_world_goes_after_the_grace_period_and_a_persistent_one_stays() {
    let server = TestServer::with(|config| config.grace = Duration::from_millis(400)).await;
    let mut client = server.client().await;
    client.select("stage", "fleeting").await;
    client.select_with(json!({"templateName": "stage", "worldName": "lasting", "persistent": true})).await;
    client.select("stage", "held").await;
    let http = server.http_of(client.token());
    // Being selected holds a world; the list does not touch any.
    let names = || async {
        let worlds = http.get("/session/worlds").await;
        let mut names: Vec<String> =
            worlds.json().as_array().unwrap().iter().map(|w| w["worldName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    eventually("the unused ephemeral world is deleted", || async { names().await == ["held", "lasting"] }).await;
    client.converse("@a1 still here?").await;
    client.close().await;
    eventually("the left one is, too", || async { names().await == ["lasting"] }).await;
}

#[tokio::test]
async fn a_running_turn_holds_an_ephemeral_world() {
    let server = TestServer::with(|config| config.grace = Duration::from_millis(200)).await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    let token = client.token().to_owned();
    let root = client.say("@a1 SLOW @a1").await["messageId"].as_str().unwrap().to_owned();
    let cursor = client.at(0);
    client.close().await;
    // 400 ms of reply against 200 ms of grace.
    let mut client = server.client_of(&token).await;
    client.select_with(json!({"templateName": "stage", "worldName": "w", "after": cursor})).await;
    client.until_settled(&root).await;
}

#[tokio::test]
async fn a_persistent_world_comes_back_as_it_was() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "duo", "worldName": "w", "persistent": true, "title": "T"})).await;
    let before = client.converse("@alice start").await;
    client
        .ok("agent_update", json!({"agentName": "bob", "config": {"systemPrompt": "Be brief.", "apiKey": "sk-1"}}))
        .await;
    let token = client.token().to_owned();
    let cursor = client.at(0);
    server.restart().await;
    let mut client = server.client_of(&token).await;
    let selected = client.select_with(json!({"templateName": "duo", "worldName": "w", "after": cursor})).await;
    assert_eq!(selected["title"], "T");
    assert_eq!(selected["agents"][0]["llmCallCount"], 2);
    assert_eq!(selected["agents"][1]["config"]["systemPrompt"], "Be brief.");
    assert_eq!(selected["agents"][1]["config"]["hasApiKey"], true);
    let replayed = client.until(|frame| frame.status("caught_up").is_some()).await;
    for frame in before.iter().filter(|frame| frame.seq().is_some()) {
        assert!(replayed.iter().any(|again| again.text == frame.text), "lost: {}", frame.text);
    }
    // The turn counts are there, too: alice has two calls behind her until a human speaks.
    let counts = client.converse("@alice start").await;
    assert_eq!(counts.iter().filter(|frame| frame.is_start()).count(), 3);
}

#[tokio::test]
async fn a_deleted_world_closes_its_connections_4004() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.select("stage", "w").await;
    let http = server.http_of(client.token());
    let mut deaf = server.client_of(client.token()).await;
    deaf.select("stage", "w").await;
    deaf.ok("event_unsubscribe", json!({})).await;
    assert_eq!(http.delete("/worlds/w").await.status, 204);
    assert_eq!(client.closed().await.0, Some(4004));
    assert_eq!(deaf.closed().await.0, Some(4004), "without a subscription, too");
    http.get("/worlds/w").await.problem("WORLD_NOT_FOUND");
    let mut client = server.client_of(http.token()).await;
    let fresh = client.select("duo", "w").await;
    assert_eq!(fresh["templateName"], "duo", "the name is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_world_is_deleted_is_told_that_it_is_gone() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..60 {
        http.world("w").await;
        let follow = || http.try_stream("GET", "/worlds/w/events", &[("accept", "text/event-stream")], None);
        let (deleted, streams) = tokio::join!(http.delete("/worlds/w"), join_all((0..12).map(|_| follow())));
        assert_eq!(deleted.status, 204);
        for stream in streams {
            match stream {
                Ok(stream) => {
                    let events = timeout(PATIENCE, stream.rest()).await.expect("it ends");
                    let last = events.last().expect("it is told");
                    assert_eq!(last.frame.payload()["code"], "WORLD_NOT_FOUND", "{events:?}");
                    opened += 1;
                }
                Err(answer) => {
                    answer.problem("WORLD_NOT_FOUND");
                    refused += 1;
                }
            }
        }
    }
    println!("{opened} streams, {refused} refusals");
    assert!(opened > 20 && refused > 20, "{opened} streams, {refused} refusals: there was no race");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_free_again_as_soon_as_its_world_is_deleted() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let mut made = 0;
    for _ in 0..100 {
        http.world("w").await;
        let (deleted, again) =
            tokio::join!(http.delete("/worlds/w"), http.put("/worlds/w", json!({"templateName": "stage"})));
        assert_eq!(deleted.status, 204);
        assert!(matches!(again.status, 200 | 201), "{}", again.text);
        made += usize::from(again.status == 201);
        if again.status == 201 {
            assert_eq!(http.delete("/worlds/w").await.status, 204);
        }
    }
    println!("{made} made");
    assert!(made > 0, "there was no race");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_thousand_worlds_and_not_one_more() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let make =
        async |number: usize| http.put(&format!("/worlds/w{number}"), json!({"templateName": "stage"})).await.status;
    for round in 0..10 {
        join_all((0..99).map(|number| make(100 * round + number))).await;
    }
    let last = join_all((0..30).map(|number| make(2_000 + number))).await;
    let (made, refused) =
        (last.iter().filter(|status| **status == 201).count(), last.iter().filter(|status| **status == 409).count());
    assert_eq!((made, refused), (10, 20));
    assert_eq!(http.get("/session/worlds").await.json().as_array().map(Vec::len), Some(1_000));
}
