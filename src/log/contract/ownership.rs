//! Users, sessions, and who owns which world.

use super::*;

pub(crate) async fn users_do_not_reach_each_other(opened: Opened) {
    let store = opened.store;
    let nobody = store.create_world(new_world("nobody", "Town")).await;
    assert!(matches!(nobody, Err(Error::NoUser)), "{nobody:?}");
    make_user(&*store, "ann").await;
    make_user(&*store, "ben").await;
    let first = NewWorld { drafts: drafts(2), ..new_world("ann", "Town") };
    let anns = create(&*store, first).await;
    assert_eq!((anns.head.head, anns.head.floor), (2, 0));
    let epoch = &anns.head.epoch;
    assert!(epoch.len() == 16 && epoch.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
    assert_eq!(store.find_world("ben", "Town").await.unwrap(), None);

    let bens = create(&*store, new_world("ben", "town")).await;
    assert_ne!(bens.head.epoch, anns.head.epoch);
    for name in ["Town", "town", "TOWN"] {
        assert_eq!(store.find_world("ann", name).await.unwrap().as_ref(), Some(&anns), "{name}");
        assert_eq!(store.find_world("ben", name).await.unwrap().as_ref(), Some(&bens), "{name}");
        let again = NewWorld { drafts: drafts(1), ..new_world("ann", name) };
        let again = store.create_world(again).await.unwrap();
        assert_eq!(again, CreatedWorld::Exists(anns.clone()), "{name}");
    }
    assert_eq!(store.worlds_of("ann").await.unwrap(), std::slice::from_ref(&anns));
    assert_eq!(store.worlds_of("ben").await.unwrap(), [bens]);
    assert_eq!(store.worlds_of("Ann").await.unwrap(), [], "users are told apart by case");
    assert_eq!(whole(&*store, anns.id).await.len(), 2);
}

pub(crate) async fn of_those_who_create_the_same_world_one_does(opened: Opened) {
    let store = opened.store;
    make_user(&*store, "u").await;
    for round in 0..5 {
        let name = format!("w{round}");
        let new = || store.create_world(NewWorld { drafts: drafts(1), ..new_world("u", &name) });
        let made = futures_util::future::join_all([new(), new(), new(), new()]).await;
        let (mut created, mut found) = (Vec::new(), Vec::new());
        for one in made {
            match one.unwrap() {
                CreatedWorld::Created(entry) => created.push(entry.id),
                CreatedWorld::Exists(entry) => found.push(entry.id),
            }
        }
        assert_eq!(created.len(), 1, "round {round}");
        assert!(found.iter().all(|id| *id == created[0]), "round {round}: {created:?} {found:?}");
        assert_eq!(store.worlds_of("u").await.unwrap().len(), round + 1);
    }
}

pub(crate) async fn a_deleted_world_is_gone_altogether(opened: Opened) {
    let store = opened.store;
    make_user(&*store, "u").await;
    let old = create(&*store, new_world("u", "w")).await;
    let write = Append {
        keys: vec![key("u", "k", now_ms())],
        secrets: vec![set_secret("a1", Some("sk"))],
        ..append(old.id, 0, drafts(2500))
    };
    done(&*store, write).await;
    assert!(store.delete_world(old.id).await.unwrap());
    assert!(!store.delete_world(old.id).await.unwrap());

    let new = create(&*store, new_world("u", "w")).await;
    assert_eq!(new.head.head, 0);
    assert_ne!(new.head.epoch, old.head.epoch);
    assert!(whole(&*store, new.id).await.is_empty());
    assert!(store.secrets(new.id).await.unwrap().is_empty());
    assert_eq!(find_key(&*store, new.id, "u", "k").await.unwrap(), None);
    done(&*store, append(new.id, 0, drafts(3))).await;
    assert_eq!(whole(&*store, new.id).await.len(), 3);

    assert_eq!(store.head(old.id).await.unwrap(), None);
    assert_eq!(store.world(old.id).await.unwrap(), None);
    let snapshot = Snapshot { seq: 0, body: Bytes::new() };
    for failed in [
        store.append(append(old.id, 0, drafts(1))).await.err(),
        store.read(old.id, 0, ALL).await.err(),
        store.read_before(old.id, 9, ALL).await.err(),
        find_key(&*store, old.id, "u", "k").await.err(),
        store.secrets(old.id).await.err(),
        store.save_snapshot(old.id, snapshot).await.err(),
        store.latest_snapshot(old.id).await.err(),
        store.truncate(old.id, 1).await.err(),
        store.set_persistent(old.id, true).await.err(),
    ] {
        assert!(matches!(failed, Some(Error::NoWorld)), "{failed:?}");
    }
}

pub(crate) async fn sessions_live_and_die(opened: Opened) {
    let store = opened.store;
    let (one, two) = (TokenHash::of("one"), TokenHash::of("two"));
    let now = now_ms();
    assert_eq!(store.find_session(one, now).await.unwrap(), None);
    store.create_session("u", one, now).await.unwrap();
    store.create_session("u", one, now).await.unwrap();
    store.create_session("u", two, now).await.unwrap();
    let counts = Counts { users: 1, sessions: 2, worlds: 0 };
    assert_eq!(store.counts().await.unwrap(), counts);
    for token in [one, two] {
        assert_eq!(store.find_session(token, now).await.unwrap().as_deref(), Some("u"));
    }
    assert!(store.revoke_session(one).await.unwrap());
    assert!(!store.revoke_session(one).await.unwrap());
    assert_eq!(store.find_session(one, now).await.unwrap(), None);
    assert_eq!(store.find_session(two, now).await.unwrap().as_deref(), Some("u"));
    assert!(store.touch_user("u", now).await.unwrap());
    assert!(!store.touch_user("v", now).await.unwrap());
}

pub(crate) async fn unused_users_expire_with_their_worlds(opened: Opened) {
    let store = opened.store;
    let start = 1_000_000 * HOUR_MS;
    for user in ["idle", "seen", "touched", "glanced"] {
        store.create_session(user, TokenHash::of(user), start).await.unwrap();
    }
    let world = create(&*store, new_world("idle", "w")).await.id;
    let kept = create(&*store, new_world("seen", "w")).await.id;
    store.find_session(TokenHash::of("seen"), start + 2 * HOUR_MS).await.unwrap();
    store.touch_user("touched", start + 2 * HOUR_MS).await.unwrap();
    // Within the hour a look-up is not written: that user counts as last used at the start.
    store.find_session(TokenHash::of("glanced"), start + HOUR_MS / 2).await.unwrap();

    assert_eq!(store.expire_users(start, 10).await.unwrap(), []);
    let mut expired = store.expire_users(start + 1, 1).await.unwrap();
    assert_eq!(expired.len(), 1, "the limit holds");
    expired.extend(store.expire_users(start + 1, 10).await.unwrap());
    expired.sort_by(|a, b| a.user.cmp(&b.user));
    let expected = [("glanced", vec![]), ("idle", vec![world])]
        .map(|(user, worlds)| ExpiredUser { user: user.to_owned(), worlds });
    assert_eq!(expired, expected);
    assert_eq!(store.head(world).await.unwrap(), None);
    assert_eq!(store.find_session(TokenHash::of("idle"), start).await.unwrap(), None);
    assert!(store.head(kept).await.unwrap().is_some());
    assert!(store.find_session(TokenHash::of("touched"), start).await.unwrap().is_some());
}

pub(crate) async fn a_starting_server_finds_what_to_take_up(opened: Opened) {
    let store = opened.store;
    make_user(&*store, "u").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let persistent = n % 2 == 0;
        let new = NewWorld { persistent, ..new_world("u", &format!("w{n}")) };
        ids.push(create(&*store, new).await.id);
    }
    let busy = |world, busy| Append { busy, ..append(world, 0, Vec::new()) };
    assert!(store.busy_worlds().await.unwrap().is_empty());
    for world in [ids[1], ids[2]] {
        done(&*store, busy(world, true)).await;
    }
    assert_eq!(store.busy_worlds().await.unwrap(), [ids[1], ids[2]]);
    done(&*store, busy(ids[1], false)).await;
    assert_eq!(store.busy_worlds().await.unwrap(), [ids[2]]);

    assert_eq!(store.ephemeral_worlds().await.unwrap(), [ids[1], ids[3]]);
    store.set_persistent(ids[1], true).await.unwrap();
    store.delete_world(ids[3]).await.unwrap();
    assert!(store.ephemeral_worlds().await.unwrap().is_empty());
    store.probe().await.unwrap();
}
