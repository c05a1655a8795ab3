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
    fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is revoked. Cancel-safe.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|revoked| *revoked).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Nobody's token, or nobody's any more.
pub fn unknown_token() -> Failure {
    Failure::new(ErrorCode::Unauthenticated, "the session token is unknown or was revoked")
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
        // What is not of a token's form is not looked up.
        let token = SessionToken::try_from(token.to_owned()).map_err(|_| unknown_token())?;
        let hash = TokenHash::of(token.as_str());
        // Followed before it is looked up: a revocation in between is not missed.
        let revocation = self.used.lock().follow(hash);
        let user = self.log.find_session(hash, now_ms()).await.map_err(storage)?;
        let user = UserId::try_from(user.ok_or_else(unknown_token)?).map_err(Failure::internal)?;
        Ok(Identity { user, revocation, unsaved: Mutex::new(None), _alive: None })
    }

    /// The user of a token who is about to write: the first write makes the token of a connection valid.
    pub async fn authenticate_writer(&self, token: &str) -> Result<Identity, Failure> {
        if let Ok(token) = SessionToken::try_from(token.to_owned())
            && let hash = TokenHash::of(token.as_str())
            && let Some(user) = self.new_user(hash)
        {
            let revocation = self.used.lock().follow(hash);
            self.admit(&user, &token, &revocation).await?;
        }
        let known = self.authenticate(token).await;
        let (Some(cluster), Err(failure)) = (&self.cluster, &known) else { return known };
        if failure.code != ErrorCode::Unauthenticated {
            return known;
        }
        // It may have been made on another node, for a connection there.
        let Ok(new) = SessionToken::try_from(token.to_owned()) else { return known };
        let hash = TokenHash::of(new.as_str());
        let revocation = self.used.lock().follow(hash);
        let Some(user) = nodes::new_user(&**cluster, hash).await else { return known };
        self.admit(&user, &new, &revocation).await?;
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
            self.admit(&identity.user, &token, &identity.revocation).await?;
            *identity.unsaved.lock() = None;
        }
        Ok(())
    }

    /// Makes a new `token` one of the user's, unless it is revoked meanwhile. To be repeated harmlessly.
    async fn admit(&self, user: &UserId, token: &SessionToken, revocation: &Revocation) -> Result<(), Failure> {
        let hash = TokenHash::of(token.as_str());
        if !revocation.is_over() {
            self.log.create_session(user.as_str(), hash, now_ms()).await.map_err(storage)?;
            if let Some(token) = self.used.lock().tokens.get_mut(&hash) {
                token.new = None;
            }
        }
        if revocation.is_over() {
            // It may have come into the log behind its revocation.
            self.log.revoke_session(hash).await.map_err(storage)?;
            return Err(unknown_token());
        }
        Ok(())
    }

    /// Makes `token` another one of the user's.
    pub async fn add(&self, user: &UserId, token: &SessionToken) -> Result<(), Failure> {
        self.log.create_session(user.as_str(), TokenHash::of(token.as_str()), now_ms()).await.map_err(storage)
    }

    pub async fn revoke(&self, token: &str) -> Result<bool, Failure> {
        let hash = TokenHash::of(token);
        // What is being stored under it sees this, or is deleted below; who came with it meanwhile is told after that.
        self.revoked(hash);
        let revoked = self.log.revoke_session(hash).await.map_err(storage)?;
        self.revoked(hash);
        if let Some(cluster) = &self.cluster {
            // A node that is cut off does not hear it: what uses the token there goes on.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::sqlite::{Options, Sqlite};

    fn identities() -> (Identities, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let log = Sqlite::open(&Options::new(dir.path())).unwrap();
        (Identities::new(Arc::new(log), None), dir)
    }

    fn is_unknown<T>(result: Result<T, Failure>) -> bool {
        result.is_err_and(|failure| failure.code == ErrorCode::Unauthenticated)
    }

    /// A connection's token is stored by a request beside it, and revoked: the connection does not bring it back.
    #[tokio::test]
    async fn a_revoked_token_stays_revoked() {
        let (identities, _dir) = identities();
        let (connection, token) = identities.anonymous().unwrap();
        identities.authenticate_writer(token.as_str()).await.unwrap();
        assert!(identities.revoke(token.as_str()).await.unwrap());
        assert!(is_unknown(identities.save(&connection).await));
        assert!(is_unknown(identities.authenticate_writer(token.as_str()).await));
        assert!(is_unknown(identities.authenticate(token.as_str()).await));
    }

    /// Once it is stored it is like any other: nobody makes it anew, whatever became of it elsewhere.
    #[tokio::test]
    async fn a_stored_token_is_new_no_more() {
        let (identities, _dir) = identities();
        let (connection, token) = identities.anonymous().unwrap();
        let hash = TokenHash::of(token.as_str());
        assert_eq!(identities.new_user(hash).as_ref(), Some(&connection.user));
        identities.save(&connection).await.unwrap();
        assert_eq!(identities.new_user(hash), None);
        // As another node would, which this one did not hear.
        assert!(identities.log.revoke_session(hash).await.unwrap());
        assert!(is_unknown(identities.authenticate_writer(token.as_str()).await));
    }

    #[tokio::test]
    async fn a_token_that_is_revoked_while_it_is_stored_is_void() {
        for _ in 0..200 {
            let (identities, _dir) = identities();
            let (connection, token) = identities.anonymous().unwrap();
            let (saved, revoked) = tokio::join!(identities.save(&connection), identities.revoke(token.as_str()));
            revoked.unwrap();
            assert!(saved.is_ok() || is_unknown(saved));
            assert!(is_unknown(identities.authenticate_writer(token.as_str()).await));
        }
    }
}
