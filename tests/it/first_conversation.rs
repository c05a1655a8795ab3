//! What the README promises to whoever pastes its first example.

use serde_json::{Value, json};

use crate::support::{Process, TestServer, schemas};

/// The two frames of the example, as they are written there.
const SELECT: &str = r#"{
  "id": "msg-1",
  "type": "world_select",
  "timestamp": "2026-01-15T10:00:00.000Z",
  "payload": {"templateName": "default-world", "worldName": "my-world", "persistent": false}
}"#;
const SEND: &str = r#"{
  "id": "msg-2",
  "type": "chat_send",
  "timestamp": "2026-01-15T10:00:01.000Z",
  "payload": {"content": "Hello, agents!", "sender": "HUMAN"}
}"#;

#[tokio::test]
async fn the_example_gets_complete_replies() {
    let data = tempfile::tempdir().unwrap();
    let server = Process::start(&data.path().join("data"), &[]).await;
    let mut client = server.client().await;
    client.send_raw(SELECT).await;
    client.send_raw(SEND).await;

    let selected = client.next().await;
    assert_eq!((selected.kind(), &selected.json["replyTo"]), ("world_selected", &json!("msg-1")));
    assert_eq!(selected.payload()["worldName"], "my-world");
    assert_eq!(selected.payload()["success"], true);
    assert_eq!(selected.payload()["agents"].as_array().map(Vec::len), Some(2));

    let accepted = client.next().await;
    assert_eq!(accepted.json["replyTo"], "msg-2");
    let data = accepted.status("message_accepted").expect("an acknowledgement").clone();
    assert_eq!(data["answering"], json!(["guide", "critic"]));
    assert_eq!(data["duplicate"], false);

    let root = data["messageId"].as_str().unwrap();
    let frames = client.until_settled(root).await;
    for agent in ["guide", "critic"] {
        let of_agent = |frame: &&crate::support::Frame| frame.reply().is_some_and(|reply| reply["agentName"] == agent);
        let replies: Vec<_> = frames.iter().filter(of_agent).collect();
        let (start, end) = (replies.first().unwrap(), replies.last().unwrap());
        assert!(start.is_start() && end.is_end(), "{agent}: {replies:#?}");
        assert_eq!(end.payload()["finishReason"], "stop");
        let text: String =
            replies.iter().filter(|f| f.is_delta()).map(|f| f.payload()["content"].as_str().unwrap()).collect();
        assert_eq!(end.payload()["content"], text, "the deltas are the whole text");
        assert_eq!(end.payload()["rootId"], root);
        assert_eq!(end.payload()["inReplyTo"], root);
        let posted = |frame: &crate::support::Frame| {
            frame.event("message").is_some_and(|m| m["messageId"] == end.payload()["messageId"] && m["content"] == text)
        };
        assert!(frames.iter().any(posted), "{agent}: the reply is posted");
    }
    let seqs: Vec<u64> = frames.iter().filter_map(crate::support::Frame::seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!(seqs.first(), data["seq"].as_u64().as_ref(), "the message itself comes first");
}

#[tokio::test]
async fn an_answer_comes_before_the_pushes_that_it_causes() {
    let server = TestServer::start().await;
    let mut client = server.in_world("w").await;
    for _ in 0..10 {
        client.send_frame(json!({"id": "say", "type": "chat_send", "payload": {"content": "hi"}})).await;
        let first = client.next().await;
        assert_eq!(first.json["replyTo"], "say", "{}", first.text);
        let root = first.payload()["data"]["messageId"].as_str().unwrap().to_owned();
        client.until_settled(&root).await;
    }
}

/// All examples of the schema are frames that the server understands: none is refused as invalid.
#[tokio::test]
async fn every_example_of_a_client_message_is_understood() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut examples = 0;
    for kind in schemas().client_types() {
        for payload in schemas().files()[&format!("client/{kind}.json")]["examples"].as_array().unwrap() {
            let answer = client.request(kind, payload.clone()).await;
            let code = answer.payload().get("code").and_then(Value::as_str);
            assert!(!matches!(code, Some("INVALID_MESSAGE" | "SERVER_ERROR")), "{kind} {payload}: {}", answer.text);
            examples += 1;
        }
    }
    assert!(examples >= 25, "{examples}");
}
