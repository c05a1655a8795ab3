//! Entries of the directory: a value under a key, its revision, compare-and-set on it.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{BATCH, Failure, Stored, Which};
use super::append::unknown;
use super::put::{Outcome, Put};
use super::{Core, failed};
use crate::log::Error;

/// A value as it stands; `revision` is 0 where there is none.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub value: Option<T>,
    pub revision: u64,
}

/// Bytes asked of a replica at once.
const CHUNK: usize = 1 << 20;

impl Core {
    /// From the leader.
    pub(super) async fn entry<T: DeserializeOwned>(&self, key: &str) -> Result<Entry<T>, Error> {
        let subject = self.names.key(key);
        let stored = self.nats.get(&self.names.directory, Which::Last(&subject)).await.map_err(failed)?;
        let Some(Stored { payload, seq, .. }) = stored else { return Ok(Entry { value: None, revision: 0 }) };
        // Empty: somebody removed it with a tool for key-value buckets.
        let value = (!payload.is_empty()).then(|| serde_json::from_slice(&payload)).transpose().map_err(failed)?;
        Ok(Entry { value, revision: seq })
    }

    /// Writes the value if the key is still at that revision.
    pub(super) async fn set<T: Serialize>(&self, key: &str, value: &T, revision: u64) -> Result<Outcome, Error> {
        let payload = bytes::Bytes::from(serde_json::to_vec(value).map_err(failed)?);
        let (subject, stream) = (self.names.key(key), &self.names.directory);
        let put = Put {
            stream,
            subject: &subject,
            last_of: &subject,
            expected: revision,
            headers: HeaderMap::new(),
            payload: payload.clone(),
        };
        // Equal values are equally good, whoever wrote them.
        self.nats.put(put, self.options.settle, |stored| stored.payload == payload).await
    }

    /// Removes the entry at that revision. Whether this call did it.
    pub(super) async fn unset(&self, revision: u64) -> Result<bool, Error> {
        self.nats.remove(&self.names.directory, revision).await.map_err(|failure| match failure {
            Failure::Lost(_) => unknown(failure),
            _ => failed(failure),
        })
    }

    /// The keys that match, as the leader knows them.
    pub(super) async fn keys(&self, filter: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<BTreeMap<String, IgnoredAny>>,
        }
        let root = self.names.key("");
        let mut keys = Vec::new();
        loop {
            let body = json!({ "subjects_filter": self.names.key(filter), "offset": keys.len() });
            let what = format!("STREAM.INFO.{}", self.names.directory);
            let Info { state, total } = self.nats.ask(&what, body).await.map_err(failed)?;
            let page = state.subjects.unwrap_or_default();
            let more = !page.is_empty();
            keys.extend(page.into_keys().filter_map(|subject| Some(subject.strip_prefix(&root)?.to_owned())));
            if !more || keys.len() >= total {
                return Ok(keys);
            }
        }
    }

    /// All entries that match, in the order in which they were written last. From any replica: what
    /// has just been written may be missing.
    pub(super) async fn scan<T: DeserializeOwned>(
        &self,
        filter: &str,
        mut each: impl FnMut(&str, T, u64),
    ) -> Result<(), Error> {
        let (subject, root) = (self.names.key(filter), self.names.key(""));
        let mut from = 1;
        loop {
            let batch = self.nats.batch(&self.names.directory, from, &subject, BATCH, CHUNK).await;
            let (read, pending) = batch.map_err(failed)?;
            for Stored { subject, seq, payload } in &read {
                from = seq + 1;
                let key = subject.strip_prefix(&root).unwrap_or_default();
                // One that cannot be read is somebody else's, and no reason to do nothing.
                if let Ok(value) = serde_json::from_slice(payload) {
                    each(key, value, *seq);
                }
            }
            if read.is_empty() || pending == 0 {
                return Ok(());
            }
        }
    }

    /// How many entries match, as any replica knows it.
    pub(super) async fn count(&self, filter: &str) -> Result<u64, Error> {
        let batch = self.nats.batch(&self.names.directory, 1, &self.names.key(filter), 1, CHUNK).await;
        let (read, pending) = batch.map_err(failed)?;
        Ok(read.len() as u64 + pending)
    }
}
