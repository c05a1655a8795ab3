//! Requests that were waiting together: each is decided on what those before it have done, all of them are appended
//! at once, and only then is anybody answered.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering,
};

use bytes::Bytes;

use super::{
    Actor, Request,
    commit::{Ahead, Unsettled},
    mint,
};
use crate::{
    error::Failure,
    log::{KeyRecord, KeyWrite},
    protocol::{ErrorCode, IdempotencyKey, MessageId},
    world::{
        command::{Command, Outcome},
        decide::Context,
        fingerprint::fingerprint,
        refusal::storage,
        time::now_ms,
    },
};

/// What a key was used for, and what it brought.
struct Done {
    fingerprint: [u8; 32],
    /// What the fingerprint may have been made under, if not under this installation's key.
    former: Option<[u8; 32]>,
    answer: Bytes,
}

type Known = HashMap<IdempotencyKey, Done>;
type Outcomes = Vec<Result<Outcome, Failure>>;

/// What replies end with that requests end.
#[derive(Clone, Copy, PartialEq)]
enum Texts {
    /// Their text so far.
    Whole,
    Nothing,
}

/// How often something is decided anew because somebody else appended first.
pub(super) const ATTEMPTS: usize = 16;

impl Actor {
    pub(super) async fn execute(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        match self.settle(&requests, Texts::Whole).await {
            Ok(outcomes) => {
                for (request, outcome) in requests.into_iter().zip(outcomes) {
                    let _ = request.answer.send(outcome);
                }
                self.bound_log().await;
                self.schedule();
            }
            // Together they are too much for one append.
            Err(Unsettled::TooLarge(_)) if requests.len() > 1 => {
                let mut first = requests;
                let second = first.split_off(first.len() / 2);
                Box::pin(self.execute(first)).await;
                Box::pin(self.execute(second)).await;
            }
            Err(unsettled) => {
                let failure = Failure::from(unsettled);
                let refuse = |request: Request| drop(request.answer.send(Err(failure.clone())));
                requests.into_iter().for_each(refuse);
            }
        }
    }

    /// Decides them until nobody else has appended meanwhile.
    async fn settle(&mut self, requests: &[Request], texts: Texts) -> Result<Outcomes, Unsettled> {
        let mut frozen = BTreeSet::new();
        let mut done = Err(Unsettled::Moved);
        for _ in 0..ATTEMPTS {
            if matches!(done, Err(Unsettled::Moved)) {
                done = self.attempt(requests, texts, &mut frozen).await;
            }
        }
        match done {
            // One that ends many replies: better without their texts than not at all.
            Err(Unsettled::TooLarge(_)) if requests.len() == 1 && texts == Texts::Whole => {
                Box::pin(self.settle(requests, Texts::Nothing)).await
            }
            done => done,
        }
    }

    /// Decides all of them and appends what came of it; what each is to be told then. A refusal may have been decided on
    /// what the others did, so nobody is told anything when nothing was done.
    async fn attempt(
        &mut self,
        requests: &[Request],
        texts: Texts,
        frozen: &mut BTreeSet<MessageId>,
    ) -> Result<Outcomes, Unsettled> {
        let mut known = self.prepare(requests).await?;
        self.freeze_others(requests, frozen).await;
        let mut ahead = Ahead::default();
        let decide =
            |Request { command, key, .. }: &Request| self.decide(command, key.clone(), texts, &mut known, &mut ahead);
        let outcomes = requests.iter().map(decide).collect();
        if ahead.is_empty() && self.follow_the_log().await? {
            // Nothing to append, so nothing would have told that this was decided on an old state.
            return Err(Unsettled::Moved);
        }
        self.commit(ahead, None).await?;
        Ok(outcomes)
    }

    /// Makes sure of the state, and finds out what is known of the keys of these requests.
    async fn prepare(&mut self, requests: &[Request]) -> Result<Known, Failure> {
        self.fresh().await?;
        let keys: Vec<_> = requests.iter().filter_map(|request| request.key.as_ref()).collect();
        if keys.is_empty() {
            return Ok(Known::new());
        }
        let names: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        let found = self.cell.services.log.find_keys(self.cell.id, &self.cell.user, &names).await.map_err(storage)?;
        let former = match found.iter().any(Option::is_some) {
            true => self.cell.services.log.former_key(self.cell.id).await.map_err(storage)?,
            false => None,
        };
        let known = |(key, record): (&&IdempotencyKey, Option<KeyRecord>)| {
            let KeyRecord { fingerprint, answer, .. } = record?;
            Some(((*key).clone(), Done { fingerprint, former, answer }))
        };
        Ok(keys.iter().zip(found).filter_map(known).collect())
    }

    /// Decides one request, unless its key says that it was decided before, and lets the state run ahead.
    fn decide(
        &mut self,
        command: &Command,
        key: Option<IdempotencyKey>,
        texts: Texts,
        known: &mut Known,
        ahead: &mut Ahead,
    ) -> Result<Outcome, Failure> {
        let services = self.cell.services.clone();
        let print = match &key {
            Some(_) => fingerprint(&services.installation_key, self.cell.id, command)?,
            None => [0; 32],
        };
        if let Some(done) = key.as_ref().and_then(|key| known.get(key)) {
            let before = done.former.map(|former| fingerprint(&former, self.cell.id, command)).transpose()?;
            if done.fingerprint != print && Some(done.fingerprint) != before {
                let text = "this idempotency key was used for a different request";
                return Err(Failure::new(ErrorCode::Conflict, text));
            }
            let answer = serde_json::from_slice(&done.answer).map_err(Failure::internal)?;
            return Ok(Outcome { answer, duplicate: true });
        }
        let new_work = matches!(command, Command::Chat { .. } | Command::Retry { .. });
        if new_work && services.draining.load(Ordering::Relaxed) {
            let text = "the server is about to stop; send this again in a moment";
            return Err(Failure::new(ErrorCode::Overloaded, text).retry_after_ms(2_000));
        }
        let at_ms = now_ms();
        let text_of = |reply: &MessageId| {
            let text = self.text_of(reply);
            if texts == Texts::Whole { text } else { String::new() }
        };
        let mut context = Context { at_ms, mint: &mut mint, text_of: &text_of, claim: None };
        let decision = self.world.decide(command, &mut context)?;
        if let Some(key) = key {
            let answer = Bytes::from(serde_json::to_vec(&decision.answer).map_err(Failure::internal)?);
            ahead.keys.push(KeyWrite {
                user: self.cell.user.clone(),
                key: key.to_string(),
                fingerprint: print,
                answer: answer.clone(),
                at_ms,
            });
            known.insert(key, Done { fingerprint: print, former: None, answer });
        }
        ahead.secrets.extend(decision.secrets);
        ahead.stage(&mut self.world, at_ms, decision.events);
        Ok(Outcome { answer: decision.answer, duplicate: false })
    }
}
