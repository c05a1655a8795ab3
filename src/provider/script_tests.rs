use super::{
    Call, Deadlines, Finish, ModelConfig, Prompt, PromptItem, Provider, ProviderError, ProviderKind, ProviderSettings,
    Providers, Role, ScriptBook, Step, Usage,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

fn providers(script: ScriptBook) -> Providers {
    Providers::new(ProviderSettings { script: Some(script), ..ProviderSettings::default() })
}

fn script(script: Value) -> Providers {
    providers(ScriptBook::parse(script.to_string().as_bytes()).unwrap())
}

fn says(text: &str) -> Value {
    json!({"chunks": [{"text": text}]})
}

fn call(agent: &str, role: Role, speaker: Option<&str>, content: &str, call_number: u64) -> Call {
    let item = PromptItem { role, speaker: speaker.map(str::to_owned), name: None, content: content.to_owned() };
    Call {
        world: "w".to_owned(),
        agent: agent.to_owned(),
        config: ModelConfig::new(ProviderKind::Script),
        prompt: Prompt { system: None, items: vec![item], answered: None },
        call_number,
    }
}

fn asked(content: &str) -> Call {
    call("a1", Role::Human, None, content, 1)
}

/// The pieces, and how they ended.
async fn hear(providers: &Providers, call: Call) -> (Vec<String>, Result<Step, ProviderError>) {
    let mut steps = providers.call(call);
    let mut pieces = Vec::new();
    while let Some(step) = steps.next().await {
        match step {
            Ok(Step::Resolved { provider, .. }) => assert_eq!(provider, ProviderKind::Script),
            Ok(Step::Text(text)) => pieces.push(text),
            terminal => {
                assert!(steps.next().await.is_none());
                return (pieces, terminal);
            }
        }
    }
    panic!("a stream ends with a terminal item");
}

#[tokio::test]
async fn the_message_that_woke_the_agent_is_answered_whatever_came_since() {
    let providers = script(json!({"name": "s", "otherwise": says("to {from}: {message}")}));
    let mut late = call("a1", Role::Human, Some("ann"), "first", 1);
    late.prompt.items.push(PromptItem {
        role: Role::Human,
        speaker: Some("bob".to_owned()),
        name: None,
        content: "second".to_owned(),
    });
    assert_eq!(hear(&providers, late.clone()).await.0, ["to bob: second"], "the newest, when nothing else is known");
    late.prompt.answered = Some(0);
    assert_eq!(hear(&providers, late).await.0, ["to ann: first"]);
}

#[tokio::test]
async fn the_first_rule_that_matches_replies() {
    let providers = script(json!({
        "name": "s",
        "rules": [
            {"agent": "A1", "call": 2, "reply": says("second call")},
            {"from": "boss", "contains": "NOW", "reply": says("at once")},
            {"fromType": "agent", "reply": says("an agent")},
            {"fromType": "world", "reply": says("the world")},
            {"contains": "ünder", "reply": says("under")},
            {"agent": "a2", "reply": says("a2")}
        ],
        "otherwise": says("otherwise")
    }));
    for (call, reply) in [
        (call("a1", Role::Human, None, "hi", 1), "otherwise"),
        (call("a1", Role::Human, None, "hi", 2), "second call"),
        (call("a2", Role::Human, None, "hi", 2), "a2"),
        (call("a1", Role::Human, Some("Boss"), "do it now!", 1), "at once"),
        (call("a1", Role::Agent, Some("boss"), "do it", 1), "an agent"),
        (call("a1", Role::World, Some("system"), "x", 1), "the world"),
        (call("a1", Role::Human, None, "WÜNDERBAR", 1), "under"),
    ] {
        let asked = format!("{call:?}");
        let (pieces, end) = hear(&providers, call).await;
        assert_eq!(
            (pieces.concat().as_str(), end),
            (reply, Ok(Step::End { finish: Finish::Stop, usage: None })),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn the_agents_own_words_are_not_what_it_answers() {
    let providers = script(json!({"name": "s", "otherwise": says("{from}: {message}")}));
    let mut call = asked("hi");
    call.prompt.items.push(PromptItem {
        role: Role::Own,
        speaker: Some("a1".to_owned()),
        name: None,
        content: "mine".to_owned(),
    });
    assert_eq!(hear(&providers, call).await.0, ["human: hi"]);
}

#[tokio::test]
async fn placeholders_are_filled_once_and_bounded() {
    let echo = script(json!({"name": "s", "otherwise": says("{agent} {from} {message} {call} {x} { {agent")}));
    let call = call("a1", Role::Human, Some("{agent}"), "{from}", 3);
    assert_eq!(hear(&echo, call).await.0, ["a1 {agent} {from} 3 {x} { {agent"]);

    let echo = script(json!({"name": "s", "otherwise": says("{message}")}));
    assert_eq!(hear(&echo, asked(&"é".repeat(5000))).await.0.concat().chars().count(), 1000);

    let bomb = script(json!({"name": "s", "otherwise": says(&"{message}".repeat(3000))}));
    assert!(hear(&bomb, asked(&"é".repeat(5000))).await.0.concat().len() <= 256 * 1024);
}

#[tokio::test]
async fn pieces_are_whole_words_or_repeated() {
    let providers = script(json!({
        "name": "s",
        "rules": [
            {"contains": "words", "reply": {"chunks": [{"text": " one two\n\nthree ", "split": "words"}, {"text": "!"}]}},
            {"contains": "blank", "reply": {"chunks": [{"text": "  ", "split": "words"}]}},
            {"contains": "repeat", "reply": {"chunks": [{"text": "a b", "split": "words", "repeat": 2}], "finish": "length",
                "usage": {"inputTokens": 1, "outputTokens": 2}}}
        ],
        "otherwise": {"chunks": [{"text": "x", "repeat": 100_000}]}
    }));
    assert_eq!(hear(&providers, asked("words")).await.0, [" one", " two", "\n\nthree ", "!"]);
    assert_eq!(hear(&providers, asked("blank")).await.0, ["  "]);
    let (pieces, end) = hear(&providers, asked("repeat")).await;
    assert_eq!(pieces, ["a", " b", "a", " b"]);
    let usage = Some(Usage { input_tokens: 1, output_tokens: 2 });
    assert_eq!(end, Ok(Step::End { finish: Finish::Length, usage }));
    assert_eq!(hear(&providers, asked("load")).await.0.len(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_where_they_are_written() {
    let fault = |fault: Value| {
        script(json!({"name": "s", "otherwise": {"chunks": [{"text": "a", "repeat": 3}], "fault": fault}}))
    };
    let busy = |after: u64| {
        fault(json!({"type": "error", "message": "busy", "retryable": true, "retryAfterMs": 9, "afterPieces": after}))
    };
    for (providers, pieces, message) in [
        (fault(json!({"type": "error", "message": "no", "retryable": false})), 0, "no"),
        (busy(2), 2, "busy"),
        (busy(3), 3, "busy"),
        (busy(9), 3, "busy"),
        (fault(json!({"type": "cut", "afterPieces": 1})), 1, "the model's reply broke off before its end"),
        (fault(json!({"type": "hang"})), 0, "the model did not answer in time"),
        (fault(json!({"type": "hang", "afterPieces": 1})), 1, "the model stopped in the middle of its reply"),
    ] {
        let (heard, end) = hear(&providers, asked("x")).await;
        let error = end.unwrap_err();
        assert_eq!((heard.len(), error.message.as_str()), (pieces, message));
        assert_eq!(error.retryable, message != "no");
        assert_eq!(error.retry_after, (message == "busy").then_some(Duration::from_millis(9)));
    }
}

#[tokio::test(start_paused = true)]
async fn delays_are_kept_and_deadlines_end_what_takes_too_long() {
    let slow = script(json!({"name": "s", "otherwise": {"chunks": [{"text": "a", "repeat": 3, "delayMs": 50}]}}));
    let started = tokio::time::Instant::now();
    assert_eq!(hear(&slow, asked("x")).await.0.len(), 3);
    assert_eq!(started.elapsed(), Duration::from_millis(150));

    let total = Deadlines::default().total;
    let endless =
        script(json!({"name": "s", "otherwise": {"chunks": [{"text": "a", "repeat": 1_000_000, "delayMs": 1000}]}}));
    let started = tokio::time::Instant::now();
    let error = hear(&endless, asked("x")).await.1.unwrap_err();
    assert_eq!((error.message.as_str(), started.elapsed()), ("the model's reply took too long", total));
}

#[tokio::test]
async fn an_empty_reply_fails_as_a_models_does() {
    let empty = script(json!({"name": "s", "otherwise": {"chunks": []}}));
    assert_eq!(hear(&empty, asked("x")).await.1, Err(ProviderError::empty(Finish::Stop)));
}

#[test]
fn the_schemas_examples_are_read_and_its_counter_examples_are_not() {
    let schema: Value = serde_json::from_str(include_str!("../../schema/script.json")).unwrap();
    let examples = schema["examples"].as_array().unwrap();
    assert!(examples.len() >= 2);
    for example in examples {
        ScriptBook::parse(example.to_string().as_bytes()).unwrap();
    }
    let counter: Value = serde_json::from_str(include_str!("../../schema/script.invalid.json")).unwrap();
    let counter = counter.as_array().unwrap();
    assert!(counter.len() >= 5);
    for case in counter {
        let refused = ScriptBook::parse(case["payload"].to_string().as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(&format!("{}: ", case["pointer"].as_str().unwrap())), "{}: {refused}", case["why"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_demo_says_what_it_is_and_its_agents_fall_silent() {
    let demo = providers(ScriptBook::demo());
    for agent in ["a1", "author", "moderator", "Researcher"] {
        let reply = hear(&demo, call(agent, Role::Human, Some("human"), "Hello!", 1)).await.0.concat();
        assert!(reply.contains("scripted demo") && reply.contains("model"), "{reply}");
    }
    // Whoever starts, the chain of mentions ends at the human.
    for (speaker, agent) in [
        ("human", "author"),
        ("human", "moderator"),
        ("author", "editor"),
        ("opponent", "moderator"),
        ("x", "y"),
        ("author", "x"),
    ] {
        let (mut speaker, mut agent) = (speaker.to_owned(), agent.to_owned());
        let mut turns = 0;
        loop {
            let role = if speaker == "human" { Role::Human } else { Role::Agent };
            let reply = hear(&demo, call(&agent, role, Some(&speaker), "@you go on", 1)).await.0.concat();
            turns += 1;
            let mention = reply
                .split('@')
                .nth(1)
                .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect::<String>());
            match mention.as_deref() {
                Some("human") => break,
                Some(next) => (speaker, agent) = (agent, next.to_owned()),
                None => {
                    panic!("an agent that answers without a mention mentions who woke it: {reply}")
                }
            }
        }
        assert!(turns <= 4, "{turns} turns");
    }
}
