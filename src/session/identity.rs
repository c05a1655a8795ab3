//! Who is calling: users and their session tokens (docs/PROTOCOL.md §5). A token is 256 bits, stored as SHA-256.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::nodes;
use crate::{
    error::Failure,
    log::{Store, TokenHash, cluster::Cluster},
    protocol::{ErrorCode, SessionToken, UserId},
    world::{Announcement, now_ms, storage},
};

/// A user, as one connection or request knows it.
#[derive(Debug)]
pub struct Identity {
    pub user: UserId,
    /// Says when the token that was used is revoked.
    pub revocation: Revocation,
    /// A token that is not stored yet: it becomes valid with the user's first write, and is void otherwise.
    unsaved: Mutex<Option<SessionToken>>,
    /// Held by who made a new user: as long as it lives, the token can be stored.
    _alive: Option<Arc<()>>,
}

/// Whether a token was revoked while somebody uses it.
#[derive(Clone, Debug)]
pub struct Revocation(watch::Receiver<bool>);

impl Revocation {
    /// Returns when it is revoked. Cancel-safe.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|revoked| *revoked).await.is_err() {
            std::future::pending().await
        }
    }
}

pub struct Identities {
    log: Arc<dyn Store>,
    cluster: Option<Arc<dyn Cluster>>,
    /// The tokens in use.
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    tokens: HashMap<TokenHash, Token>,
    sweep_at: usize,
}

struct Token {
    revoked: watch::Sender<bool>,
    /// Whose it is, when it was just made.
    new: Option<(UserId, Weak<()>)>,
}

impl Used {
    fn follow(&mut self, token: TokenHash) -> Revocation {
        if self.tokens.len() >= self.sweep_at {
            self.tokens.retain(|_, token| token.revoked.receiver_count() > 0);
            self.sweep_at = (self.tokens.len() * 2).max(1_024);
        }
        let token = self.tokens.entry(token).or_insert_with(|| Token { revoked: watch::channel(false).0, new: None });
        Revocation(token.revoked.subscribe())
    }
}

impl Identities {
    pub fn new(log: Arc<dyn Store>, cluster: Option<Arc<dyn Cluster>>) -> Self {
        Self { log, cluster, used: Mutex::default() }
    }

    /// A new anonymous user and its token, nothing of it stored.
    pub fn anonymous(&self) -> Result<(Identity, SessionToken), Failure> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(Failure::internal)?;
        let token = SessionToken::trusted(URL_SAFE_NO_PAD.encode(secret));
        let user = UserId::trusted(format!("anon_{}", Uuid::new_v4()));
        let hash = TokenHash::of(token.as_str());
        let alive = Arc::new(());
        let mut used = self.used.lock();
        let revocation = used.follow(hash);
        if let Some(entry) = used.tokens.get_mut(&hash) {
            entry.new = Some((user.clone(), Arc::downgrade(&alive)));
        }
        Ok((Identity { user, revocation, unsaved: Mutex::new(Some(token.clone())), _alive: Some(alive) }, token))
    }

    /// The user of a token; never a silent new one.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, Failure> {
        let unknown = || Failure::new(ErrorCode::Unauthenticated, "the session token is unknown or was revoked");
        // What is not of a token's form is not looked up.
        let token = SessionToken::try_from(token.to_owned()).map_err(|_| unknown())?;
        let hash = TokenHash::of(token.as_str());
        // Followed before it is looked up: a revocation in between is not missed.
        let revocation = self.used.lock().follow(hash);
        let user = self.log.find_session(hash, now_ms()).await.map_err(storage)?;
        let user = UserId::try_from(user.ok_or_else(unknown)?).map_err(Failure::internal)?;
        Ok(Identity { user, revocation, unsaved: Mutex::new(None), _alive: None })
    }

    /// The user of a token who is about to write: the first write makes the token of a connection valid.
    pub async fn authenticate_writer(&self, token: &str) -> Result<Identity, Failure> {
        if let Ok(token) = SessionToken::try_from(token.to_owned())
            && let hash = TokenHash::of(token.as_str())
            && let Some(user) = self.new_user(hash)
        {
            self.admit(&user, &token).await?;
            if let Some(token) = self.used.lock().tokens.get_mut(&hash) {
                token.new = None;
            }
        }
        let known = self.authenticate(token).await;
        let (Some(cluster), Err(failure)) = (&self.cluster, &known) else { return known };
        if failure.code != ErrorCode::Unauthenticated {
            return known;
        }
        // It may have been made on another node, for a connection there.
        let Ok(new) = SessionToken::try_from(token.to_owned()) else { return known };
        let Some(user) = nodes::new_user(&**cluster, TokenHash::of(new.as_str())).await else { return known };
        self.admit(&user, &new).await?;
        self.authenticate(token).await
    }

    /// The user of a token that was just made, as long as the connection lives that got it.
    pub(super) fn new_user(&self, token: TokenHash) -> Option<UserId> {
        let used = self.used.lock();
        let (user, alive) = used.tokens.get(&token)?.new.as_ref()?;
        (alive.strong_count() > 0).then(|| user.clone())
    }

    /// Stores user and token, if they are not.
    pub async fn save(&self, identity: &Identity) -> Result<(), Failure> {
        let unsaved = identity.unsaved.lock().clone();
        if let Some(token) = unsaved {
            self.admit(&identity.user, &token).await?;
            *identity.unsaved.lock() = None;
        }
        Ok(())
    }

    /// Makes `token` one of the user's. To be repeated harmlessly.
    pub async fn admit(&self, user: &UserId, token: &SessionToken) -> Result<(), Failure> {
        self.log.create_session(user.as_str(), TokenHash::of(token.as_str()), now_ms()).await.map_err(storage)
    }

    pub async fn revoke(&self, token: &str) -> Result<bool, Failure> {
        let hash = TokenHash::of(token);
        let revoked = self.log.revoke_session(hash).await.map_err(storage)?;
        self.revoked(hash);
        if let Some(cluster) = &self.cluster {
            // Not heard by a node that is cut off: there the token ends with its next use.
            let _ = cluster.announce(Announcement::Revoked { token: hash }.to_bytes()).await;
        }
        Ok(revoked)
    }

    /// Ends what uses the token, on this node.
    pub fn revoked(&self, token: TokenHash) {
        if let Some(token) = self.used.lock().tokens.remove(&token) {
            token.revoked.send_replace(true);
        }
    }
}
