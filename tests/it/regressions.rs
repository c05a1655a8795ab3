//! The 22 points of docs/PROTOCOL.md §9, which an earlier implementation got wrong: each is a test here, or is held
//! by tests elsewhere, whose names stand in [`HELD`].

use serde_json::json;

use crate::support::{Process, TestServer};

/// Which tests hold which point. Those that begin with `r` and the number are below.
const HELD: [&[&str]; 22] = [
    &["first_conversation::the_example_gets_complete_replies"],
    &["first_conversation::the_example_gets_complete_replies", "agents::every_end_says_how_the_reply_ended"],
    &["agents::two_agents_talk_by_mention_until_one_turns_to_the_human"],
    &["regressions::r04_a_world_named_like_a_template_is_not_the_template"],
    &["secrets::no_key_ever_leaves", "isolation::worlds_of_the_same_name_are_two_worlds"],
    &["regressions::r06_no_name_is_a_path", "frames::malformed_frames_get_one_error_each_and_the_connection_lives"],
    &["secrets::no_key_ever_leaves"],
    &["regressions::r08_an_update_sets_only_what_may_be_set"],
    &["regressions::r09_frames_sent_right_after_connecting_are_not_lost"],
    &["regressions::r10_an_empty_data_directory_is_fine"],
    &["agents::the_turn_limit_hands_over_and_a_human_unlocks_the_agents"],
    &["models::the_current_message_is_sent_once_and_the_prompt_first"],
    &["agents::every_end_says_how_the_reply_ended", "models::the_current_message_is_sent_once_and_the_prompt_first"],
    &["resume::a_connection_has_one_subscription_however_much_it_says"],
    &["messages::a_world_is_named_by_its_own_name_only", "isolation::no_message_reaches_another_user_s_world"],
    &[
        "frames::the_largest_frame_is_read_and_one_byte_more_closes_1009",
        "frames::malformed_frames_get_one_error_each_and_the_connection_lives",
        "handshake::only_this_machine_s_pages_and_names_are_served",
    ],
    &[
        "worlds::an_ephemeral_world_goes_after_the_grace_period_and_a_persistent_one_stays",
        "regressions::r17_what_is_left_is_deleted",
    ],
    &["agents::passing_tells_the_human_and_wakes_nobody"],
    &["models::settings_are_sent_as_they_are", "models::a_model_that_is_not_there_is_one_error"],
    &["regressions::r20_names_that_normalise_alike_are_one_or_two_but_never_overwrite"],
    &["agents::an_inactive_agent_remembers_and_does_not_answer", "agents::target_agent_overrides_mentions"],
    &["regressions::r22_patch_keeps_config_and_malformed_json_is_the_client_s_fault"],
];

#[test]
fn every_point_is_held_by_tests_that_exist() {
    for (at, names) in HELD.iter().enumerate() {
        assert!(!names.is_empty(), "point {}", at + 1);
        for name in *names {
            let (module, test) = name.split_once("::").unwrap();
            assert!(super::floor::has(module, test), "point {}: there is no test {name}", at + 1);
        }
    }
}

#[tokio::test]
async fn r04_a_world_named_like_a_template_is_not_the_template() {
    let server = TestServer::start().await;
    let mut client = server.in_world("stage").await;
    let before = server.http().get("/worlds/stage").await.json()["worldState"].clone();
    client.ok("agent_update", json!({"agentName": "a1", "config": {"systemPrompt": "changed"}})).await;
    let http = server.http_of(client.token());
    http.patch("/worlds/stage", json!({"turnLimit": 50})).await;
    http.delete("/worlds/stage/agents/a2").await;
    let template = server.http().get("/worlds/stage").await;
    assert_eq!(template.json()["worldState"], before);
    assert_eq!(template.json()["agents"].as_array().unwrap().len(), 2);
    assert!(!template.text.contains("changed"));
    let mut other = server.client().await;
    assert_eq!(other.select("stage", "stage").await["agents"].as_array().unwrap().len(), 2);
    client.select("stage", "another").await;
    assert_eq!(http.get("/worlds/another").await.json()["agents"][0]["config"]["systemPrompt"], "You are a1.");
}

#[tokio::test]
async fn r06_no_name_is_a_path() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let http = server.session().await;
    for name in
        ["../../../x", "..", "/etc/passwd", "a/../../b", "C:\\x", "a\\b", "~", "a.b", "x\0", "%2e%2e", ".hidden"]
    {
        let frame = json!({"id": "p", "type": "world_select", "payload": {"templateName": "stage", "worldName": name}});
        client.refused(frame.to_string()).await;
        if name == ".." {
            // No client of HTTP sends that; it goes up by itself before.
            continue;
        }
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = http.put(&format!("/worlds/{escaped}"), json!({"templateName": "stage"})).await;
        answer.problem("INVALID_MESSAGE");
    }
    let outside: Vec<_> =
        std::fs::read_dir(server.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["data"], "nothing beside the data directory");
}

#[tokio::test]
async fn r08_an_update_sets_only_what_may_be_set() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for field in ["hasApiKey", "llmCallCount", "name", "status", "createdAt", "__proto__", "constructor", "memory"] {
        let frame = json!({"id": "u", "type": "agent_update", "payload": {"agentName": "a1", "config": {field: 1}}});
        let answer = client.refused(frame.to_string()).await;
        assert_eq!(answer.payload()["details"]["errors"][0]["keyword"], "additionalProperties", "{field}");
    }
    let state = client.ok("world_reload", json!({})).await;
    assert_eq!(
        state["agents"][0]["config"],
        json!({"provider": "script", "systemPrompt": "You are a1.", "hasApiKey": false})
    );
}

#[tokio::test]
async fn r09_frames_sent_right_after_connecting_are_not_lost() {
    let server = TestServer::start().await;
    for _ in 0..10 {
        // Not even `connected` is waited for.
        let mut client = crate::support::Client::open(&server, crate::support::Opening::default()).await.unwrap();
        client
            .send_frame(
                json!({"id": "1", "type": "world_select", "payload": {"templateName": "stage", "worldName": "w"}}),
            )
            .await;
        for number in 2..20 {
            client
                .send_frame(json!({"id": number.to_string(), "type": "chat_send", "payload": {"content": "@human hi"}}))
                .await;
        }
        client.send_frame(json!({"id": "20", "type": "ping"})).await;
        client.greeting().await;
        let frames = client.until(|frame| frame.json["replyTo"] == "20").await;
        let answers: Vec<&str> = frames.iter().filter_map(|frame| frame.json["replyTo"].as_str()).collect();
        let expected: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
        assert_eq!(answers, expected, "all answered, in order");
        assert!(frames.iter().all(|frame| frame.kind() != "error"));
    }
}

#[tokio::test]
async fn r10_an_empty_data_directory_is_fine() {
    let data = tempfile::tempdir().unwrap();
    // There, and empty; not there at all is what every other test begins with.
    let server = Process::start(data.path(), &[]).await;
    let mut client = server.client().await;
    client.select("default-world", "w").await;
    client.converse("@guide hi").await;
    assert!(server.http().get("/worlds").await.json().as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn r17_what_is_left_is_deleted() {
    let server = TestServer::with(|config| config.grace = std::time::Duration::from_millis(100)).await;
    for _ in 0..3 {
        let mut client = server.in_world("w").await;
        client.converse("@a1 hi").await;
        client.close().await;
    }
    let http = server.http();
    crate::support::eventually("no world is left", || async { http.get("/health").await.json()["worlds"] == 0 }).await;
}

#[tokio::test]
async fn r20_names_that_normalise_alike_are_one_or_two_but_never_overwrite() {
    let server = TestServer::start().await;
    let http = server.session().await;
    // Differing in ASCII case only: one. In anything else: two.
    for (name, status) in [
        ("My-World", 201),
        ("my-world", 200),
        ("my_world", 201),
        ("my world", 201),
        ("MY WORLD", 200),
        ("myworld", 201),
    ] {
        let path = format!("/worlds/{}", name.replace(' ', "%20"));
        assert_eq!(http.put(&path, json!({"templateName": "stage"})).await.status, status, "{name}");
    }
    for (name, status) in [("Bob", 201), ("bob", 409), ("bo-b", 201), ("bo_b", 201), ("BO_B", 409)] {
        let made = http.post("/worlds/my-world/agents", Some(json!({"name": name, "config": {}}))).await;
        assert_eq!(made.status, status, "{name}");
    }
    assert_eq!(http.get("/session/worlds").await.json().as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn r22_patch_keeps_config_and_malformed_json_is_the_client_s_fault() {
    let server = TestServer::start().await;
    let http = server.session().await;
    http.world("w").await;
    let path = "/worlds/w/agents/a1";
    let patched = http.patch(path, json!({"status": "inactive", "config": {"model": "m", "temperature": 0.25}})).await;
    assert_eq!(patched.json()["config"]["model"], "m");
    assert_eq!(patched.json()["config"]["systemPrompt"], "You are a1.");
    assert_eq!(http.get(path).await.json(), patched.json());
    for body in ["{", "", "nul", "{\"a\":}", "\u{feff}{}", "{} x"] {
        let answer = http.call("PATCH", path, &[], Some(body.as_bytes().to_vec())).await;
        assert_eq!(
            (answer.status, answer.problem("INVALID_MESSAGE")["errors"][0]["keyword"].as_str()),
            (400, Some("syntax"))
        );
    }
}
