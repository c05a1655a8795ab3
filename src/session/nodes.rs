//! What a node of a cluster does beside serving its clients, each as a task: it follows the log, takes up turns that
//! wait, and hears what is announced.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::App;
use crate::{
    log::{Error, cluster::Cluster},
    world::Announcement,
};

const RETRY: Duration = Duration::from_millis(500);

impl App {
    /// The tasks; they end with what is returned. `turns`: how many worlds may have turns here at once.
    pub fn join(self: &Arc<Self>, cluster: &Arc<dyn Cluster>, turns: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.worlds.follow_log(&*nodes).await });
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.worlds.take_tickets(&*nodes, turns).await });
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.hear(&*nodes).await });
        tasks
    }

    async fn hear(&self, cluster: &dyn Cluster) {
        loop {
            let mut heard = match cluster.announcements().await {
                Ok(heard) => heard,
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "failed to listen to other nodes");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            while let Some(announcement) = heard.next().await {
                match Announcement::read(&announcement) {
                    Some(Announcement::Revoked { token }) => self.identities.revoked(token),
                    Some(announcement) => self.worlds.heard(&announcement, cluster).await,
                    None => {}
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
