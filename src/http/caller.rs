//! Who is calling over HTTP: the bearer token, and the user behind it.

use axum::http::HeaderMap;

use super::Http;
use crate::{
    error::Failure,
    peer::bearer,
    protocol::{ErrorCode, WorldName},
    session::Identity,
    world::{Entered, not_found},
};

/// What a request brings besides its parameters and body.
pub struct Context {
    pub headers: HeaderMap,
}

impl Context {
    /// The session token as it was sent.
    pub fn token(&self) -> Result<Option<String>, Failure> {
        bearer(&self.headers)
    }

    pub fn require_token(&self) -> Result<String, Failure> {
        self.token()?.ok_or_else(|| {
            let text = "this needs a session token; POST /session gives one";
            Failure::new(ErrorCode::Unauthenticated, text)
        })
    }
}

impl Http {
    /// The caller, if there is a token; an unknown one is refused.
    pub async fn caller(&self, context: &Context) -> Result<Option<Identity>, Failure> {
        match context.token()? {
            Some(token) => Ok(Some(self.app.identities.authenticate(&token).await?)),
            None => Ok(None),
        }
    }

    pub async fn require_caller(&self, context: &Context) -> Result<Identity, Failure> {
        let token = context.require_token()?;
        self.app.identities.authenticate(&token).await
    }

    /// The caller, if there is a token, of a request that writes.
    pub async fn writer(&self, context: &Context) -> Result<Option<Identity>, Failure> {
        match context.token()? {
            Some(token) => Ok(Some(self.app.identities.authenticate_writer(&token).await?)),
            None => Ok(None),
        }
    }

    pub async fn require_writer(&self, context: &Context) -> Result<Identity, Failure> {
        let token = context.require_token()?;
        self.app.identities.authenticate_writer(&token).await
    }

    /// The caller's world, to be changed. A template of that name is somebody's to read, nobody's to write.
    pub async fn writable(&self, context: &Context, name: &WorldName) -> Result<(Identity, Entered), Failure> {
        let caller = self.require_caller(context).await?;
        match self.app.worlds.find(caller.user.as_str(), name).await? {
            Some(entered) => Ok((caller, entered)),
            None if self.app.worlds.templates.get(name.as_str()).is_some() => {
                let text = "templates cannot be changed; create a world from it with PUT /worlds/{worldName}";
                Err(Failure::new(ErrorCode::PermissionDenied, text))
            }
            None => Err(not_found()),
        }
    }

    /// The caller's world, which a template of that name does not stand in for.
    pub async fn own(&self, context: &Context, name: &WorldName) -> Result<(Identity, Entered), Failure> {
        let caller = self.require_caller(context).await?;
        let entered = self.app.worlds.require(caller.user.as_str(), name).await?;
        Ok((caller, entered))
    }
}
