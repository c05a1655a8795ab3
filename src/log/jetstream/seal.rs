//! What is made of the cluster key: sealed secrets, the installation key, a check value.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::log::{Secret, WorldId};

/// Stands where the agent does; no agent is called so.
const FORMER_KEY: &str = "\0former key";

/// A key of its own for each purpose, so that none says anything of another.
pub(super) fn derive(cluster_key: &[u8; 32], purpose: &str) -> [u8; 32] {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(cluster_key).map_or([0; 32], |mut mac| {
        mac.update(b"agent-world ");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    })
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("failed to seal a secret")]
    Seal,
    #[error("a stored secret does not open: it was sealed under another key, or is damaged")]
    Open,
}

/// Seals secrets so that they are worth nothing to who reads the stream, nor in another place.
pub(super) struct Sealer(LessSafeKey);

impl Sealer {
    pub fn new(cluster_key: &[u8; 32]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, &derive(cluster_key, "secrets of worlds"));
        key.map(|key| Self(LessSafeKey::new(key))).map_err(|_| SealError::Seal)
    }

    /// A random nonce, then text and tag.
    pub fn seal(&self, world: WorldId, agent: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Seal)?;
        let mut text = secret.expose().as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place(world, agent), &mut text)
            .map_err(|_| SealError::Seal)?;
        Ok([&nonce[..], &text].concat())
    }

    pub fn open(&self, world: WorldId, agent: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut text = text.to_vec();
        let text = self.0.open_in_place(nonce, place(world, agent), &mut text).map_err(|_| SealError::Open)?;
        std::str::from_utf8(text).map(Secret::new).map_err(|_| SealError::Open)
    }

    /// The key of the installation that a world came from.
    pub fn seal_key(&self, world: WorldId, key: &[u8; 32]) -> Result<Vec<u8>, SealError> {
        self.seal(world, FORMER_KEY, &Secret::new(STANDARD.encode(key)))
    }

    pub fn open_key(&self, world: WorldId, sealed: &[u8]) -> Result<[u8; 32], SealError> {
        let text = self.open(world, FORMER_KEY, sealed)?;
        STANDARD.decode(text.expose()).ok().and_then(|key| key.try_into().ok()).ok_or(SealError::Open)
    }
}

/// A sealed secret opens in its own world and for its own agent only.
fn place(world: WorldId, agent: &str) -> Aad<Vec<u8>> {
    Aad::from([world.as_bytes(), agent.to_ascii_lowercase().as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_sealed_secret_opens_in_its_place_only() {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let (world, other) = (Uuid::now_v7(), Uuid::now_v7());
        let sealed = sealer.seal(world, "A1", &Secret::new("sk-live")).unwrap();
        assert!(!sealed.windows(7).any(|w| w == b"sk-live"));
        assert_eq!(sealer.open(world, "a1", &sealed).unwrap().expose(), "sk-live");
        assert!(sealer.open(other, "a1", &sealed).is_err());
        assert!(sealer.open(world, "b2", &sealed).is_err());
        assert!(sealer.open(world, "a1", &sealed[..9]).is_err());
        assert!(Sealer::new(&[2; 32]).unwrap().open(world, "a1", &sealed).is_err());
        let sealed = sealer.seal_key(world, &[3; 32]).unwrap();
        assert_eq!(sealer.open_key(world, &sealed).unwrap(), [3; 32]);
        assert!(sealer.open_key(other, &sealed).is_err());
        assert_ne!(derive(&[1; 32], "a"), derive(&[1; 32], "b"));
    }
}
