//! What comes back: pages, floors, snapshots, and all of it after reopening.

use super::*;

pub(crate) async fn reads_keep_their_limits(opened: Opened) {
    let store = opened.store;
    let world = make_world(&*store).await;
    for (head, count) in [(0, 1), (1, 4), (5, 3), (8, 2)] {
        let bodies = (0..count).map(|_| draft(vec![b'x'; 100])).collect();
        done(&*store, append(world, head, bodies)).await;
    }
    let limit = |records, bytes| Limit { records, bytes };
    // after, limit, expected
    for (after, limit, expected) in [
        (0, ALL, (1..=10).collect::<Vec<u64>>()),
        (8, ALL, vec![9, 10]),
        (10, ALL, vec![]),
        (u64::MAX, ALL, vec![]),
        (2, limit(3, usize::MAX), vec![3, 4, 5]),
        (2, limit(usize::MAX, 250), vec![3, 4]),
        (2, limit(usize::MAX, 200), vec![3, 4]),
        (2, limit(0, 0), vec![3]),
    ] {
        let page = store.read(world, after, limit).await.unwrap();
        assert_eq!((seqs(&page), page.head, page.floor), (expected, 10, 0), "{after} {limit:?}");
    }
    for (before, limit, expected) in [
        (u64::MAX, limit(3, usize::MAX), vec![8, 9, 10]),
        (4, ALL, vec![1, 2, 3]),
        (4, limit(usize::MAX, 250), vec![2, 3]),
        (4, limit(1, 1), vec![3]),
        (1, ALL, vec![]),
        (0, ALL, vec![]),
    ] {
        let page = store.read_before(world, before, limit).await.unwrap();
        assert_eq!((seqs(&page), page.head), (expected, 10), "{before} {limit:?}");
    }
}

pub(crate) async fn a_floor_rises_to_the_snapshot_and_no_further(opened: Opened) {
    let store = opened.store;
    let world = make_world(&*store).await;
    let other = make_world(&*store).await;
    for world in [world, other] {
        done(&*store, append(world, 0, drafts(10))).await;
    }
    assert_eq!(store.truncate(world, 5).await.unwrap(), 0, "no snapshot covers them");
    let snapshot = Snapshot { seq: 6, body: Bytes::from_static(b"s") };
    store.save_snapshot(world, snapshot).await.unwrap();
    // upto, the floor it answers
    for (upto, floor) in [(4, 4), (2, 4), (9, 6), (0, 6)] {
        assert_eq!(store.truncate(world, upto).await.unwrap(), floor, "upto {upto}");
        let below = store.read(world, floor - 1, ALL).await.unwrap();
        assert_eq!((seqs(&below), below.floor), (vec![], floor));
        let rest = store.read(world, floor, ALL).await.unwrap();
        assert!(seqs(&rest).into_iter().eq(floor + 1..=10));
        let history = store.read_before(world, 100, ALL).await.unwrap();
        assert!(seqs(&history).into_iter().eq(floor + 1..=10));
    }
    assert_eq!(done(&*store, append(world, 10, drafts(1))).await, 11, "numbers go on");
    let snapshot = Snapshot { seq: 11, body: Bytes::from_static(b"s") };
    store.save_snapshot(world, snapshot).await.unwrap();
    assert_eq!(store.truncate(world, 11).await.unwrap(), 11);
    assert_eq!(done(&*store, append(world, 11, drafts(1))).await, 12, "even from an empty log");
    assert_eq!(whole(&*store, other).await.len(), 10, "another world's log is untouched");
}

pub(crate) async fn only_a_newer_snapshot_within_the_log_is_kept(opened: Opened) {
    let store = opened.store;
    let world = make_world(&*store).await;
    done(&*store, append(world, 0, drafts(5))).await;
    assert_eq!(store.latest_snapshot(world).await.unwrap(), None);
    for (seq, kept) in [(2, 2), (4, 4), (3, 4), (6, 4), (5, 5)] {
        let body = Bytes::from(format!("state {seq}"));
        store.save_snapshot(world, Snapshot { seq, body }).await.unwrap();
        let expected = Snapshot { seq: kept, body: format!("state {kept}").into() };
        assert_eq!(store.latest_snapshot(world).await.unwrap(), Some(expected), "after {seq}");
    }
}

pub(crate) async fn nothing_is_lost_by_reopening(opened: Opened) {
    let Opened { store, reopen } = opened;
    make_user(&*store, "u").await;
    let first = NewWorld {
        title: Some("t".into()),
        persistent: false,
        drafts: drafts(1),
        key: Some(key("u", "made", now_ms())),
        secrets: Vec::new(),
        ..new_world("u", "w")
    };
    let world = create(&*store, first).await.id;
    let write = Append {
        keys: vec![key("u", "k", now_ms())],
        secrets: vec![set_secret("a1", Some("sk"))],
        busy: true,
        ..append(world, 1, drafts(20))
    };
    done(&*store, write).await;
    let snapshot = Snapshot { seq: 20, body: Bytes::from_static(b"s") };
    store.save_snapshot(world, snapshot.clone()).await.unwrap();
    let entry = store.world(world).await.unwrap();
    let log = whole(&*store, world).await;
    let installation = store.installation_key().await.unwrap();
    assert_ne!(installation, [0; 32]);

    store.close().await.unwrap();
    let closed = store.append(append(world, 21, drafts(1))).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    let closed = store.head(world).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    store.close().await.unwrap();

    let store = reopen();
    assert_eq!(store.world(world).await.unwrap(), entry);
    assert_eq!(store.find_world("u", "W").await.unwrap(), entry);
    assert_eq!(whole(&*store, world).await, log);
    assert_eq!(store.latest_snapshot(world).await.unwrap(), Some(snapshot));
    assert_eq!(store.installation_key().await.unwrap(), installation);
    assert_eq!(store.busy_worlds().await.unwrap(), [world]);
    assert_eq!(store.secrets(world).await.unwrap()[0].1.expose(), "sk");
    for name in ["k", "made"] {
        assert!(find_key(&*store, world, "u", name).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(store.find_session(TokenHash::of("u"), now_ms()).await.unwrap().as_deref(), Some("u"));
    assert_eq!(done(&*store, append(world, 21, drafts(1))).await, 22);
}
