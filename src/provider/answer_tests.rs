//! What can come back from an address besides a plain reply, in each provider's protocol.

use super::{
    Deadlines, Finish, ProviderKind,
    fake_upstream::{Act, FakeUpstream, Saw, chunk, event_stream, finish, head},
    remote_tests::{USAGE, call, call_of, hear, providers, providers_with},
};
use std::time::Duration;

#[tokio::test]
async fn an_address_that_is_no_models_is_told() {
    for (case, status, kind, body, words) in [
        ("a page", "200 OK", "text/html", "<html>\n\nhello\n\n</html>", ""),
        ("an error", "200 OK", "application/json", r#"{"error": "no endpoint for sk-own"}"#, "no endpoint for (key)"),
        ("a reply that is not streamed", "200 OK", "application/json", r#"{"object": "chat.completion"}"#, ""),
        ("an empty body", "200 OK", "application/json", "", ""),
        ("no body", "204 No Content", "text/plain", "", ""),
        ("an error that calls itself a stream", "200 OK", "text/event-stream", r#"{"message": "what?"}"#, "what?"),
        ("bytes", "200 OK", "application/octet-stream", "\u{1}\u{2}\n\n\u{3}", ""),
    ] {
        let answer = [head(status, &format!("content-type: {kind}\r\n")), body.into()].concat();
        for kind in
            [ProviderKind::OpenAiCompatible, ProviderKind::Anthropic, ProviderKind::Google, ProviderKind::Ollama]
        {
            let upstream = FakeUpstream::start(vec![Act::Send(answer.clone())]).await;
            let error = hear(&providers(), call_of(kind, upstream.url())).await.1.expect_err(case);
            // For Ollama, whose frames are lines, the body of an error is an error in the stream.
            if kind == ProviderKind::Ollama && body.contains("error") {
                assert_eq!(error.message, format!("the provider failed while it answered: {words}"), "{case}");
                continue;
            }
            let told = "the address answered, but not with a reply: is it a model's API (baseUrl)?";
            let words = if words.is_empty() { String::new() } else { format!(" It said: {words}") };
            assert_eq!((error.message, error.retryable), (format!("{told}{words}"), false), "{case}, {kind}");
        }
    }
}

#[tokio::test]
async fn a_reply_is_whole_when_its_end_was_said_and_cut_when_not() {
    let event = |data: &str| format!("data: {data}\n\n");
    let google = |text: &str, end: &str| {
        event(&format!(r#"{{"candidates": [{{"content": {{"parts": [{{"text": "{text}"}}]}}{end}}}]}}"#))
    };
    let ollama = |text: &str, end: &str| format!("{{\"message\": {{\"content\": \"{text}\"}}{end}}}\n");
    let anthropic =
        |kind: &str, rest: &str| format!("event: {kind}\n{}", event(&format!(r#"{{"type": "{kind}"{rest}}}"#)));
    let delta = anthropic("content_block_delta", r#", "delta": {"type": "text_delta", "text": "hi"}"#);
    let unknown = anthropic("content_block_delta", r#", "delta": {"type": "citations_delta", "citation": {}}"#);
    let said =
        |delta: &str, rest: &str| event(&format!(r#"{{"choices": [{{"delta": {delta}{rest}}}], "error": null}}"#));
    let hi = |rest: &str| said(r#"{"content": "hi"}"#, rest);
    let stop = r#", "finish_reason": "stop""#;
    let (compatible, google_, ollama_, anthropic_) =
        (ProviderKind::OpenAiCompatible, ProviderKind::Google, ProviderKind::Ollama, ProviderKind::Anthropic);
    let whole = Ok(Finish::Stop);
    for (case, kind, answer, expected) in [
        ("errors that are null", compatible, hi("") + &said("null", stop) + &event("[DONE]"), whole),
        ("without [DONE]", compatible, hi("") + &said("{}", stop), whole),
        ("without a last line break", compatible, hi("") + "data: [DONE]", whole),
        ("only [DONE]", compatible, hi("") + &event("[DONE]"), whole),
        ("neither", compatible, hi(""), Err("broke off")),
        ("half an event", compatible, hi("") + "data: {\"choi", Err("broke off")),
        (
            "typed pieces",
            compatible,
            hi("").replace(r#""hi""#, r#"[{"type": "text", "text": "hi"}]"#) + &event("[DONE]"),
            whole,
        ),
        (
            "an error of llama.cpp",
            compatible,
            hi("") + "error: {\"code\": 500, \"message\": \"boom\"}\n\n",
            Err("boom"),
        ),
        ("google", google_, google("h", "") + &google("i", r#", "finishReason": "STOP""#), whole),
        ("google, cut", google_, google("hi", ""), Err("broke off")),
        (
            "google, blocked",
            google_,
            google("hi", "") + &event(r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#),
            Err("content filter was triggered (SAFETY)"),
        ),
        (
            "google, an error",
            google_,
            google("hi", "") + &event(r#"{"error": {"message": "overloaded"}}"#),
            Err("overloaded"),
        ),
        ("ollama", ollama_, ollama("hi", "") + &ollama("", r#", "done": true, "done_reason": "stop""#), whole),
        ("an old ollama", ollama_, ollama("hi", r#", "done": false"#) + &ollama("", r#", "done": true"#), whole),
        ("ollama, cut", ollama_, ollama("hi", r#", "done": false"#), Err("broke off")),
        ("ollama, cut in a line", ollama_, ollama("hi", "") + r#"{"mess"#, Err("broke off")),
        ("ollama, an error", ollama_, ollama("hi", "") + "{\"error\": \"out of memory\"}\n", Err("out of memory")),
        ("anthropic", anthropic_, delta.clone() + &unknown + &anthropic("message_stop", ""), whole),
        ("anthropic, cut", anthropic_, delta.clone(), Err("broke off")),
        (
            "anthropic, an error",
            anthropic_,
            delta + &anthropic("error", r#", "error": {"message": "overloaded"}"#),
            Err("overloaded"),
        ),
    ] {
        let upstream = FakeUpstream::start(vec![Act::Send([event_stream(), answer.into()].concat())]).await;
        let (text, end) = hear(&providers(), call_of(kind, upstream.url())).await;
        assert_eq!(text, "hi", "{case}");
        match (end, expected) {
            (Ok((finish, _)), Ok(expected)) => assert_eq!(finish, expected, "{case}"),
            (Err(error), Err(words)) => assert!(error.message.contains(words), "{case}: {error:?}"),
            (end, _) => panic!("{case}: {end:?}"),
        }
    }
}

#[tokio::test]
async fn a_whole_reply_does_not_wait_for_a_connection_that_is_left_open() {
    let end = r#"data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}"#;
    let answer = [event_stream(), chunk("a"), format!("{end}\n\n").into()].concat();
    let upstream = FakeUpstream::start(vec![Act::Send(answer), Act::Hang]).await;
    let heard = hear(&providers(), call(upstream.url())).await;
    assert_eq!(heard, ("a".to_owned(), Ok((Finish::Stop, None))));
}

#[tokio::test]
async fn comments_and_events_without_text_are_signs_of_life() {
    let role = b"data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n".to_vec();
    for sign in [b": keep-alive\n\n".to_vec(), role] {
        let mut acts = vec![Act::Send(event_stream())];
        for _ in 0..8 {
            acts.extend([Act::Wait(Duration::from_millis(150)), Act::Send(sign.clone())]);
        }
        acts.push(Act::Send([chunk("a"), finish("stop")].concat()));
        let upstream = FakeUpstream::start(acts).await;
        // Less than all of them take, more than one takes on a busy machine.
        let patience = Duration::from_millis(900);
        let providers = providers_with(Deadlines { first: patience, between: patience, ..Deadlines::default() });
        assert_eq!(hear(&providers, call(upstream.url())).await, ("a".to_owned(), Ok((Finish::Stop, USAGE))));
    }
}

#[tokio::test]
async fn no_answer_is_kept_as_a_whole() {
    let zeros = vec![b'z'; 1 << 16];
    let json = "content-type: application/json\r\n";
    for (case, start, message) in [
        ("an endless error", head("500 Internal Server Error", json), "the provider failed (500"),
        ("an endless event", [event_stream(), b"data: ".to_vec()].concat(), "could not be read"),
        ("an endless page", head("200 OK", json), "could not be read"),
    ] {
        let mut upstream = FakeUpstream::start(vec![Act::Send(start), Act::Repeat(zeros.clone())]).await;
        let error = hear(&providers(), call(upstream.url())).await.1.expect_err(case);
        assert!(error.message.contains(message), "{case}: {error:?}");
        upstream.request().await;
        assert_eq!(upstream.next().await, Saw::Closed, "{case}");
    }
}

#[tokio::test]
async fn models_are_named_as_they_are_called() {
    for kind in
        [ProviderKind::OpenAi, ProviderKind::Anthropic, ProviderKind::Google, ProviderKind::Xai, ProviderKind::Ollama]
    {
        for model in ["m-high", "m-low", "m-none", "m-max"] {
            let mut upstream = FakeUpstream::start(vec![]).await;
            let mut call = call_of(kind, upstream.url());
            call.config.model = Some(model.to_owned());
            hear(&providers(), call).await.1.unwrap_err();
            let (head, body) = upstream.request().await;
            if kind == ProviderKind::Google {
                assert!(head.contains(&format!("/models/{model}:")), "{head}");
            } else {
                assert_eq!(body["model"], model, "{kind}");
            }
            for extra in ["reasoning_effort", "thinking", "output_config", "think"] {
                assert_eq!(body.get(extra), None, "{kind}");
            }
            assert_eq!(body.pointer("/generationConfig/thinkingConfig"), None);
        }
    }
}
