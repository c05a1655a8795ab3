//! Users and their session tokens.

use super::{Context, Http};
use crate::{
    error::Failure,
    protocol::{ErrorCode, NewSession},
};

impl Http {
    pub async fn new_session(&self) -> Result<NewSession, Failure> {
        let (identity, session_token) = self.app.identities.anonymous()?;
        self.app.identities.save(&identity).await?;
        Ok(NewSession { user_id: identity.user, session_token })
    }

    /// Revokes the token that the request carries.
    pub async fn end_session(&self, context: &Context) -> Result<(), Failure> {
        self.require_caller(context).await?;
        let token = context.token()?.unwrap_or_default();
        if self.app.identities.revoke(&token).await? {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::Unauthenticated, "the session token was revoked meanwhile"))
    }
}
