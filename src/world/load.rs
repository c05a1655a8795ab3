//! Brings a world's state back: the newest snapshot, and the records after it.

use std::collections::HashMap;

use super::{cell::WorldCell, event::Event, refusal::storage, state::World};
use crate::{
    error::Failure,
    log::{Limit, Secret},
    protocol::{AgentName, TemplateName, TurnLimit},
};

const PAGE: Limit = Limit { records: 1_000, bytes: 4 * 1024 * 1024 };

pub struct Loaded {
    pub world: World,
    pub secrets: HashMap<AgentName, Secret>,
    /// `seq` of the snapshot that was used.
    pub snapshot_at: u64,
}

pub async fn load(cell: &WorldCell) -> Result<Loaded, Failure> {
    let log = &cell.services.log;
    let snapshot = log.latest_snapshot(cell.id).await.map_err(storage)?;
    let from_snapshot = snapshot.as_ref().and_then(|snapshot| match super::snapshot::read(&snapshot.body) {
        Ok(world) => Some(world).filter(|world| world.head == snapshot.seq),
        Err(error) => {
            // Another version wrote it; the log has everything, as long as it was not cut.
            tracing::warn!(world = %cell.id, %error, "snapshot is unreadable, reading the whole log");
            None
        }
    });
    let snapshot_at = from_snapshot.as_ref().map_or(0, |world: &World| world.head);
    let mut world = match from_snapshot {
        Some(world) => world,
        None => World::new(TemplateName::trusted("unnamed".to_owned()), TurnLimit::saturating(1)),
    };
    loop {
        let page = log.read(cell.id, world.head, PAGE).await.map_err(storage)?;
        if page.floor > world.head {
            return Err(Failure::internal(format!(
                "world {}: records up to {} are gone and no snapshot covers them",
                cell.id, page.floor
            )));
        }
        if page.records.is_empty() {
            break;
        }
        for record in page.records {
            let event = Event::from_record(&record.body)
                .map_err(|error| Failure::internal(format!("world {}, seq {}: {error}", cell.id, record.seq)))?;
            world.apply(record.seq, record.at_ms, &event);
        }
    }
    Ok(Loaded { world, secrets: secrets(cell).await?, snapshot_at })
}

/// The keys of the world's agents.
pub async fn secrets(cell: &WorldCell) -> Result<HashMap<AgentName, Secret>, Failure> {
    let secrets = cell.services.log.secrets(cell.id).await.map_err(storage)?;
    let known = |(agent, secret)| Some((AgentName::try_from(agent).ok()?, secret));
    Ok(secrets.into_iter().filter_map(known).collect())
}
