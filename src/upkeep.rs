//! What must be done now and then: worlds and users that nobody uses go, storage is watched.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    log::USE_GRAIN_MS,
    session::App,
    world::{now_ms, storage},
};

/// How often users are looked at.
const USERS: Duration = Duration::from_secs(60 * 60);
/// Users that one step removes.
const USERS_AT_ONCE: usize = 100;

/// Runs until it is aborted.
pub async fn run(app: Arc<App>, user_retention: Duration, grace: Duration) {
    let mut ticks = interval((grace / 4).clamp(Duration::from_millis(100), Duration::from_secs(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut users_due = Instant::now();
    loop {
        ticks.tick().await;
        app.worlds.tidy().await;
        let healthy = app.worlds.services.log.probe().await;
        if let Err(error) = &healthy {
            tracing::error!(%error, "storage is failing");
        }
        app.stats.storage_failing.store(healthy.is_err(), Ordering::Relaxed);
        if Instant::now() >= users_due {
            users_due = Instant::now() + USERS;
            if let Err(failure) = expire_users(&app, user_retention).await {
                failure.log();
            }
        }
    }
}

async fn expire_users(app: &App, retention: Duration) -> Result<(), crate::error::Failure> {
    let log = &app.worlds.services.log;
    for user in app.worlds.present_users() {
        log.touch_user(&user, now_ms()).await.map_err(storage)?;
    }
    loop {
        // What was written of the last use may be that much too early.
        let before = now_ms() - USE_GRAIN_MS - retention.as_millis() as i64;
        let expired = log.expire_users(before, USERS_AT_ONCE).await.map_err(storage)?;
        for user in &expired {
            tracing::info!(user = user.user.as_str(), worlds = user.worlds.len(), "user expired");
            app.worlds.forget(&user.worlds);
        }
        if expired.len() < USERS_AT_ONCE {
            return Ok(());
        }
    }
}
