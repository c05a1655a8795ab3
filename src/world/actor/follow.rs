//! What others append to this world, and what they say of the replies that they run: taken in here, in the order of
//! the log, and published to whoever listens on this node.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{Actor, Request, commit::PAGE};
use crate::{
    error::Failure,
    log::{Record, cluster::Question},
    protocol::MessageId,
    world::{
        command::Command,
        event::Event,
        nodes::{Ask, Heard},
        publish::publish,
        refusal::storage,
        reply::{LiveReply, Stretch},
    },
};

/// How long another node has to say what a reply of its says.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a reply stays silent whose end another node is about to record.
const FROZEN: Duration = Duration::from_secs(3);

impl Actor {
    /// Takes in what was appended, up to `head`. `records` may be what is missing, or something else.
    pub(super) async fn follow(&mut self, head: u64, records: &[Record]) -> Result<(), Failure> {
        if self.stale {
            return self.fresh().await;
        }
        if self.world.head < head {
            self.absorb(records)?;
        }
        while self.world.head < head {
            let page = self.cell.services.log.read(self.cell.id, self.world.head, PAGE).await.map_err(storage)?;
            if page.floor > self.world.head {
                self.stale = true;
                return self.fresh().await;
            }
            if page.records.is_empty() {
                break;
            }
            let before = self.world.head;
            self.absorb(&page.records)?;
            if self.world.head == before {
                // What was published does not follow on this state.
                self.stale = true;
                return self.fresh().await;
            }
        }
        Ok(())
    }

    /// Looks at how far the log goes now, where others write too. Whether it went further than was known.
    pub(super) async fn follow_the_log(&mut self) -> Result<bool, Failure> {
        if self.cell.services.cluster.is_none() {
            return Ok(false);
        }
        let head = self.cell.services.log.head(self.cell.id).await.map_err(storage)?.map_or(0, |head| head.head);
        let further = head > self.world.head;
        if further {
            self.follow(head, &[]).await?;
        }
        Ok(further)
    }

    /// Folds in and publishes those that follow on what is known.
    pub(super) fn absorb(&mut self, records: &[Record]) -> Result<(), Failure> {
        let mut pushes = Vec::new();
        let mut published = self.cell.hub.head();
        for record in records {
            if record.seq != published + 1 {
                continue;
            }
            let event = Event::from_record(&record.body).map_err(Failure::internal)?;
            if record.seq == self.world.head + 1 {
                self.world.apply(record.seq, record.at_ms, &event);
                self.secrets_stale |= matches!(
                    event,
                    Event::AgentCreated { .. } | Event::AgentUpdated { .. } | Event::AgentDeleted { .. }
                );
            }
            published = record.seq;
            self.complete(&event);
            let push = publish(&self.cell.name, record.seq, record.id, record.at_ms, &event);
            pushes.extend(push.map(|push| (record.seq, push)));
            self.stop_if_ended(&event);
        }
        self.cell.hub.publish(published, pushes, None);
        self.listen_to_others();
        Ok(())
    }

    /// The end of a reply may overtake the last of its deltas: what is missing is said before it.
    fn complete(&self, event: &Event) {
        if let Event::ReplyEnded { reply, content, .. } = event
            && let Some(live) = self.elsewhere.get(&reply.message_id)
        {
            let whole = Stretch { offset: 0, end: content.chars().count() as u64, text: content.clone() };
            let _ = live.hear(&whole, |stretch| self.cell.hub.publish_delta(&self.cell.name, live, &stretch));
        }
    }

    /// Opens an ear for every reply that runs on another node, and closes those of replies that are over.
    pub(super) fn listen_to_others(&mut self) {
        if self.cell.services.cluster.is_none() {
            return;
        }
        let world = &self.world;
        self.elsewhere.retain(|reply, _| world.running(reply).is_some());
        let others = world.agents().filter_map(|agent| agent.running.as_ref()).map(|turn| &turn.reply);
        let new: Vec<_> = others
            .filter(|reply| !self.running.contains_key(&reply.message_id) && !self.is_unrecorded(&reply.message_id))
            .filter(|reply| !self.elsewhere.contains_key(&reply.message_id))
            .cloned()
            .collect();
        for reply in new {
            let live = Arc::new(LiveReply::new(reply.clone()));
            self.elsewhere.insert(reply.message_id.clone(), live.clone());
            self.cell.hub.begin(live);
            self.fetch(reply.message_id, 0);
        }
    }

    /// What another node says of a reply that it runs.
    pub(super) fn heard(&self, heard: Heard) {
        // What is over, or was never started as far as the log goes, is not listened to.
        let Some(live) = self.elsewhere.get(&heard.reply) else { return };
        let publish = |stretch: Stretch| self.cell.hub.publish_delta(&self.cell.name, live, &stretch);
        if let Err(from) = live.hear(&heard.stretch, publish) {
            self.fetch(heard.reply, from);
        }
    }

    /// Asks for the text of a reply from `from` on; it comes as something heard.
    fn fetch(&self, reply: MessageId, from: u64) {
        let Some(cluster) = self.cell.services.cluster.clone() else { return };
        let (world, notes) = (self.cell.id, self.notes.0.clone());
        tokio::spawn(async move {
            let question = Ask::Text { reply: reply.clone(), from }.to_bytes();
            if let Ok(Some(answer)) = cluster.ask(world, question, ANSWER).await
                && let Some(heard) = Heard::read(&answer)
            {
                let _ = notes.send(super::Note::Heard(heard)).await;
            }
        });
    }

    /// Answers, if the reply runs here; if it does not, whoever runs it does.
    pub(super) fn asked(&self, question: Question) {
        let Some(ask) = Ask::read(&question.body) else { return };
        let reply = ask.reply().clone();
        let Some(running) = self.running.get(&reply) else { return };
        let live = running.live.clone();
        let stretch = match ask {
            Ask::Text { from, .. } => live.since(from),
            Ask::Freeze { .. } => {
                let (text, freeze) = live.freeze_once();
                tokio::spawn(async move {
                    tokio::time::sleep(FROZEN).await;
                    live.thaw_after(freeze);
                });
                Some(Stretch { offset: 0, end: text.chars().count() as u64, text })
            }
        };
        let stretch = stretch.unwrap_or(Stretch { offset: 0, end: 0, text: String::new() });
        tokio::spawn(async move { question.reply(Heard { reply, stretch }.to_bytes()).await });
    }

    /// Before requests are decided that may end replies: those that run on other nodes fall silent, and what they have
    /// said is known here. `frozen`: those that were asked already, and those that are now.
    pub(super) async fn freeze_others(&self, requests: &[Request], frozen: &mut BTreeSet<MessageId>) {
        let ends = |request: &Request| matches!(request.command, Command::Cancel { .. } | Command::DeleteAgent { .. });
        let Some(cluster) = self.cell.services.cluster.clone() else { return };
        if !requests.iter().any(ends) {
            return;
        }
        let new: Vec<_> = self.elsewhere.iter().filter(|(reply, _)| frozen.insert((*reply).clone())).collect();
        let ask = async |(reply, live): (&MessageId, &Arc<LiveReply>)| {
            let question = Ask::Freeze { reply: reply.clone() }.to_bytes();
            let answer = cluster.ask(self.cell.id, question, ANSWER).await.ok().flatten();
            if let Some(heard) = answer.and_then(|answer| Heard::read(&answer)) {
                // The rest of what it said, which deltas would have brought.
                let _ = live.hear(&heard.stretch, |stretch| {
                    self.cell.hub.publish_delta(&self.cell.name, live, &stretch);
                });
            }
        };
        join_all(new.into_iter().map(ask)).await;
    }

    /// The text so far of a reply that is about to be ended, wherever it runs.
    pub(super) fn text_of(&self, reply: &MessageId) -> String {
        let here = self.running.get(reply).map(|running| &running.live);
        here.or_else(|| self.elsewhere.get(reply)).map_or_else(String::new, |live| live.freeze())
    }
}
