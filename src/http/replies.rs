//! Cancelling replies.

use super::{Context, Http};
use crate::{
    error::Failure,
    protocol::{Cancelled, MessageId, WorldName},
    session::cancelled,
    world::Command,
};

impl Http {
    pub async fn cancel(&self, context: &Context, world: &WorldName, id: MessageId) -> Result<Cancelled, Failure> {
        let (caller, entered) = self.own(context, world).await?;
        let outcome = self.app.execute(&caller, &entered.cell, Command::Cancel { message_id: Some(id) }, None).await?;
        cancelled(outcome)
    }
}
