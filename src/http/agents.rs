//! Agents of a world or of a template.

use super::{Context, Http};
use crate::{
    error::Failure,
    protocol::{Agent, AgentDefinition, AgentList, AgentName, AgentUpdateBody, ErrorCode, IdempotencyKey, WorldName},
    world::{AgentChange, Answer, Command},
};

impl Http {
    pub async fn agents(&self, context: &Context, world: &WorldName) -> Result<AgentList, Failure> {
        Ok(self.read_world(context, world).await?.agents)
    }

    pub async fn agent(&self, context: &Context, world: &WorldName, name: &AgentName) -> Result<Agent, Failure> {
        let agents = self.agents(context, world).await?;
        let found = agents.into_iter().find(|agent| agent.name.as_str().eq_ignore_ascii_case(name.as_str()));
        found.ok_or_else(|| Failure::new(ErrorCode::AgentNotFound, "this world has no agent of that name"))
    }

    pub async fn add_agent(
        &self,
        context: &Context,
        world: &WorldName,
        new: AgentDefinition,
    ) -> Result<Agent, Failure> {
        let (caller, entered) = self.writable(context, world).await?;
        let AgentDefinition { name, status, config } = new;
        self.app.check_base_url(config.provider, config.base_url.as_ref(), "/config/baseUrl")?;
        let command = Command::CreateAgent { name, status, config };
        let outcome = self.app.execute(&caller, &entered.cell, command, None).await?;
        agent(outcome.answer)
    }

    /// `true`: it was done before, under the same key.
    pub async fn change_agent(
        &self,
        context: &Context,
        world: &WorldName,
        agent_name: AgentName,
        key: Option<IdempotencyKey>,
        body: AgentUpdateBody,
    ) -> Result<(Agent, bool), Failure> {
        let (caller, entered) = self.writable(context, world).await?;
        let AgentUpdateBody { status, config, clear_memory } = body;
        if let Some(config) = &config {
            self.app.check_base_url_update(config, "/config/baseUrl")?;
        }
        let change = AgentChange { agent_name, status, config, clear_memory: clear_memory.is_some() };
        let outcome = self.app.execute(&caller, &entered.cell, Command::UpdateAgent(change), key).await?;
        Ok((agent(outcome.answer)?, outcome.duplicate))
    }

    pub async fn remove_agent(&self, context: &Context, world: &WorldName, name: AgentName) -> Result<(), Failure> {
        let (caller, entered) = self.writable(context, world).await?;
        let command = Command::DeleteAgent { agent_name: name };
        self.app.execute(&caller, &entered.cell, command, None).await.map(drop)
    }
}

fn agent(answer: Answer) -> Result<Agent, Failure> {
    match answer {
        Answer::Agent { agent } => Ok(agent),
        _ => Err(Failure::internal("command on an agent answered something else")),
    }
}
