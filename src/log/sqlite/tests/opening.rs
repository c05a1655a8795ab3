//! Which data directories are opened, which are refused, and how.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{CHILD_DIR, OpenError, child, open};
use crate::log::contract::{append, draft, make_user, make_world};
use crate::log::sqlite::schema;
use crate::log::{Directory, NewWorld, WorldLog};

fn refused(dir: &Path) -> OpenError {
    match open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => error,
    }
}

#[test]
fn only_its_owner_may_look_inside() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("a/b");
    let _store = open(&data).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in [&data, &dir.path().join("a")] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 4, "lock, database, -wal, -shm: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_directory_belongs_to_one_process_while_that_lives() {
    let dir = TempDir::new().unwrap();
    let mut holder = child(module_path!(), "holds_the_directory", dir.path()).spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let held = lines.map_while(Result::ok).find(|line| line.ends_with("held"));
    assert!(held.is_some());
    let error = refused(dir.path());
    assert!(matches!(&error, OpenError::InUse { path } if path == dir.path()), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();

    let first = open(dir.path()).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::InUse { .. }), "within one process too");
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
#[ignore = "runs only as the child process of the test above"]
fn holds_the_directory() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let _store = open(&PathBuf::from(dir)).unwrap();
    println!("held");
    std::io::stdout().flush().unwrap();
    // Until the parent kills it, or is gone itself.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let beneath_a_file = file.join("data");
    let error = refused(&beneath_a_file);
    assert!(matches!(&error, OpenError::NotWritable { path, .. } if *path == beneath_a_file));
    assert!(error.to_string().contains("file/data is not writable"), "{error}");

    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    let mut process = child(module_path!(), "says_why_it_cannot_open", &locked);
    if fs::write(locked.join("probe"), "").is_ok() {
        // Modes do not bind root: the child is nobody.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
        process.uid(65534).gid(65534);
    }
    let said = match process.output() {
        Ok(output) => String::from_utf8(output.stdout).unwrap(),
        Err(error) => return eprintln!("not tested: nobody may not run this binary ({error})"),
    };
    let expected = format!("refused: data directory {} is not writable: Permission denied", locked.display());
    assert!(said.contains(&expected), "{said}");
}

#[test]
#[ignore = "runs only as the child process of the test above"]
fn says_why_it_cannot_open() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    println!("refused: {}", refused(&PathBuf::from(dir)));
}

/// A database with two worlds in it, closed, and what `damage` made of it.
async fn damaged(damage: impl FnOnce(&Path)) -> OpenError {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    for _ in 0..2 {
        let world = make_world(&store).await;
        let drafts = (0..200).map(|_| draft(vec![b'x'; 200])).collect();
        store.append(append(world, 0, drafts)).await.unwrap();
    }
    drop(store);
    damage(&dir.path().join("log.db"));
    refused(dir.path())
}

#[tokio::test]
async fn a_database_that_is_not_ours_or_not_whole_is_refused() {
    let sql = |path: &Path, statement: &str| {
        Connection::open(path).unwrap().execute_batch(statement).unwrap();
    };
    let error = damaged(|db| sql(db, &format!("PRAGMA user_version = {}", schema::VERSION + 1))).await;
    let expected = format!("its format is {}, this one knows up to {}", schema::VERSION + 1, schema::VERSION);
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    assert!(error.to_string().contains(&expected), "{error}");

    let error = damaged(|db| sql(db, "PRAGMA application_id = 1")).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");

    let error = damaged(|db| fs::write(db, vec![b'#'; 9000]).unwrap()).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");

    let error = damaged(|db| {
        let mut bytes = fs::read(db).unwrap();
        let end = bytes.len();
        bytes[end / 2..end / 2 + 4096].fill(0xa5);
        fs::write(db, bytes).unwrap();
    })
    .await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");

    let error = damaged(|db| {
        let bytes = fs::read(db).unwrap();
        fs::write(db, &bytes[..bytes.len() / 2]).unwrap();
    })
    .await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_worlds_open_like_one() {
    let dir = TempDir::new().unwrap();
    let store = std::sync::Arc::new(open(dir.path()).unwrap());
    make_user(&*store, "u").await;
    let mut creating = JoinSet::new();
    for n in 0..1000 {
        let new = NewWorld {
            id: uuid::Uuid::now_v7(),
            user: "u".into(),
            name: format!("w{n}"),
            template: "t".into(),
            persistent: true,
            title: None,
            created_ms: n,
            drafts: (0..5).map(|_| draft(vec![b'x'; 300])).collect(),
            key: None,
            secrets: Vec::new(),
        };
        let store = store.clone();
        creating.spawn(async move { store.create_world(new).await.map(drop) });
    }
    while let Some(created) = creating.join_next().await {
        created.unwrap().unwrap();
    }
    std::sync::Arc::into_inner(store).unwrap().close().await.unwrap();
    let start = Instant::now();
    let store = open(dir.path()).unwrap();
    println!("opened 1,000 worlds in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(store.worlds_of("u").await.unwrap().len(), 1000);
}
