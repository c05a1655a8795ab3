//! Templates and worlds.

use super::{Context, Http};
use crate::{
    error::Failure,
    protocol::{
        AgentList, Count, CreateWorldBody, Template, TemplateSummaries, TemplateSummary, Title, World, WorldKind,
        WorldName, WorldPatch, WorldState, WorldSummaries, WorldSummary,
    },
    world::{Command, Wanted, WorldCell, agents_of, not_found, now_ms, timestamp},
};

impl Http {
    pub fn templates(&self) -> Result<TemplateSummaries, Failure> {
        let summary = |template: &Template| TemplateSummary {
            name: template.name.clone(),
            description: template.description.clone(),
            agent_count: Count::saturating(template.agents.len() as u64),
        };
        Ok(TemplateSummaries::trusted(self.app.worlds.templates.iter().map(summary).collect()))
    }

    pub async fn worlds_of_caller(&self, context: &Context) -> Result<WorldSummaries, Failure> {
        let caller = self.require_caller(context).await?;
        let summary = |entry: crate::log::WorldEntry| WorldSummary {
            world_name: WorldName::trusted(entry.name),
            title: entry.title.map(Title::trusted),
            template_name: crate::protocol::TemplateName::trusted(entry.template),
            persistent: entry.persistent,
            created_at: timestamp(entry.created_ms),
        };
        let worlds = self.app.worlds.list(caller.user.as_str()).await?;
        Ok(WorldSummaries::trusted(worlds.into_iter().map(summary).collect()))
    }

    /// `true`: the world was made.
    pub async fn put_world(
        &self,
        context: &Context,
        name: WorldName,
        body: CreateWorldBody,
    ) -> Result<(World, bool), Failure> {
        let caller = self.require_writer(context).await?;
        let CreateWorldBody { template_name, persistent, title } = body;
        loop {
            let wanted = Wanted { name: &name, template: &template_name, persistent, title: title.clone() };
            let (entered, created) = self.app.worlds.open_or_create(caller.user.as_str(), wanted).await?;
            match self.keep_and_show(&entered.cell, persistent).await {
                Ok(world) => return Ok((world, created)),
                // It was deleted since: then it is made anew.
                Err(_) if entered.cell.is_gone() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn keep_and_show(&self, cell: &WorldCell, persistent: bool) -> Result<World, Failure> {
        if persistent {
            self.app.worlds.keep(cell).await?;
        }
        world(cell).await
    }

    /// The caller's world of that name, else the template of that name.
    pub async fn read_world(&self, context: &Context, name: &WorldName) -> Result<World, Failure> {
        if let Some(caller) = self.caller(context).await?
            && let Some(entered) = self.app.worlds.find(caller.user.as_str(), name).await?
        {
            return world(&entered.cell).await;
        }
        self.app.worlds.templates.get(name.as_str()).map(template_as_world).ok_or_else(not_found)
    }

    pub async fn patch_world(&self, context: &Context, name: &WorldName, body: WorldPatch) -> Result<World, Failure> {
        let (caller, entered) = self.writable(context, name).await?;
        let command = Command::UpdateWorld { title: body.title, turn_limit: body.turn_limit };
        self.app.execute(&caller, &entered.cell, command, None).await?;
        world(&entered.cell).await
    }

    pub async fn remove_world(&self, context: &Context, name: &WorldName) -> Result<(), Failure> {
        let (caller, entered) = self.writable(context, name).await?;
        drop(entered);
        self.app.worlds.delete(caller.user.as_str(), name).await
    }
}

/// A world as its user sees it.
pub(super) async fn world(cell: &WorldCell) -> Result<World, Failure> {
    let view = cell.view().await?;
    Ok(World {
        kind: WorldKind::World,
        world_name: cell.name.clone(),
        title: view.title,
        template_name: view.template_name,
        world_state: WorldState { name: cell.name.clone(), turn_limit: view.turn_limit },
        agents: AgentList::trusted(view.agents),
        persistent: cell.is_persistent(),
        cursor: Some(cell.cursor(view.head)),
    })
}

fn template_as_world(template: &Template) -> World {
    let name = WorldName::trusted(template.name.to_string());
    World {
        kind: WorldKind::Template,
        world_name: name.clone(),
        title: None,
        template_name: template.name.clone(),
        world_state: WorldState { name, turn_limit: template.turn_limit },
        agents: AgentList::trusted(agents_of(template, now_ms())),
        persistent: false,
        cursor: None,
    }
}
