//! What group commit is for: the number of fsyncs does not grow with the number of writers.

use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::open;
use crate::log::WorldLog;
use crate::log::contract::{append, draft, make_world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_commits() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(dir.path()).unwrap());
    for (writers, each) in [(1, 200), (16, 50), (256, 20)] {
        let mut worlds = Vec::new();
        for _ in 0..writers {
            worlds.push(make_world(&*store).await);
        }
        let (before, start) = (store.stats(), Instant::now());
        let mut tasks = JoinSet::new();
        for world in worlds {
            let store = store.clone();
            tasks.spawn(async move {
                for head in 0..each {
                    let body = vec![b'x'; 400];
                    store.append(append(world, head, vec![draft(body)])).await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let (took, after) = (start.elapsed(), store.stats());
        let (appends, commits) = (writers * each, after.commits - before.commits);
        assert_eq!(after.requests - before.requests, appends);
        let rate = appends as f64 / took.as_secs_f64();
        println!("{writers} writers: {rate:.0} appends/s, {appends} appends in {commits} commits");
        if writers == 256 {
            assert!(commits * 8 < appends, "{commits} commits for {appends} appends");
        }
    }
}
