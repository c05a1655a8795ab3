//! The generated [`Api`] trait: one method for each route, each a line or two that leads to where it is done.

use super::{Context, Http, Payload, chat::ChatOptions, documents, embedded, events::Selection, routes::*};
use crate::error::Failure;

impl Api for Http {
    type Context = Context;
    type Body = Payload;

    async fn get_console(&self, _: GetConsole<Context>) -> Result<GetConsoleAnswer<Payload>, Failure> {
        Ok(GetConsoleAnswer::Ok(documents::console()))
    }

    async fn get_docs(&self, _: GetDocs<Context>) -> Result<GetDocsAnswer<Payload>, Failure> {
        Ok(GetDocsAnswer::Ok(documents::docs()))
    }

    async fn get_asset(&self, call: GetAsset<Context>) -> Result<GetAssetAnswer<Payload>, Failure> {
        documents::asset(&call.file).map(GetAssetAnswer::Ok)
    }

    async fn get_health(&self, _: GetHealth<Context>) -> Result<GetHealthAnswer, Failure> {
        self.health().await.map(GetHealthAnswer::Ok)
    }

    async fn get_metrics(&self, _: GetMetrics<Context>) -> Result<GetMetricsAnswer<Payload>, Failure> {
        Ok(GetMetricsAnswer::Ok(Payload::Open(self.metrics().await.into())))
    }

    async fn create_session(&self, _: CreateSession<Context>) -> Result<CreateSessionAnswer, Failure> {
        self.new_session().await.map(CreateSessionAnswer::Created)
    }

    async fn delete_session(&self, call: DeleteSession<Context>) -> Result<DeleteSessionAnswer, Failure> {
        self.end_session(&call.context).await?;
        Ok(DeleteSessionAnswer::NoContent)
    }

    async fn list_session_worlds(&self, call: ListSessionWorlds<Context>) -> Result<ListSessionWorldsAnswer, Failure> {
        self.worlds_of_caller(&call.context).await.map(ListSessionWorldsAnswer::Ok)
    }

    async fn list_templates(&self, _: ListTemplates<Context>) -> Result<ListTemplatesAnswer, Failure> {
        self.templates().map(ListTemplatesAnswer::Ok)
    }

    async fn create_world(&self, call: CreateWorld<Context>) -> Result<CreateWorldAnswer, Failure> {
        let (world, created) = self.put_world(&call.context, call.world_name, call.body).await?;
        Ok(if created { CreateWorldAnswer::Created(world) } else { CreateWorldAnswer::Ok(world) })
    }

    async fn get_world(&self, call: GetWorld<Context>) -> Result<GetWorldAnswer, Failure> {
        self.read_world(&call.context, &call.world_name).await.map(GetWorldAnswer::Ok)
    }

    async fn update_world(&self, call: UpdateWorld<Context>) -> Result<UpdateWorldAnswer, Failure> {
        self.patch_world(&call.context, &call.world_name, call.body).await.map(UpdateWorldAnswer::Ok)
    }

    async fn delete_world(&self, call: DeleteWorld<Context>) -> Result<DeleteWorldAnswer, Failure> {
        self.remove_world(&call.context, &call.world_name).await?;
        Ok(DeleteWorldAnswer::NoContent)
    }

    async fn list_agents(&self, call: ListAgents<Context>) -> Result<ListAgentsAnswer, Failure> {
        self.agents(&call.context, &call.world_name).await.map(ListAgentsAnswer::Ok)
    }

    async fn create_agent(&self, call: CreateAgent<Context>) -> Result<CreateAgentAnswer, Failure> {
        self.add_agent(&call.context, &call.world_name, call.body).await.map(CreateAgentAnswer::Created)
    }

    async fn get_agent(&self, call: GetAgent<Context>) -> Result<GetAgentAnswer, Failure> {
        self.agent(&call.context, &call.world_name, &call.agent_name).await.map(GetAgentAnswer::Ok)
    }

    async fn update_agent(&self, call: UpdateAgent<Context>) -> Result<UpdateAgentAnswer, Failure> {
        let UpdateAgent { context, world_name, agent_name, idempotency_key, body } = call;
        let (body, duplicate) = self.change_agent(&context, &world_name, agent_name, idempotency_key, body).await?;
        Ok(UpdateAgentAnswer::Ok { body, idempotent_replayed: duplicate.then_some(true) })
    }

    async fn delete_agent(&self, call: DeleteAgent<Context>) -> Result<DeleteAgentAnswer, Failure> {
        self.remove_agent(&call.context, &call.world_name, call.agent_name).await?;
        Ok(DeleteAgentAnswer::NoContent)
    }

    async fn chat(&self, call: Chat<Context>) -> Result<ChatAnswer<Payload>, Failure> {
        let Chat { context, world_name, until, on_disconnect, idempotency_key, body } = call;
        let options = ChatOptions { until, on_disconnect, key: idempotency_key };
        let (body, agent_world_token) = self.start_chat(&context, &world_name, options, body).await?;
        Ok(ChatAnswer::Ok { body: Payload::Open(body), agent_world_token })
    }

    async fn cancel_reply(&self, call: CancelReply<Context>) -> Result<CancelReplyAnswer, Failure> {
        self.cancel(&call.context, &call.world_name, call.message_id).await.map(CancelReplyAnswer::Ok)
    }

    async fn list_events(&self, call: ListEvents<Context>) -> Result<ListEventsAnswer<Payload>, Failure> {
        let ListEvents { context, world_name, before, after, limit, types, agent, last_event_id, accept } = call;
        let selection = Selection { types, agent };
        match accept {
            ListEventsMedia::EventStream => {
                let after = last_event_id.or(after);
                self.follow(&context, &world_name, before, after, selection)
                    .await
                    .map(|body| ListEventsAnswer::OkEventStream(Payload::Open(body)))
            }
            ListEventsMedia::Json => {
                let limit = limit.get() as usize;
                self.page(&context, &world_name, before, after, limit, selection).await.map(ListEventsAnswer::OkJson)
            }
        }
    }

    async fn export_world(&self, call: ExportWorld<Context>) -> Result<ExportWorldAnswer<Payload>, Failure> {
        self.export(&call.context, &call.world_name).await.map(|body| ExportWorldAnswer::Ok(Payload::Open(body)))
    }

    async fn import_world(&self, call: ImportWorld<Context>) -> Result<ImportWorldAnswer, Failure> {
        self.import(&call.context, call.world_name, &call.body).await.map(ImportWorldAnswer::Created)
    }

    async fn get_openapi(&self, _: GetOpenapi<Context>) -> Result<GetOpenapiAnswer<Payload>, Failure> {
        Ok(GetOpenapiAnswer::Ok(documents::document(&embedded::OPENAPI)))
    }

    async fn get_openapi30(&self, _: GetOpenapi30<Context>) -> Result<GetOpenapi30Answer<Payload>, Failure> {
        Ok(GetOpenapi30Answer::Ok(documents::document(&embedded::OPENAPI_30)))
    }

    async fn get_asyncapi(&self, _: GetAsyncapi<Context>) -> Result<GetAsyncapiAnswer<Payload>, Failure> {
        Ok(GetAsyncapiAnswer::Ok(documents::document(&embedded::ASYNCAPI)))
    }

    async fn get_asyncapi_client(
        &self,
        _: GetAsyncapiClient<Context>,
    ) -> Result<GetAsyncapiClientAnswer<Payload>, Failure> {
        Ok(GetAsyncapiClientAnswer::Ok(documents::document(&embedded::ASYNCAPI_CLIENT)))
    }

    async fn get_catalogue(&self, _: GetCatalogue<Context>) -> Result<GetCatalogueAnswer<Payload>, Failure> {
        Ok(GetCatalogueAnswer::Ok(documents::document(&embedded::CATALOGUE)))
    }

    async fn get_schema(&self, call: GetSchema<Context>) -> Result<GetSchemaAnswer<Payload>, Failure> {
        documents::schema(&call.path).map(GetSchemaAnswer::Ok)
    }
}
