//! Cancelling a reply at each of its chunks: one end, nothing after it, nothing of it remembered, and the model's
//! connection closed.

use serde_json::{Value, json};

use crate::{
    model::{Model, world_with},
    random::size,
    support::{Client, Frame, Http, TestServer},
};

const CHUNKS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Reply,
    Question,
    World,
    Delete,
    Leaving,
}

const WAYS: [By; 5] = [By::Reply, By::Question, By::World, By::Delete, By::Leaving];

/// Asks; over HTTP, by a stream that is to be kept, if it is leaving that cancels.
async fn ask(by: By, client: &mut Client, http: &Http, text: &str) -> (String, Option<impl Sized + use<>>) {
    if by != By::Leaving {
        return (id(&client.say(text).await), None);
    }
    let mut stream = http.chat("w", "?onDisconnect=cancel", text).await;
    let accepted = stream.until(|frame| frame.status("message_accepted").is_some()).await.pop().expect("it came");
    (id(accepted.frame.status("message_accepted").expect("it is one")), Some(stream))
}

/// Cancels; returns what the answer says was stopped, if there is one.
async fn cancel(by: By, client: &mut Client, http: &Http, root: &str, reply: &str) -> Option<Value> {
    match by {
        By::Reply => Some(client.ok("chat_cancel", json!({"messageId": reply})).await),
        By::Question => Some(client.ok("chat_cancel", json!({"messageId": root})).await),
        By::World => Some(client.ok("chat_cancel", json!({})).await),
        By::Delete => Some(http.delete(&format!("/worlds/w/replies/{reply}")).await.json().clone()),
        By::Leaving => None,
    }
}

fn id(value: &Value) -> String {
    value["messageId"].as_str().expect("an id").to_owned()
}

/// One end, as the last that there is of the reply.
fn one_end<'f>(frames: &'f [Frame], reply: &str) -> &'f Value {
    let of_reply: Vec<&Frame> =
        frames.iter().filter(|frame| frame.reply().is_some_and(|r| r["messageId"] == reply)).collect();
    assert_eq!(of_reply.iter().filter(|frame| frame.is_end()).count(), 1, "one end: {of_reply:#?}");
    assert_eq!(of_reply.iter().filter(|frame| frame.is_start()).count(), 1, "one start: {of_reply:#?}");
    let last = of_reply.last().expect("there is one");
    assert!(last.is_end(), "something follows the end: {of_reply:#?}");
    last.payload()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_can_be_cancelled_at_each_of_its_chunks() {
    let server = TestServer::start().await;
    let mut model = Model::start().await;
    let mut client = server.client().await;
    client.select("empty", "w").await;
    let http = server.http_of(client.token());
    model.agent(&http, "w", "m1").await;
    client.expect(|frame| frame.action("agent-created").is_some()).await;
    let mut trials = 0;
    for by in WAYS {
        for sent in 0..=CHUNKS {
            let (root, stream) = ask(by, &mut client, &http, &format!("@m1 question {trials}")).await;
            let mut call = model.call().await;
            let prompt = call.body.to_string();
            assert!(prompt.contains(&format!("question {trials}")) && !prompt.contains("secret"), "{prompt}");
            let mut frames = client.until(Frame::is_start).await;
            let reply = id(frames.last().expect("a start").payload());
            let chunk = |number: usize| format!("secret {trials}-{number}; ");
            let text: String = (0..sent).map(chunk).collect();
            call.stream().await;
            for number in 0..sent {
                call.chunk(&chunk(number)).await;
                let mark = format!("-{number};");
                let has = |frame: &Frame| {
                    frame.is_delta() && frame.payload()["content"].as_str().is_some_and(|text| text.contains(&mark))
                };
                frames.extend(client.until(has).await);
            }
            let stopped = cancel(by, &mut client, &http, &root, &reply).await;
            if let Some(stopped) = stopped {
                assert_eq!(stopped, json!({"messageIds": [reply], "dropped": 0}), "{by:?} at {sent}");
            }
            drop(stream);
            call.closed().await;
            frames.extend(client.until_settled(&root).await);
            // Once more does no harm.
            let again = cancel(By::Reply, &mut client, &http, &root, &reply).await;
            let deleted = cancel(By::Delete, &mut client, &http, &root, &reply).await;
            assert_eq!(
                [again, deleted],
                [Some(json!({"messageIds": [], "dropped": 0})), Some(json!({"messageIds": [], "dropped": 0}))]
            );
            frames.extend(client.drain().await);
            let end = one_end(&frames, &reply);
            assert_eq!(
                (&end["finishReason"], &end["content"]),
                (&json!("cancelled"), &json!(text)),
                "{by:?} at {sent}"
            );
            let posted =
                |frame: &&Frame| frame.event("message").is_some_and(|message| message["messageId"] == reply.as_str());
            assert_eq!(frames.iter().filter(posted).count(), 0, "what was cancelled is not posted");
            trials += 1;
        }
    }
    // Nothing of it is remembered, whatever came meanwhile.
    let root = id(&client.say("@m1 what do you remember?").await);
    let mut call = model.call().await;
    assert!(!call.body.to_string().contains("secret"), "{}", call.body);
    call.stream().await;
    call.chunk("nothing").await;
    call.finish().await;
    let frames = client.until_settled(&root).await;
    let end = frames.iter().find(|frame| frame.is_end()).expect("an end").payload();
    assert_eq!((&end["finishReason"], &end["content"]), (&json!("stop"), &json!("nothing")));
    // After the last chunk and the end there is nothing to cancel.
    let late = client.ok("chat_cancel", json!({"messageId": end["messageId"]})).await;
    assert_eq!(late, json!({"messageIds": [], "dropped": 0}));
    assert!(trials >= 45);
    println!("cancel: {trials} trials, at each of 0..={CHUNKS} chunks in {} ways", WAYS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_the_end_leaves_one_end() {
    let server = TestServer::start().await;
    let mut model = Model::start().await;
    let mut client = server.client().await;
    let http = server.http_of(client.token());
    world_with(&model, &mut client, &http, "w").await;
    let trials = size("TRIALS", 10_000) / 100;
    let mut cancelled = 0;
    for trial in 0..trials {
        let root = id(&client.say("@m1 go").await);
        let mut call = model.call().await;
        let mut frames = client.until(Frame::is_start).await;
        let reply = id(frames.last().expect("a start").payload());
        call.stream().await;
        call.chunk("whole").await;
        frames.extend(client.until(Frame::is_delta).await);
        let finishing = tokio::spawn(async move {
            for _ in 0..trial % 20 {
                tokio::task::yield_now().await;
            }
            call.finish().await
        });
        let stopped = client.ok("chat_cancel", json!({"messageId": reply})).await;
        finishing.await.expect("no panic");
        frames.extend(client.until_settled(&root).await);
        frames.extend(client.drain().await);
        let end = one_end(&frames, &reply);
        let was_stopped = stopped["messageIds"] == json!([reply]);
        cancelled += u64::from(was_stopped);
        assert_eq!(end["finishReason"], if was_stopped { "cancelled" } else { "stop" }, "{frames:#?}");
        let posted =
            frames.iter().any(|frame| frame.event("message").is_some_and(|m| m["messageId"] == reply.as_str()));
        assert_eq!(posted, !was_stopped);
    }
    println!("cancel against the end: {trials} races, {cancelled} cancelled, {} had ended", trials - cancelled);
}
