//! Every way in which a remote model can answer: one terminal item each, of the right kind, and
//! the connection closed behind it.

use super::{
    BaseUrlPolicy, Call, Deadlines, Finish, ModelConfig, Prompt, PromptItem, Provider, ProviderError, ProviderKind,
    ProviderSettings, Providers, Role, Secret, Step, Usage,
    fake_upstream::{Act, FakeUpstream, Saw, chunk, chunked_stream, event_stream, finish, head},
};
use futures_util::StreamExt;
use std::time::Duration;

/// For models that answer, however slow the machine is.
pub(super) fn providers() -> Providers {
    providers_with(Deadlines::default())
}

/// For a model that falls silent. What it says before that has all the time.
fn impatient(said: &str) -> Providers {
    let (soon, patient) = (Duration::from_millis(200), Deadlines::default());
    providers_with(Deadlines { first: if said.is_empty() { soon } else { patient.first }, between: soon, ..patient })
}

pub(super) fn providers_with(deadlines: Deadlines) -> Providers {
    let base_urls = BaseUrlPolicy { loopback: true, patterns: Vec::new() };
    Providers::new(ProviderSettings { base_urls, deadlines, ..ProviderSettings::default() })
}

fn item(role: Role, speaker: &str, content: &str) -> PromptItem {
    PromptItem { role, speaker: Some(speaker.to_owned()), name: None, content: content.to_owned() }
}

pub(super) fn call(base_url: String) -> Call {
    let config = ModelConfig {
        model: Some("m".to_owned()),
        base_url: Some(base_url),
        api_key: Some(Secret::new("sk-own")),
        temperature: Some(0.0),
        max_tokens: Some(7),
        ..ModelConfig::new(ProviderKind::OpenAiCompatible)
    };
    let prompt =
        Prompt { system: Some("be kind".to_owned()), items: vec![item(Role::Human, "Ann", "hi")], answered: None };
    Call { world: "w".to_owned(), agent: "a1".to_owned(), config, prompt, call_number: 1 }
}

pub(super) fn call_of(kind: ProviderKind, base_url: String) -> Call {
    let mut call = call(base_url);
    call.config.provider = kind;
    call
}

/// The text, and how it ended; checks the shape of the stream.
pub(super) async fn hear(
    providers: &Providers,
    call: Call,
) -> (String, Result<(Finish, Option<Usage>), ProviderError>) {
    let mut steps = providers.call(call);
    let mut text = String::new();
    let mut resolved = 0;
    loop {
        match steps.next().await.expect("a stream ends with a terminal item") {
            Ok(Step::Resolved { .. }) => resolved += 1,
            Ok(Step::Text(piece)) => {
                assert_eq!(resolved, 1, "the choice comes before the text");
                assert!(!piece.is_empty());
                text.push_str(&piece);
            }
            Ok(Step::End { finish, usage }) => {
                assert!(steps.next().await.is_none(), "nothing follows the end");
                return (text, Ok((finish, usage)));
            }
            Err(error) => {
                assert!(steps.next().await.is_none(), "nothing follows an error");
                return (text, Err(error));
            }
        }
    }
}

pub(super) const USAGE: Option<Usage> = Some(Usage { input_tokens: 11, output_tokens: 3 });

#[tokio::test]
async fn replies_arrive_whole_however_they_are_cut_up() {
    let reply = |content: &str, reason: &str| [event_stream(), chunk(content), finish(reason)].concat();
    let euro = reply("5 € für 🦀", "stop");
    let middle = euro.iter().position(|byte| *byte == 0xf0).unwrap() + 2;
    for (case, acts, text, end) in [
        ("whole", vec![Act::Send(reply("hello", "stop"))], "hello", Finish::Stop),
        ("at its limit", vec![Act::Send(reply("hello", "length"))], "hello", Finish::Length),
        ("byte by byte", vec![Act::Drip(euro.clone())], "5 € für 🦀", Finish::Stop),
        (
            "a character in two parts",
            vec![Act::Send(euro[..middle].to_vec()), Act::Send(euro[middle..].to_vec())],
            "5 € für 🦀",
            Finish::Stop,
        ),
        (
            "with comments and carriage returns",
            vec![Act::Send(
                [event_stream(), b": hi\r\n\r\n".to_vec(), chunk("a"), chunk("b"), finish("stop")].concat(),
            )],
            "ab",
            Finish::Stop,
        ),
        (
            "white space is text",
            vec![Act::Send([event_stream(), chunk("a"), chunk(" "), chunk("\n"), finish("stop")].concat())],
            "a \n",
            Finish::Stop,
        ),
    ] {
        let upstream = FakeUpstream::start(acts).await;
        assert_eq!(hear(&providers(), call(upstream.url())).await, (text.to_owned(), Ok((end, USAGE))), "{case}");
    }
}

#[tokio::test]
async fn every_failure_is_one_error() {
    let json = "content-type: application/json\r\n";
    let not_found = br#"{"error": {"message": "no model m for sk-own"}}"#.to_vec();
    let thought = b"data: {\"choices\": [{\"delta\": {\"reasoning_content\": \"hello\"}}]}\n\n".to_vec();
    let event_error = b"data: {\"error\": {\"message\": \"out of memory\"}}\n\n".to_vec();
    let redirect = format!("location: http://127.0.0.1:1/v1/chat/completions\r\n{json}");
    for (case, acts, text, retryable, message) in [
        ("500", vec![Act::Send(head("500 Internal Server Error", json))], "", true, "the provider failed (500"),
        ("503", vec![Act::Send(head("503 Service Unavailable", json))], "", true, "the provider failed (503"),
        (
            "401",
            vec![Act::Send([head("401 Unauthorized", json), not_found.clone()].concat())],
            "",
            false,
            "refused the key",
        ),
        ("403", vec![Act::Send(head("403 Forbidden", json))], "", false, "refused the key"),
        (
            "404",
            vec![Act::Send([head("404 Not Found", json), not_found].concat())],
            "",
            false,
            "no such model or address (404 Not Found): no model m for (key)",
        ),
        ("400", vec![Act::Send(head("400 Bad Request", json))], "", false, "refused the request (400"),
        ("redirect", vec![Act::Send(head("307 Temporary Redirect", &redirect))], "", false, "not followed"),
        ("hang before the head", vec![Act::Hang], "", true, "did not answer in time"),
        ("hang before the text", vec![Act::Send(event_stream()), Act::Hang], "", true, "did not answer in time"),
        (
            "hang in the middle",
            vec![Act::Send([event_stream(), chunk("a")].concat()), Act::Hang],
            "a",
            true,
            "stopped in the middle",
        ),
        ("closed at once", vec![], "", true, "the connection to the model failed"),
        ("cut", vec![Act::Send([event_stream(), chunk("a")].concat())], "a", true, "broke off"),
        (
            "cut in an event",
            vec![Act::Send([event_stream(), chunk("a"), b"data: {\"cho".to_vec()].concat())],
            "a",
            true,
            "",
        ),
        (
            "cut in a transfer chunk",
            vec![Act::Send([chunked_stream(), b"fff\r\n".to_vec(), chunk("a")].concat())],
            "a",
            true,
            "broke off",
        ),
        (
            "invalid UTF-8",
            vec![Act::Send([event_stream(), chunk("a"), b"data: \xff\xfe\n\n".to_vec(), finish("stop")].concat())],
            "a",
            true,
            "could not be read",
        ),
        (
            "no JSON",
            vec![Act::Send([event_stream(), b"data: hello\n\n".to_vec()].concat())],
            "",
            true,
            "could not be read",
        ),
        (
            "error event",
            vec![Act::Send([event_stream(), chunk("a"), event_error].concat())],
            "a",
            true,
            "out of memory",
        ),
        ("empty reply", vec![Act::Send([event_stream(), finish("stop")].concat())], "", true, "empty reply"),
        (
            "nothing but thoughts",
            vec![Act::Send([event_stream(), thought, finish("length")].concat())],
            "",
            false,
            "used all its tokens before it said anything: raise maxTokens",
        ),
        (
            "withheld",
            vec![Act::Send([event_stream(), finish("content_filter")].concat())],
            "",
            false,
            "withheld the reply: its content filter was triggered (content_filter)",
        ),
        (
            "compressed",
            vec![Act::Send(head("200 OK", "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n"))],
            "",
            true,
            "could not be read",
        ),
        ("nothing of a stream", vec![Act::Send(event_stream())], "", true, "broke off"),
        ("not HTTP", vec![Act::Send(b"SSH-2.0-x\r\n".to_vec())], "", true, "connection to the model failed"),
    ] {
        let hangs = acts.iter().any(|act| matches!(act, Act::Hang));
        let providers = if hangs { impatient(text) } else { providers() };
        let upstream = FakeUpstream::start(acts).await;
        let (heard, end) = hear(&providers, call(upstream.url())).await;
        let error = end.expect_err(case);
        assert_eq!(heard, text, "{case}");
        assert!(error.message.contains(message), "{case}: {error:?}");
        assert_eq!(error.retryable, retryable, "{case}: {error:?}");
        // The log is told who it was; nobody else is, and no more than that.
        assert_eq!(error.server, Some(format!("http://{}", upstream.address)), "{case}");
        let texts = format!("{:?}", ProviderError { server: None, ..error });
        for leak in ["sk-own", "127.0.0.1", "be kind", "hello"] {
            assert!(!texts.contains(leak), "{case} leaks {leak}: {texts}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_model_is_a_passing_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = hear(&providers(), call(format!("{url}/v1/secret-path"))).await.1.unwrap_err();
    assert_eq!(error.server, Some(url));
    assert_eq!((error.message.as_str(), error.retryable), ("the model cannot be reached", true));
    assert!(!error.cause.contains("127.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn a_busy_provider_says_when_to_come_back() {
    let upstream = FakeUpstream::start(vec![Act::Send(head("429 Too Many Requests", "retry-after: 7\r\n"))]).await;
    let error = hear(&providers(), call(upstream.url())).await.1.unwrap_err();
    assert_eq!((error.retryable, error.retry_after), (true, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn the_request_says_what_the_agent_was_asked() {
    let mut upstream =
        FakeUpstream::start(vec![Act::Send([event_stream(), chunk("a"), finish("stop")].concat())]).await;
    let mut call = call(upstream.url());
    call.prompt.items = vec![
        item(Role::Own, "a1", "earlier"),
        item(Role::Human, "Ann", "hi"),
        item(Role::Agent, "a2", "me too"),
        PromptItem { name: Some("Zoë".to_owned()), ..item(Role::Human, "human", "and I") },
        item(Role::Own, "a1", "hello"),
    ];
    call.config.model = Some("org::m:1b-high".to_owned());
    hear(&providers(), call).await.1.unwrap();
    let (head, body) = upstream.request().await;
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer sk-own"), "{head}");
    assert!(head.contains("\r\naccept-encoding: identity"), "{head}");
    assert_eq!(body["temperature"], 0.0);
    assert_eq!(body["max_tokens"], 7);
    assert_eq!(body["model"], "org::m:1b-high");
    assert_eq!(body.get("reasoning_effort"), None);
    let said: Vec<_> =
        body["messages"].as_array().unwrap().iter().map(|m| (m["role"].as_str(), m["content"].as_str())).collect();
    assert_eq!(
        said,
        [
            (Some("system"), Some("be kind")),
            (Some("user"), Some("(the conversation so far is not shown)")),
            (Some("assistant"), Some("earlier")),
            (Some("user"), Some("Ann: hi\n\na2: me too\n\nZoë: and I")),
            (Some("assistant"), Some("hello")),
            (Some("user"), Some("(please go on)")),
        ]
    );
}

#[tokio::test]
async fn without_a_key_no_authorization_is_sent() {
    let mut upstream =
        FakeUpstream::start(vec![Act::Send([event_stream(), chunk("a"), finish("stop")].concat())]).await;
    let mut call = call(upstream.url());
    call.config.api_key = None;
    hear(&providers(), call).await.1.unwrap();
    let (head, _) = upstream.request().await;
    assert!(head.starts_with("post /v1/chat/completions http/1.1") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let endless = Act::Repeat(chunk("and on "));
    let waiting = |start: Vec<u8>| vec![Act::Send(start), Act::Hang];
    for (case, acts, texts) in [
        ("before the head", vec![Act::Hang], 0),
        ("after the first text", waiting([event_stream(), chunk("a")].concat()), 1),
        ("in an endless reply", vec![Act::Send(event_stream()), endless], 500),
    ] {
        let mut upstream = FakeUpstream::start(acts).await;
        let mut steps = providers().call(call(upstream.url()));
        assert!(matches!(steps.next().await, Some(Ok(Step::Resolved { .. }))));
        if texts == 0 {
            // The request goes out while the stream is polled.
            tokio::select! {
                step = steps.next() => panic!("{case}: {step:?}"),
                saw = upstream.next() => assert!(matches!(saw, Saw::Request { .. })),
            }
        } else {
            for _ in 0..texts {
                assert!(matches!(steps.next().await, Some(Ok(Step::Text(_)))), "{case}");
            }
            upstream.request().await;
        }
        drop(steps);
        assert_eq!(upstream.next().await, Saw::Closed, "{case}");
    }
}

#[tokio::test]
async fn an_error_closes_the_connection_while_the_stream_is_still_held() {
    let mut upstream = FakeUpstream::start(vec![Act::Send([event_stream(), chunk("a")].concat()), Act::Hang]).await;
    let mut steps = impatient("a").call(call(upstream.url()));
    while let Some(Ok(_)) = steps.next().await {}
    upstream.request().await;
    assert_eq!(upstream.next().await, Saw::Closed);
    drop(steps);
}
