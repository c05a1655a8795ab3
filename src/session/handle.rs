//! What each client message does: the generated [`Handle`] trait, one method for each.

use std::sync::Arc;

use super::{Selected, Session, accepted, cancelled, unexpected, world_state};
use crate::{
    error::Failure,
    protocol::{
        AgentList, AgentUpdate, AgentUpdated, ChatCancel, ChatRetry, ChatSend, ErrorInfo, EventKind, EventSubscribe,
        EventUnsubscribe, Handle, IdempotencyKey, Ping, Pong, StatusCancelled, StatusMessageAccepted, StatusSubscribed,
        StatusUnsubscribed, Subscribed, Unsubscribed, WorldReload, WorldReloaded, WorldSelect, WorldSelected,
    },
    world::{AgentChange, Answer, Command, Filter, Subscription, Wanted, gone},
};

impl Handle for Session {
    async fn world_select(&mut self, payload: WorldSelect) -> Result<WorldSelected, Box<ErrorInfo>> {
        // On the heap: an idle connection must not carry the space that its rarest request needs.
        Ok(Box::pin(self.select(payload)).await?)
    }

    async fn chat_send(
        &mut self,
        payload: ChatSend,
        key: Option<IdempotencyKey>,
    ) -> Result<StatusMessageAccepted, Box<ErrorInfo>> {
        let ChatSend { content, sender, display_name, target_agent, world_name } = payload;
        let cell = self.world(world_name.as_ref())?.clone();
        let command = Command::Chat { content, sender, display_name, target_agent };
        let outcome = self.app.execute(&self.identity, &cell, command, key).await?;
        let message = "The message is stored.".to_owned();
        Ok(StatusMessageAccepted { message, data: accepted(outcome)? })
    }

    async fn chat_cancel(&mut self, payload: ChatCancel) -> Result<StatusCancelled, Box<ErrorInfo>> {
        let cell = self.world(payload.world_name.as_ref())?.clone();
        let command = Command::Cancel { message_id: payload.message_id };
        let outcome = self.app.execute(&self.identity, &cell, command, None).await?;
        Ok(StatusCancelled { message: "What was meant has stopped.".to_owned(), data: cancelled(outcome)? })
    }

    async fn chat_retry(
        &mut self,
        payload: ChatRetry,
        key: Option<IdempotencyKey>,
    ) -> Result<StatusMessageAccepted, Box<ErrorInfo>> {
        let cell = self.world(payload.world_name.as_ref())?.clone();
        let command = Command::Retry { message_id: payload.message_id };
        let outcome = self.app.execute(&self.identity, &cell, command, key).await?;
        let message = "The reply will be run again.".to_owned();
        Ok(StatusMessageAccepted { message, data: accepted(outcome)? })
    }

    async fn agent_update(
        &mut self,
        payload: AgentUpdate,
        key: Option<IdempotencyKey>,
    ) -> Result<AgentUpdated, Box<ErrorInfo>> {
        let AgentUpdate { agent_name, config, world_name } = payload;
        let cell = self.world(world_name.as_ref())?.clone();
        self.app.check_base_url_update(&config, "/payload/config/baseUrl")?;
        let change = AgentChange { agent_name, status: None, config: Some(config), clear_memory: false };
        let command = Command::UpdateAgent(change);
        let outcome = self.app.execute(&self.identity, &cell, command, key).await?;
        match outcome.answer {
            Answer::Agent { agent } => Ok(AgentUpdated {
                world_name: cell.name.clone(),
                message: format!("Agent {} updated.", agent.name.as_str()),
                agent_name: agent.name,
                config: agent.config,
                success: true,
                duplicate: outcome.duplicate,
            }),
            other => Err(unexpected(&other))?,
        }
    }

    async fn world_reload(&mut self, payload: WorldReload) -> Result<WorldReloaded, Box<ErrorInfo>> {
        let cell = self.world(payload.world_name.as_ref())?.clone();
        self.app.execute(&self.identity, &cell, Command::Reload, None).await?;
        let view = cell.view().await?;
        Ok(WorldReloaded {
            world_name: cell.name.clone(),
            title: view.title.clone(),
            template_name: view.template_name.clone(),
            world_state: world_state(&cell, &view),
            agents: AgentList::trusted(view.agents.clone()),
            persistent: cell.is_persistent(),
            cursor: cell.cursor(view.head),
            success: true,
            message: format!("World {} reloaded.", cell.name.as_str()),
        })
    }

    async fn event_subscribe(&mut self, payload: EventSubscribe) -> Result<StatusSubscribed, Box<ErrorInfo>> {
        self.unsubscribe();
        let EventSubscribe { world_name, event_types, agent_filter, after } = payload;
        let cell = self.world(world_name.as_ref())?.clone();
        let from = match &after {
            Some(after) => cell.check_resumable(after).await?,
            None if cell.is_gone() => return Err(gone().into()),
            None => cell.hub.head(),
        };
        let kinds = match &event_types {
            Some(kinds) => kinds.to_vec(),
            None => vec![EventKind::Message, EventKind::World, EventKind::Sse],
        };
        let filter = Filter::new(kinds, agent_filter);
        let subscription = Subscription::new(cell.clone(), filter, after.as_ref())?.start_after(from);
        let data = Subscribed { from: cell.cursor(from), head: cell.head_cursor() };
        let selected = self.selected.as_mut().ok_or_else(|| Failure::internal("selected world is gone"))?;
        selected.subscription = Some(subscription);
        Ok(StatusSubscribed { message: "Subscribed.".to_owned(), data })
    }

    async fn event_unsubscribe(&mut self, payload: EventUnsubscribe) -> Result<StatusUnsubscribed, Box<ErrorInfo>> {
        self.world(payload.world_name.as_ref())?;
        self.unsubscribe();
        Ok(StatusUnsubscribed { message: "Unsubscribed.".to_owned(), data: Unsubscribed {} })
    }

    async fn ping(&mut self, _: Ping) -> Result<Pong, Box<ErrorInfo>> {
        Ok(Pong {})
    }
}

impl Session {
    async fn select(&mut self, payload: WorldSelect) -> Result<WorldSelected, Failure> {
        self.app.identities.save(&self.identity).await?;
        let WorldSelect { template_name, world_name, persistent, title, after } = payload;
        let wanted = Wanted { name: &world_name, template: &template_name, persistent, title };
        let (entered, _) = self.app.worlds.open_or_create(self.identity.user.as_str(), wanted).await?;
        let cell = entered.cell.clone();
        let view = cell.view().await?;
        let from = match &after {
            Some(after) => cell.check_resumable(after).await?,
            None => view.head,
        };
        if persistent {
            self.app.worlds.keep(&cell).await?;
        }
        // From here on nothing fails: the connection moves.
        let subscription = Subscription::new(cell.clone(), Filter::chat(), after.as_ref())?.start_after(from);
        self.selected = Some(Selected { entered: Arc::new(entered), subscription: Some(subscription) });
        Ok(WorldSelected {
            world_name: cell.name.clone(),
            title: view.title.clone(),
            template_name: view.template_name.clone(),
            world_state: world_state(&cell, &view),
            agents: AgentList::trusted(view.agents.clone()),
            persistent: cell.is_persistent(),
            cursor: cell.cursor(view.head),
            success: true,
            message: format!("World {} selected.", cell.name.as_str()),
        })
    }
}
