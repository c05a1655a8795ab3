//! What a node of a cluster does beside serving its clients, each as a task: it follows the log, takes up turns that
//! wait, and hears what is announced.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::App;
use crate::{
    log::{TokenHash, WorldId, cluster::Cluster},
    protocol::UserId,
    world::{Announcement, patiently},
};

/// Where questions are asked that are about no world.
const EVERY_NODE: WorldId = WorldId::nil();
/// Nobody answers for a token that nobody made, so this is what a wrong one takes.
const ANSWER: Duration = Duration::from_millis(500);

/// The user of a token that another node made for a connection that is open there.
pub(super) async fn new_user(cluster: &dyn Cluster, token: TokenHash) -> Option<UserId> {
    let question = Bytes::from(serde_json::to_vec(&token).ok()?);
    let answer = cluster.ask(EVERY_NODE, question, ANSWER).await.ok().flatten()?;
    UserId::try_from(String::from_utf8(answer.to_vec()).ok()?).ok()
}

impl App {
    /// The tasks; they end with what is returned. `turns`: how many worlds may have turns here at once; `of_each`: of one
    /// user.
    pub fn join(self: &Arc<Self>, cluster: &Arc<dyn Cluster>, turns: usize, of_each: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.worlds.follow_log(&*nodes).await });
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.worlds.take_tickets(&*nodes, turns, of_each).await });
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.hear(&*nodes).await });
        let (app, nodes) = (self.clone(), cluster.clone());
        tasks.spawn(async move { app.tell_new_users(&*nodes).await });
        tasks
    }

    /// Tells other nodes whose the tokens are that were just made here, and are not stored yet.
    async fn tell_new_users(&self, cluster: &dyn Cluster) {
        while let Some(mut asked) = patiently(|| cluster.answer(EVERY_NODE)).await {
            while let Some(question) = asked.next().await {
                let token = serde_json::from_slice(&question.body).ok();
                if let Some(user) = token.and_then(|token| self.identities.new_user(token)) {
                    question.reply(Bytes::from(user.to_string())).await;
                }
            }
        }
    }

    async fn hear(&self, cluster: &dyn Cluster) {
        while let Some(mut heard) = patiently(|| cluster.announcements()).await {
            while let Some(announcement) = heard.next().await {
                match Announcement::read(&announcement) {
                    Some(Announcement::Revoked { token }) => self.identities.revoked(token),
                    Some(announcement) => self.worlds.heard(&announcement, cluster).await,
                    None => {}
                }
            }
        }
    }
}
