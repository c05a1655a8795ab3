//! [`Side`]: what has come on each connection, in order, in the recording or from the server.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::{
    canonical::{canonical, key},
    compare::Streams,
    names::Names,
    recording::{Recording, Said},
};

/// What has come, in the recording or from the server.
#[derive(Default)]
pub struct Side {
    pub names: Names,
    pub streams: BTreeMap<u64, Streams>,
    /// Replies of which a piece has come.
    pub begun: HashSet<(u64, String)>,
    pub closed: HashSet<u64>,
}

impl Side {
    pub fn of(recording: &Recording) -> Self {
        let mut side = Self::default();
        for step in &recording.steps {
            if let Said::Server(frame) = &step.said {
                side.hear(step.connection, frame);
            }
        }
        side
    }

    /// Takes a frame; returns which one it is, and the how-manieth of these.
    pub fn hear(&mut self, connection: u64, frame: &Value) -> Option<(String, usize)> {
        self.names.learn(frame);
        let Some(key) = key(frame, &self.names) else {
            let reply = frame["payload"]["messageId"].as_str().and_then(|id| self.names.name(id));
            self.begun.insert((connection, reply.unwrap_or_default().to_owned()));
            return None;
        };
        let stream = self.streams.entry(connection).or_default().entry(key.clone()).or_default();
        let index = stream.len();
        stream.push(frame.clone());
        Some((key, index))
    }

    pub fn close(&mut self, connection: u64, code: u16) {
        let stream = self.streams.entry(connection).or_default().entry("close".to_owned()).or_default();
        stream.push(json!({"closeCode": code}));
        self.closed.insert(connection);
    }

    /// What came on a connection, in the form in which two sides are compared; `names`: those of the whole side.
    pub fn canonical(streams: &Streams, names: &Names) -> Streams {
        let canonical = |frames: &Vec<Value>| frames.iter().map(|frame| canonical(frame, names)).collect();
        streams.iter().map(|(key, frames)| (key.clone(), canonical(frames))).collect()
    }
}
