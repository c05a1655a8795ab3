//! Epochs after a restored backup.

use super::*;
use crate::log::contract::{append, draft, find_key, make_world, now_ms, whole};
use crate::log::{Appended, Directory, KeyWrite, WorldLog};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn every_world_gets_a_new_epoch_and_keeps_everything_but_its_keys() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let (store, beside) = (open(&options).await, open(&options).await);
    let mut worlds = Vec::new();
    for _ in 0..40 {
        let world = make_world(&store).await;
        let key =
            KeyWrite { user: "u".into(), key: "k".into(), fingerprint: [1; 32], answer: "{}".into(), at_ms: now_ms() };
        let written = crate::log::Append { keys: vec![key], ..append(world, 0, vec![draft("one"), draft("two")]) };
        assert_eq!(store.append(written).await.unwrap(), Appended::Done { head: 2 });
        assert!(find_key(&beside, world, "u", "k").await.unwrap().is_some());
        worlds.push((world, store.head(world).await.unwrap().unwrap(), whole(&store, world).await));
    }
    let gone = make_world(&store).await;
    assert!(store.delete_world(gone).await.unwrap());

    let operator = JetStream::open_beside(options.clone()).await.unwrap();
    let told = Mutex::new(Vec::new());
    assert_eq!(operator.renew_epochs(|done, all| told.lock().push((done, all))).await.unwrap(), worlds.len());
    assert_eq!(told.lock().last(), Some(&(worlds.len(), worlds.len())));
    let mut epochs = std::collections::HashSet::new();
    for (world, head, records) in &worlds {
        for store in [&store, &beside, &open(&options).await] {
            let now = store.head(*world).await.unwrap().unwrap();
            assert_eq!((now.head, now.floor, now.epoch.len()), (head.head, head.floor, 16));
            assert_ne!(now.epoch, head.epoch);
            epochs.insert(now.epoch);
            assert_eq!(&whole(store, *world).await, records);
            assert_eq!(find_key(store, *world, "u", "k").await.unwrap(), None);
        }
        let more = store.append(append(*world, 2, vec![draft("three")])).await.unwrap();
        assert_eq!(more, Appended::Done { head: 3 });
        assert_eq!(store.head(*world).await.unwrap(), beside.head(*world).await.unwrap());
    }
    assert_eq!(epochs.len(), worlds.len(), "each its own, and all stores agree");
    assert!(store.head(gone).await.unwrap().is_none());
}
