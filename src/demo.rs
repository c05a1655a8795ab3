//! The example user and its world, as `--demo-token` asks for them: what the examples of the documents speak of.
//!
//! The world is `my-world` of `default-world`, with one agent more and one conversation behind it. Its ids and times are
//! those of the examples in `schema/`, so that an example can be sent as it stands; `tests/it/demo.rs` sends them all.

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    error::Failure,
    log::Draft,
    protocol::{
        Agent, AgentConfig, AgentName, AgentStatus, Count, ErrorCode, ErrorInfo, FinishReason, MessageId, ProviderName,
        SenderType, SessionToken, SystemPrompt, TemplateName, Title, Usage, UserId, WorldName,
    },
    session::App,
    world::{Event, Reply, Ticket, first_events, timestamp},
};

const USER: &str = "anon_5f0c7f0e-2b1d-4a53-9c51-0d6a7c1f9e24";
const WORLD: &str = "my-world";
const TEMPLATE: &str = "default-world";
const TITLE: &str = "My world";

/// 2026-01-15T10:00:00Z, in Unix milliseconds: when the world began.
const BEGAN: i64 = 1_768_471_200_000;

/// Why the example data cannot be there.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the example world: {0}")]
pub struct Unprepared(String);

/// Sees to it that the example user exists, known by `token`, and has its world. What is there already stays as it is,
/// so a world that was changed is not set back; another token than last time is one more token of the same user.
pub async fn prepare(app: &App, token: &SessionToken) -> Result<(), Unprepared> {
    let prepared = async {
        let user = UserId::trusted(USER.to_owned());
        app.identities.add(&user, token).await?;
        let name = WorldName::trusted(WORLD.to_owned());
        if app.worlds.find(user.as_str(), &name).await?.is_none() {
            let template = TemplateName::trusted(TEMPLATE.to_owned());
            let title = Title::trusted(TITLE.to_owned());
            let events = first_events(app.worlds.template(&template)?, Some(title.clone()), BEGAN);
            let drafts = drafts(events)?;
            app.worlds.restore(user.as_str(), &name, &template, true, Some(title), drafts).await?;
        }
        tracing::info!(user = USER, world = WORLD, "the example world is served");
        Ok(())
    };
    prepared.await.map_err(|failure: Failure| Unprepared(ErrorInfo::from(failure).message.to_string()))
}

/// The whole log of the world: `events`, which make it, then what has happened in it.
fn drafts(events: Vec<Event>) -> Result<Vec<Draft>, Failure> {
    let agent = |event: &Event| match event {
        Event::AgentCreated { agent } => Some(agent.name.clone()),
        _ => None,
    };
    let mut agents = events.iter().filter_map(agent);
    let (Some(first), Some(second)) = (agents.next(), agents.next()) else {
        // Somebody has put a template of their own in its place.
        return Err(Failure::new(ErrorCode::Conflict, format!("the template {TEMPLATE} has fewer than two agents")));
    };
    drop(agents);
    let began = events.into_iter().map(|event| (BEGAN, Uuid::now_v7(), event));
    let happened =
        conversation(first, second).into_iter().map(|(second, id, event)| (BEGAN + second * 1_000, id, event));
    let draft = |(at_ms, id, event): (i64, Uuid, Event)| {
        let body = Bytes::from(event.to_record().map_err(Failure::internal)?);
        Ok(Draft { id, at_ms, body })
    };
    began.chain(happened).map(draft).collect()
}

/// What has happened, with the seconds since the world began: a person greets, the first agent answers, the second is
/// cut off, and so can be asked again.
fn conversation(first: AgentName, second: AgentName) -> Vec<(i64, Uuid, Event)> {
    let root = message(0x10);
    let reply = |agent_name: &AgentName, message_id: MessageId| Reply {
        agent_name: agent_name.clone(),
        message_id,
        in_reply_to: root.clone(),
        root_id: root.clone(),
    };
    let (answer, cut_off) = (reply(&first, message(0x12)), reply(&second, message(0x13)));
    let ticket = |reply: &Reply| Ticket { agent_name: reply.agent_name.clone(), reply_id: reply.message_id.clone() };
    let content = "Hello! I am the guide of this world.";
    vec![
        (60, event(0x4f), Event::AgentCreated { agent: scribe() }),
        (
            70,
            event(0x50),
            Event::Message {
                message_id: root.clone(),
                sender: "human".to_owned(),
                sender_type: SenderType::Human,
                content: "Hello, agents!".to_owned(),
                in_reply_to: None,
                root_id: root.clone(),
                display_name: None,
            },
        ),
        (
            70,
            event(0x5e),
            Event::Routed {
                message_id: root.clone(),
                root_id: root.clone(),
                turns: vec![ticket(&answer), ticket(&cut_off)],
                retry_of: None,
            },
        ),
        (71, event(0x5f), Event::ReplyStarted { reply: cut_off.clone(), claim: None }),
        (
            71,
            event(0x60),
            Event::ReplyEnded {
                reply: cut_off,
                content: "Hel".to_owned(),
                finish_reason: FinishReason::Cancelled,
                error: None,
                usage: None,
            },
        ),
        (72, event(0x61), Event::ReplyStarted { reply: answer.clone(), claim: None }),
        (
            75,
            event(0x62),
            Event::ReplyEnded {
                reply: answer.clone(),
                content: content.to_owned(),
                finish_reason: FinishReason::Stop,
                error: None,
                usage: Some(Usage { input_tokens: Count::saturating(61), output_tokens: Count::saturating(11) }),
            },
        ),
        (
            75,
            event(0x51),
            Event::Message {
                message_id: answer.message_id,
                sender: first.to_string(),
                sender_type: SenderType::Agent,
                content: content.to_owned(),
                in_reply_to: Some(root.clone()),
                root_id: root.clone(),
                display_name: None,
            },
        ),
        (76, event(0x59), Event::Settled { root_id: root }),
    ]
}

/// The agent that an example deletes. It is inactive, so that it does not answer what is said to all.
fn scribe() -> Agent {
    Agent {
        name: AgentName::trusted("scribe".to_owned()),
        status: AgentStatus::Inactive,
        config: AgentConfig {
            provider: ProviderName::Auto,
            model: None,
            base_url: None,
            system_prompt: Some(SystemPrompt::trusted("You write down what was decided.".to_owned())),
            temperature: None,
            max_tokens: None,
            has_api_key: false,
        },
        created_at: timestamp(BEGAN + 60_000),
        last_active: None,
        last_llm_call: None,
        llm_call_count: Count::saturating(0),
    }
}

/// The examples' ids of events; `number` is what tells them apart.
fn event(number: u8) -> Uuid {
    Uuid::from_u128(0x019b_c0d1_7a00_7c3e_9f21_3a5d_8c6e_1b00 | u128::from(number) << 80 | u128::from(number))
}

/// The examples' ids of messages and replies.
fn message(number: u8) -> MessageId {
    MessageId::trusted(event(number).to_string())
}
