//! What an append to the embedded log costs, fsync included, alone and when many worlds write at once.

use std::time::{Duration, Instant};

use agent_world::log::{
    Append, CreatedWorld, Directory, Draft, NewWorld, TokenHash, WorldId, WorldLog,
    sqlite::{Options, Sqlite},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;

const BODY: &str = r#"{"v":1,"kind":"message","content":"A message of ordinary length, as people write them."}"#;

fn draft() -> Draft {
    Draft { id: Uuid::now_v7(), at_ms: 0, body: BODY.into() }
}

async fn world(log: &Sqlite, name: &str) -> WorldId {
    let new = NewWorld {
        id: Uuid::now_v7(),
        user: "somebody".to_owned(),
        name: name.to_owned(),
        template: "bench".to_owned(),
        persistent: true,
        title: None,
        created_ms: 0,
        drafts: Vec::new(),
        key: None,
        secrets: Vec::new(),
    };
    match log.create_world(new).await.expect("a world") {
        CreatedWorld::Created(entry) => entry.id,
        CreatedWorld::Exists(entry) => panic!("{} exists", entry.name),
    }
}

/// Appends one record to each world, all at the same time.
async fn append_to_all(log: &Sqlite, worlds: &[WorldId], head: u64) {
    let appends = worlds.iter().map(|world| {
        log.append(Append {
            world: *world,
            expected_head: head,
            drafts: vec![draft()],
            keys: Vec::new(),
            secrets: Vec::new(),
            busy: false,
            ticket: false,
            title: None,
        })
    });
    for appended in futures_util::future::join_all(appends).await {
        appended.expect("an append");
    }
}

fn appending(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("append");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    for writers in [1, 16, 256] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Sqlite::open(&Options::new(dir.path())).expect("a log");
        let worlds = runtime.block_on(async {
            log.create_session("somebody", TokenHash::of("x"), 0).await.expect("a user");
            let mut worlds = Vec::new();
            for at in 0..writers {
                worlds.push(world(&log, &format!("world-{at}")).await);
            }
            worlds
        });
        let mut head = 0;
        group.throughput(Throughput::Elements(writers));
        group.bench_function(format!("{writers} writers"), |b| {
            b.iter_custom(|rounds| {
                let started = Instant::now();
                runtime.block_on(async {
                    for _ in 0..rounds {
                        append_to_all(&log, &worlds, head).await;
                        head += 1;
                    }
                });
                started.elapsed()
            });
        });
        runtime.block_on(log.close()).expect("the log closes");
    }
    group.finish();
}

criterion_group!(benches, appending);
criterion_main!(benches);
