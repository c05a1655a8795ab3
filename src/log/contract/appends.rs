//! What an append writes, and what it does not.

use std::collections::{BTreeMap, HashMap};

use tokio::task::JoinSet;

use super::*;

pub(crate) async fn racing_appends_are_dense_and_have_one_winner(opened: Opened) {
    const TASKS: u64 = 24;
    const ROUNDS: u64 = 40;
    let store = opened.store;
    let mut worlds = Vec::new();
    for _ in 0..6 {
        worlds.push(make_world(&*store).await);
    }
    let mut tasks = JoinSet::new();
    for seed in 0..TASKS {
        let (store, worlds) = (store.clone(), worlds.clone());
        tasks.spawn(async move {
            let mut dice = Dice(seed);
            // What this task believes, mostly stale: others append too.
            let mut heads = HashMap::new();
            let (mut won, mut lost) = (Vec::new(), 0u32);
            for _ in 0..ROUNDS {
                let world = worlds[dice.roll(worlds.len() as u64) as usize];
                let head = heads.entry(world).or_insert(0u64);
                let drafts = drafts(1 + dice.roll(4) as usize);
                let ids: Vec<Uuid> = drafts.iter().map(|d| d.id).collect();
                match store.append(append(world, *head, drafts)).await.unwrap() {
                    Appended::Done { head: new } => {
                        assert_eq!(new, *head + ids.len() as u64);
                        won.extend(ids.into_iter().zip(*head + 1..).map(|(id, at)| (world, at, id)));
                        *head = new;
                    }
                    Appended::Conflict { head: current } => {
                        assert_ne!(current, *head);
                        lost += 1;
                        *head = current;
                    }
                    Appended::Duplicate(key) => panic!("{key:?}"),
                }
            }
            (won, lost)
        });
    }
    let (mut expected, mut conflicts) = (BTreeMap::<_, BTreeMap<_, _>>::new(), 0);
    while let Some(outcome) = tasks.join_next().await {
        let (won, lost) = outcome.unwrap();
        conflicts += lost;
        for (world, seq, id) in won {
            let other = expected.entry(world).or_default().insert(seq, id);
            assert_eq!(other, None, "two winners of seq {seq}");
        }
    }
    assert!(conflicts > 100, "only {conflicts} conflicts: this test no longer races");
    assert_eq!(expected.len(), worlds.len());
    for (world, expected) in expected {
        let log: Vec<_> = whole(&*store, world).await.iter().map(|r| (r.seq, r.id)).collect();
        assert!(log.iter().map(|(seq, _)| *seq).eq(1..=log.len() as u64), "a gap in {log:?}");
        assert_eq!(log, expected.into_iter().collect::<Vec<_>>());
    }
}

pub(crate) async fn a_conflict_writes_nothing_at_all(opened: Opened) {
    let store = opened.store;
    let world = make_world(&*store).await;
    let before = store.world(world).await.unwrap();
    for stale in [1, 7, u64::MAX] {
        let write = Append {
            keys: vec![key("u", "k", now_ms())],
            secrets: vec![set_secret("a1", Some("sk"))],
            busy: true,
            title: Some(Some("t".into())),
            ..append(world, stale, drafts(2))
        };
        let outcome = store.append(write).await.unwrap();
        assert_eq!(outcome, Appended::Conflict { head: 0 }, "expected head {stale}");
    }
    assert_eq!(store.world(world).await.unwrap(), before);
    assert_eq!(find_key(&*store, world, "u", "k").await.unwrap(), None);
    assert!(store.secrets(world).await.unwrap().is_empty());
    assert!(whole(&*store, world).await.is_empty());
}

pub(crate) async fn an_append_without_drafts_writes_the_rest(opened: Opened) {
    let store = opened.store;
    let world = make_world(&*store).await;
    let write = Append {
        title: Some(Some("한국어".into())),
        busy: true,
        keys: vec![key("u", "k", now_ms())],
        ..append(world, 0, Vec::new())
    };
    assert_eq!(done(&*store, write).await, 0);
    let entry = store.world(world).await.unwrap().unwrap();
    assert_eq!((entry.title.as_deref(), entry.busy), (Some("한국어"), true));
    assert!(find_key(&*store, world, "u", "k").await.unwrap().is_some());

    assert_eq!(done(&*store, append(world, 0, drafts(1))).await, 1);
    let entry = store.world(world).await.unwrap().unwrap();
    assert_eq!((entry.title.as_deref(), entry.busy), (Some("한국어"), false), "title is kept");

    done(&*store, Append { title: Some(None), ..append(world, 1, Vec::new()) }).await;
    assert_eq!(store.world(world).await.unwrap().unwrap().title, None);
}

pub(crate) async fn a_known_key_is_a_duplicate_in_its_scope_only(opened: Opened) {
    let store = opened.store;
    let (world, other) = (make_world(&*store).await, make_world(&*store).await);
    let with = |world, head, key| Append { keys: vec![key], ..append(world, head, drafts(1)) };
    let (now, expired) = (now_ms(), now_ms() - 24 * HOUR_MS - 60_000);
    done(&*store, with(world, 0, key("u", "k", now))).await;

    let known = KeyRecord { fingerprint: [7; 32], answer: Bytes::from_static(b"{}"), at_ms: now };
    assert_eq!(find_key(&*store, world, "u", "k").await.unwrap(), Some(known.clone()));
    for head in [1, 0] {
        let again = store.append(with(world, head, key("u", "k", now))).await.unwrap();
        assert_eq!(again, Appended::Duplicate(known.clone()), "expected head {head}");
    }
    assert_eq!(store.head(world).await.unwrap().unwrap().head, 1);
    for (world, user, name) in [(other, "u", "k"), (world, "v", "k"), (world, "u", "K")] {
        assert_eq!(find_key(&*store, world, user, name).await.unwrap(), None, "{user} {name}");
    }
    done(&*store, with(other, 0, key("u", "k", now))).await;
    done(&*store, with(world, 1, key("v", "k", now))).await;

    done(&*store, with(world, 2, key("u", "old", expired))).await;
    assert_eq!(find_key(&*store, world, "u", "old").await.unwrap(), None);
    done(&*store, with(world, 3, key("u", "old", now))).await;
    assert_eq!(find_key(&*store, world, "u", "old").await.unwrap().map(|k| k.at_ms), Some(now));
}

pub(crate) async fn secrets_are_set_replaced_and_removed(opened: Opened) {
    let store = opened.store;
    let (world, other) = (make_world(&*store).await, make_world(&*store).await);
    for (agent, secret, expected) in [
        ("a1", Some("one"), "a1=one"),
        ("b2", Some("two"), "a1=one b2=two"),
        ("A1", Some("three"), "A1=three b2=two"),
        ("b2", None, "A1=three"),
        ("a1", None, ""),
        ("a1", None, ""),
    ] {
        let secrets = vec![set_secret(agent, secret)];
        done(&*store, Append { secrets, ..append(world, 0, Vec::new()) }).await;
        let kept = store.secrets(world).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|(a, s)| format!("{a}={}", s.expose())).collect();
        assert_eq!(kept.join(" "), expected);
        assert!(store.secrets(other).await.unwrap().is_empty());
    }
}
