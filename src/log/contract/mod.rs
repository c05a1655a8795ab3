//! What every implementation of [`WorldLog`] and [`Directory`](super::Directory) must do, as tests
//! against `dyn Store`. A backend runs them all by naming how it is opened:
//! `contract_tests!(fresh)`, where `fresh` is a function that answers an empty [`Opened`] store; what
//! stands after it are attributes of each test.

pub(crate) mod appends;
pub(crate) mod ownership;
pub(crate) mod reads;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use super::*;

const HOUR_MS: i64 = 60 * 60 * 1000;
const ALL: Limit = Limit { records: usize::MAX, bytes: usize::MAX };

/// A store, and how to open the same data again once it was closed.
pub(crate) struct Opened {
    pub store: Arc<dyn Store>,
    pub reopen: Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>,
}

macro_rules! contract_tests {
    ($fresh:path $(, $attribute:meta)*) => {
        $crate::log::contract::contract_tests!(@ $fresh, [$($attribute),*], appends;
            racing_appends_are_dense_and_have_one_winner
            a_conflict_writes_nothing_at_all
            an_append_without_drafts_writes_the_rest
            a_known_key_is_a_duplicate_in_its_scope_only
            secrets_are_set_replaced_and_removed
        );
        $crate::log::contract::contract_tests!(@ $fresh, [$($attribute),*], reads;
            reads_keep_their_limits
            a_floor_rises_to_the_snapshot_and_no_further
            only_a_newer_snapshot_within_the_log_is_kept
            nothing_is_lost_by_reopening
        );
        $crate::log::contract::contract_tests!(@ $fresh, [$($attribute),*], ownership;
            users_do_not_reach_each_other
            of_those_who_create_the_same_world_one_does
            a_deleted_world_is_gone_altogether
            sessions_live_and_die
            unused_users_expire_with_their_worlds
            a_starting_server_finds_what_to_take_up
        );
    };
    // In two steps, as attributes and names repeat independently of each other.
    (@ $fresh:path, $attributes:tt, $group:ident; $($name:ident)*) => {
        $( $crate::log::contract::contract_tests!(@one $fresh, $attributes, $group, $name); )*
    };
    (@one $fresh:path, [$($attribute:meta),*], $group:ident, $name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])*
        async fn $name() {
            $crate::log::contract::$group::$name($fresh()).await;
        }
    };
}
pub(crate) use contract_tests;

/// splitmix64: random enough, and the same in every run.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

pub(crate) fn draft(body: impl Into<Bytes>) -> Draft {
    Draft { id: Uuid::now_v7(), at_ms: now_ms(), body: body.into() }
}

fn drafts(count: usize) -> Vec<Draft> {
    (0..count).map(|n| draft(format!("{{\"n\":{n}}}"))).collect()
}

pub(crate) fn append(world: WorldId, expected_head: u64, drafts: Vec<Draft>) -> Append {
    let (keys, secrets, title) = (Vec::new(), Vec::new(), None);
    Append { world, expected_head, drafts, keys, secrets, busy: false, ticket: false, title }
}

fn key(user: &str, key: &str, at_ms: i64) -> KeyWrite {
    let (user, key, answer) = (user.to_owned(), key.to_owned(), Bytes::from_static(b"{}"));
    KeyWrite { user, key, fingerprint: [7; 32], answer, at_ms }
}

fn set_secret(agent: &str, secret: Option<&str>) -> SecretWrite {
    SecretWrite { agent: agent.to_owned(), secret: secret.map(Secret::new) }
}

fn new_world(user: &str, name: &str) -> NewWorld {
    NewWorld {
        id: Uuid::now_v7(),
        user: user.to_owned(),
        name: name.to_owned(),
        template: "default".to_owned(),
        persistent: true,
        title: None,
        created_ms: now_ms(),
        drafts: Vec::new(),
        key: None,
        secrets: Vec::new(),
    }
}

pub(crate) async fn make_user(store: &dyn Store, user: &str) {
    store.create_session(user, TokenHash::of(user), now_ms()).await.unwrap();
}

async fn create(store: &dyn Store, new: NewWorld) -> WorldEntry {
    match store.create_world(new).await.unwrap() {
        CreatedWorld::Created(entry) => entry,
        CreatedWorld::Exists(entry) => panic!("{entry:?} exists"),
    }
}

/// A world of a user of its own.
pub(crate) async fn make_world(store: &dyn Store) -> WorldId {
    let user = format!("anon_{}", Uuid::new_v4());
    make_user(store, &user).await;
    create(store, new_world(&user, "w")).await.id
}

/// What is known of one key.
pub(crate) async fn find_key(
    store: &dyn Store,
    world: WorldId,
    user: &str,
    key: &str,
) -> Result<Option<KeyRecord>, Error> {
    let mut found = store.find_keys(world, user, &[key]).await?;
    assert_eq!(found.len(), 1);
    Ok(found.remove(0))
}

async fn done(store: &dyn Store, write: Append) -> u64 {
    match store.append(write).await.unwrap() {
        Appended::Done { head } => head,
        other => panic!("{other:?}"),
    }
}

/// The whole log, read in pages of a few records.
pub(crate) async fn whole(store: &dyn Store, world: WorldId) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map_or(0, |r| r.seq);
        let page = store.read(world, after, Limit { records: 7, ..ALL }).await.unwrap();
        if page.records.is_empty() {
            assert_eq!(after, page.head);
            return records;
        }
        records.extend(page.records);
    }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.records.iter().map(|r| r.seq).collect()
}
