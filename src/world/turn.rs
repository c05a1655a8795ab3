//! One turn: asks the provider, streams its text into the [`LiveReply`], and says how it ended.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt;

use super::{
    cell::WorldCell,
    nodes::Voice,
    reply::{LiveReply, Stretch},
    state::World,
    turns::Ending,
};
use crate::{
    log::Secret,
    protocol::{AgentName, Count, ErrorCode, ErrorInfo, FinishReason, ModelName, ProviderName, Usage},
    provider::{Call, Finish, ModelConfig, Prompt, PromptItem, ProviderError, ProviderKind, Role, Step},
};

/// What the provider is asked for the running turn of `agent`: its memory as of now.
pub fn call(world: &World, cell: &WorldCell, agent: &AgentName, secrets: &HashMap<AgentName, Secret>) -> Option<Call> {
    let agent = world.agent(agent.as_str())?;
    let waking = agent.running.as_ref()?.waking.as_ref();
    let config = &agent.public.config;
    let remembered = agent.memory.prompt(waking);
    let answered = waking.and_then(|waking| remembered.iter().position(|item| item.message_id == waking.message_id));
    let items = remembered.iter().map(|item| {
        let role = match item.speaker.as_str() {
            speaker if speaker == agent.public.name.as_str() => Role::Own,
            "human" => Role::Human,
            "system" => Role::World,
            _ => Role::Agent,
        };
        PromptItem {
            role,
            speaker: Some(item.speaker.clone()),
            name: item.name.as_ref().map(ToString::to_string),
            content: item.content.clone(),
        }
    });
    Some(Call {
        world: cell.name.to_string(),
        agent: agent.public.name.to_string(),
        config: ModelConfig {
            provider: provider_kind(config.provider),
            model: config.model.as_ref().map(ToString::to_string),
            base_url: config.base_url.as_ref().map(ToString::to_string),
            api_key: secrets.get(&agent.public.name).cloned(),
            temperature: config.temperature.map(|temperature| temperature.get()),
            max_tokens: config.max_tokens.map(|tokens| tokens.get() as u32),
        },
        prompt: Prompt {
            system: config.system_prompt.as_ref().map(ToString::to_string),
            items: items.collect(),
            answered,
        },
        call_number: agent.calls,
    })
}

/// Streams the reply to its end. `chosen` is told who answers when the agent left that open.
pub async fn run(
    cell: Arc<WorldCell>,
    live: Arc<LiveReply>,
    call: Call,
    chosen: impl AsyncFnOnce(ProviderName, ModelName) + Send,
) -> Ending {
    let open = call.config.provider == ProviderKind::Auto;
    let mut chosen = open.then_some(chosen);
    let started = std::time::Instant::now();
    let voice = cell.services.cluster.clone().map(|cluster| Voice::of(cluster, cell.id));
    let publish = |stretch: Stretch| {
        cell.hub.publish_delta(&cell.name, &live, &stretch);
        if let Some(voice) = &voice {
            voice.say(&live.reply.message_id, &stretch);
        }
    };
    let mut steps = cell.services.provider.call(call);
    let (finish_reason, error, usage) = loop {
        match steps.next().await {
            Some(Ok(Step::Resolved { provider, model, .. })) => {
                if let Some(chosen) = chosen.take() {
                    chosen(provider_name(provider), model_name(&model)).await;
                }
            }
            Some(Ok(Step::Text(text))) => {
                if !live.push(&text, publish) {
                    break (FinishReason::Length, None, None);
                }
            }
            Some(Ok(Step::End { finish, usage })) => {
                let reason = match finish {
                    Finish::Stop => FinishReason::Stop,
                    Finish::Length => FinishReason::Length,
                };
                break (reason, None, usage);
            }
            Some(Err(error)) => break (FinishReason::Error, Some(provider_error(&error, &live)), None),
            None => break (FinishReason::Error, Some(broken()), None),
        }
    };
    // The upstream request ends here, before anybody is told that the reply did.
    drop(steps);
    tracing::info!(
        user = %cell.user,
        world = %cell.id,
        agent = live.reply.agent_name.as_str(),
        reply = live.reply.message_id.as_str(),
        finish = finish_reason.as_str(),
        ms = started.elapsed().as_millis() as u64,
        "turn ended"
    );
    let usage = usage.map(|usage| Usage {
        input_tokens: Count::saturating(usage.input_tokens),
        output_tokens: Count::saturating(usage.output_tokens),
    });
    Ending { content: live.freeze(), finish_reason, error, usage }
}

/// A model's name as an event can hold it: a provider may call its models what it likes.
fn model_name(name: &str) -> ModelName {
    let plain = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(200).collect::<String>();
    ModelName::new(plain).unwrap_or_else(|_| ModelName::trusted("unnamed".to_owned()))
}

/// The end of a turn whose task did not come to one.
pub fn failed() -> Ending {
    Ending { content: String::new(), finish_reason: FinishReason::Error, error: Some(broken()), usage: None }
}

fn broken() -> ErrorInfo {
    crate::error::Failure::internal("turn ended without a terminal step").into()
}

fn provider_error(error: &ProviderError, live: &LiveReply) -> ErrorInfo {
    tracing::warn!(
        reply = live.reply.message_id.as_str(),
        agent = live.reply.agent_name.as_str(),
        server = error.server.as_deref(),
        cause = error.cause.as_str(),
        "provider failed"
    );
    let failure = crate::error::Failure::new(ErrorCode::ProviderError, error.message.clone());
    match error.retry_after {
        Some(after) => failure.retry_after_ms(after.as_millis() as u64),
        None => failure.retryable(error.retryable),
    }
    .into()
}

/// The provider that an agent's configuration names.
pub fn provider_kind(name: ProviderName) -> ProviderKind {
    match name {
        ProviderName::Auto => ProviderKind::Auto,
        ProviderName::Openai => ProviderKind::OpenAi,
        ProviderName::Anthropic => ProviderKind::Anthropic,
        ProviderName::Google => ProviderKind::Google,
        ProviderName::Xai => ProviderKind::Xai,
        ProviderName::Ollama => ProviderKind::Ollama,
        ProviderName::OpenaiCompatible => ProviderKind::OpenAiCompatible,
        ProviderName::Script => ProviderKind::Script,
    }
}

fn provider_name(kind: ProviderKind) -> ProviderName {
    match kind {
        ProviderKind::Auto => ProviderName::Auto,
        ProviderKind::OpenAi => ProviderName::Openai,
        ProviderKind::Anthropic => ProviderName::Anthropic,
        ProviderKind::Google => ProviderName::Google,
        ProviderKind::Xai => ProviderName::Xai,
        ProviderKind::Ollama => ProviderName::Ollama,
        ProviderKind::OpenAiCompatible => ProviderName::OpenaiCompatible,
        ProviderKind::Script => ProviderName::Script,
    }
}
