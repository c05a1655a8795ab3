//! What is stored says nothing of secrets.

use async_nats::jetstream::{self, stream};

use super::*;
use crate::log::contract::{append, draft, make_world};
use crate::log::{Append, Secret, SecretWrite, Snapshot, WorldLog};

const TEXT: &str = "sk-very-secret-indeed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn no_stored_message_holds_a_secret() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let node = open(&options).await;
    let world = make_world(&node).await;
    let secret = SecretWrite { agent: "a1".into(), secret: Some(Secret::new(TEXT)) };
    let write = Append { secrets: vec![secret], ..append(world, 0, vec![draft("{\"readable\":1}")]) };
    node.append(write).await.unwrap();
    node.save_snapshot(world, Snapshot { seq: 1, body: "readable".into() }).await.unwrap();
    node.core.slots.forget(world);
    assert_eq!(node.secrets(world).await.unwrap()[0].1.expose(), TEXT);

    let context = jetstream::new(node.core.nats.client.clone());
    let (mut messages, mut readable) = (0, 0);
    let names = &node.core.names;
    for name in [&names.log, &names.snapshots, &names.directory] {
        let mut stream: stream::Stream = context.get_stream(name).await.unwrap();
        let state = stream.info().await.unwrap().state.clone();
        for seq in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(seq).await else { continue };
            let text = format!("{:?} {:?} {}", message.subject, message.headers, message.payload.escape_ascii());
            assert!(!text.contains(TEXT) && !text.contains("c2stdmVyeS1zZWNyZX"), "{text}");
            messages += 1;
            readable += usize::from(text.contains("readable"));
        }
    }
    assert!(messages >= 6 && readable == 2, "{messages} messages, {readable} of them readable");
}
