//! What an idempotency key stands for: the domain command with defaults filled in, whatever the transport, as an
//! HMAC under this installation's key (docs/PROTOCOL.md §4).

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::command::Command;
use crate::{error::Failure, log::WorldId};

pub fn fingerprint(key: &[u8; 32], world: WorldId, command: &Command) -> Result<[u8; 32], Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Failure::internal)?;
    mac.update(world.as_bytes());
    mac.update(&serde_json::to_vec(&command.canonical()).map_err(Failure::internal)?);
    Ok(mac.finalize().into_bytes().into())
}
