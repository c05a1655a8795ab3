//! [`Session`]: one user at work, over whatever transport. It implements the generated `Handle` trait, one method
//! for each client message; HTTP asks the same things of [`App`] directly.

mod handle;
mod identity;
mod nodes;
mod rate;
mod stats;

use std::sync::Arc;

use crate::{
    error::Failure,
    protocol::{
        AgentConfigUpdate, AgentNames, BaseUrl, ClientMessage, Count, ErrorCode, ErrorDetails, IdempotencyKey,
        MessageAccepted, MessageIds, Patch, ProviderName, Seq, Violation, Violations, WorldName, WorldState,
    },
    provider::Providers,
    world::{Answer, Command, Entered, Outcome, Subscription, View, WorldCell, Worlds, provider_kind},
};

pub use identity::{Identities, Identity, Revocation, unknown_token};
pub use rate::Rates;
pub use stats::Stats;

/// What all sessions share.
pub struct App {
    pub worlds: Worlds,
    pub identities: Identities,
    pub providers: Arc<Providers>,
    pub chat_rate: Rates<String>,
    pub stats: Stats,
}

/// One connection's session.
pub struct Session {
    app: Arc<App>,
    pub identity: Arc<Identity>,
    selected: Option<Selected>,
}

struct Selected {
    entered: Arc<Entered>,
    subscription: Option<Subscription>,
}

impl Session {
    pub fn new(app: Arc<App>, identity: Identity) -> Self {
        Self { app, identity: Arc::new(identity), selected: None }
    }

    /// A second session in the same world, for a request that leaves this one as it is: requests may then go on beside
    /// each other. What they do to the world comes in the order in which they were first polled.
    pub fn beside(&self, message: &ClientMessage) -> Option<Self> {
        match message {
            ClientMessage::ChatSend(_) | ClientMessage::ChatCancel(_) | ClientMessage::ChatRetry(_) => {}
            // Its answer may be large: not many of those should wait for a client that reads slowly.
            ClientMessage::AgentUpdate(_)
            | ClientMessage::WorldSelect(_)
            | ClientMessage::WorldReload(_)
            | ClientMessage::EventSubscribe(_)
            | ClientMessage::EventUnsubscribe(_)
            | ClientMessage::Ping(_) => return None,
        }
        let entered = self.selected.as_ref().map(|selected| selected.entered.clone());
        let selected = entered.map(|entered| Selected { entered, subscription: None });
        Some(Self { app: self.app.clone(), identity: self.identity.clone(), selected })
    }

    /// The live subscription, if there is one.
    pub fn subscription(&mut self) -> Option<&mut Subscription> {
        self.selected.as_mut()?.subscription.as_mut()
    }

    /// The world that is selected.
    pub fn selected(&self) -> Option<&Arc<WorldCell>> {
        self.selected.as_ref().map(|selected| &selected.entered.cell)
    }

    /// The world was deleted under the connection.
    pub fn deselect(&mut self) {
        self.selected = None;
    }

    /// Ends the subscription; the world stays selected.
    pub fn unsubscribe(&mut self) {
        if let Some(selected) = &mut self.selected {
            selected.subscription = None;
        }
    }

    /// The world that a message is for: the selected one, which `named` must be, if it is given.
    fn world(&self, named: Option<&WorldName>) -> Result<&Arc<WorldCell>, Failure> {
        match (self.selected(), named) {
            (None, None) => Err(Failure::new(ErrorCode::Conflict, "select a world first, with world_select")),
            (Some(cell), None) => Ok(cell),
            (Some(cell), Some(name)) if cell.name.as_str().eq_ignore_ascii_case(name.as_str()) => Ok(cell),
            _ => {
                let text = "this connection has no world of that name selected; select it with world_select";
                Err(Failure::new(ErrorCode::WorldNotFound, text))
            }
        }
    }
}

impl App {
    /// Does `command` in the user's world: within the rate, to addresses that are allowed, once for each key.
    pub async fn execute(
        &self,
        identity: &Identity,
        cell: &WorldCell,
        command: Command,
        key: Option<IdempotencyKey>,
    ) -> Result<Outcome, Failure> {
        if matches!(command, Command::Chat { .. })
            && let Err(after_ms) = self.chat_rate.take(identity.user.to_string())
        {
            let text = "too many messages in a short time";
            return Err(Failure::new(ErrorCode::RateLimited, text).retry_after_ms(after_ms));
        }
        // On the heap, for the sake of connections that wait.
        Box::pin(cell.execute(command, key)).await
    }
}

impl App {
    /// Refuses an address that this server would not call. `pointer` is where it stands in what the client sent.
    pub fn check_base_url(
        &self,
        provider: ProviderName,
        base_url: Option<&BaseUrl>,
        pointer: &str,
    ) -> Result<(), Failure> {
        let Some(base_url) = base_url else { return Ok(()) };
        let checked = self.providers.base_urls().check(provider_kind(provider), base_url.as_str());
        checked.map_err(|refused| {
            let violation = Violation {
                pointer: pointer.to_owned(),
                keyword: "allowBaseUrl".to_owned(),
                limit: None,
                message: refused.to_string(),
            };
            let details =
                ErrorDetails { errors: Some(Violations::trusted(vec![violation])), ..ErrorDetails::default() };
            Failure::new(ErrorCode::InvalidMessage, "the base URL cannot be used here").details(details)
        })
    }

    /// As [`App::check_base_url`], for a merge patch; the provider that it does not name does not matter here.
    pub fn check_base_url_update(&self, update: &AgentConfigUpdate, pointer: &str) -> Result<(), Failure> {
        let provider = update.provider.unwrap_or(ProviderName::OpenaiCompatible);
        match &update.base_url {
            Patch::Value(base_url) => self.check_base_url(provider, Some(base_url), pointer),
            Patch::Absent | Patch::Null => Ok(()),
        }
    }
}

/// The payload of `message_accepted`.
pub fn accepted(outcome: Outcome) -> Result<MessageAccepted, Failure> {
    match outcome.answer {
        Answer::Accepted { message_id, seq, answering } => Ok(MessageAccepted {
            message_id,
            seq: Seq::saturating(seq),
            duplicate: outcome.duplicate,
            answering: AgentNames::trusted(answering),
        }),
        other => Err(unexpected(&other)),
    }
}

/// The payload of `cancelled`.
pub fn cancelled(outcome: Outcome) -> Result<crate::protocol::Cancelled, Failure> {
    match outcome.answer {
        Answer::Cancelled { message_ids, dropped } => Ok(crate::protocol::Cancelled {
            message_ids: MessageIds::trusted(message_ids),
            dropped: Count::saturating(dropped),
        }),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::internal(format!("command answered {:?}", std::mem::discriminant(answer)))
}

/// The state of a world as its user sees it.
pub fn world_state(cell: &WorldCell, view: &View) -> WorldState {
    WorldState { name: cell.name.clone(), turn_limit: view.turn_limit }
}
