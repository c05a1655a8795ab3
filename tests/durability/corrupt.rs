//! A log that is torn, damaged, or newer than the program: refused with a clear message, or an error, never silently
//! something else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    program::{Program, script},
    random::{Random, size},
    support::{Client, Frame, Received, eventually, here, run_to_end},
};

/// What a damaged log led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The server did not start, and said why.
    Refused,
    /// It started, and what needs the damaged part is an error.
    Error,
    /// It started and everything is as it was: nothing that is used was hit.
    Unharmed,
}

/// A data directory with some history that a server wrote and closed; the history, and whose it is.
async fn written(data: &Path) -> (String, Vec<String>) {
    let mut server = Program::start(data, &["--snapshot-every", "20"]).await;
    let mut client = server.client().await;
    client.select_with(json!({"templateName": "stage", "worldName": "w", "persistent": true})).await;
    for number in 0..12 {
        client.converse(&format!("what is number {number}?")).await;
    }
    let token = client.token().to_owned();
    let history = match history(&server, &token).await {
        Ok(history) => history,
        Err(error) => panic!("{error}"),
    };
    server.stop().await;
    (token, history)
}

/// The whole history as the server tells it, or the error instead.
async fn history(server: &Program, token: &str) -> Result<Vec<String>, String> {
    let mut client =
        Client::open(server, crate::support::Opening { token: Some(token.to_owned()), ..Default::default() })
            .await
            .map_err(|error| error.to_string())?;
    let mut epoch = String::new();
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        let Received::Frame(frame) = client.receive().await else { return Err("closed".to_owned()) };
        if frame.kind() == "error" {
            return Err(frame.text);
        }
        if frame.status("connected").is_some() {
            client.send("world_select", json!({"templateName": "stage", "worldName": "w"})).await;
        }
        if frame.kind() == "world_selected" {
            epoch =
                frame.payload()["cursor"].as_str().expect("a cursor").split(':').next().expect("an epoch").to_owned();
            let all = json!({"eventTypes": ["message", "world", "sse", "system"], "after": format!("{epoch}:0")});
            client.send("event_subscribe", all).await;
        }
        if frame.status("caught_up").is_some() {
            assert!(!epoch.is_empty());
            return Ok(frames.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.clone()).collect());
        }
        frames.push(frame);
    }
}

/// What the start says when it fails at once; none if it would run.
async fn refusal(data: &Path) -> Option<String> {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir"].map(str::to_owned);
    let paths = [data, Path::new("--templates"), &here("templates"), Path::new("--script"), &script()];
    let all: Vec<String> =
        arguments.into_iter().chain(paths.iter().map(|path| path.to_string_lossy().into_owned())).collect();
    // Found out in this process, so that nothing must be waited for.
    let data = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let options = agent_world::log::sqlite::Options::new(data);
        agent_world::log::sqlite::Sqlite::open(&options).err().map(|error| error.to_string())
    });
    let refused = opened.await.expect("no panic");
    if let Some(why) = &refused {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        let (code, text) = run_to_end(&arguments);
        assert_eq!((code, text.lines().count()), (Some(1), 1), "one line: {text}");
        assert!(text.contains(why.as_str()), "{text}");
    }
    refused
}

/// Damages a copy, and looks at what comes of it.
async fn outcome(
    original: &Path,
    copy: &Path,
    token: &str,
    truth: &[String],
    harm: impl FnOnce(&mut Vec<u8>),
) -> Outcome {
    let _ = fs::remove_dir_all(copy);
    fs::create_dir(copy).expect("a directory");
    let mut bytes = fs::read(original.join("log.db")).expect("a log");
    harm(&mut bytes);
    fs::write(copy.join("log.db"), bytes).expect("a copy");
    if let Some(why) = refusal(copy).await {
        assert!(["damaged", "database", "newer", "open"].iter().any(|word| why.contains(word)), "{why}");
        return Outcome::Refused;
    }
    let server = Program::start(copy, &[]).await;
    match history(&server, token).await {
        Ok(history) if history == truth => Outcome::Unharmed,
        Ok(history) => {
            let differs: Vec<_> = history.iter().zip(truth).filter(|(now, was)| now != was).take(2).collect();
            panic!("{} events instead of {}, silently: {differs:#?}", history.len(), truth.len());
        }
        Err(error) => {
            // A directory entry that is damaged can only be missed: the world, the user or the template is another's.
            let codes =
                ["STORAGE_ERROR", "SERVER_ERROR", "UNAUTHENTICATED", "WORLD_NOT_FOUND", "CONFLICT", "UNRESUMABLE"];
            assert!(codes.iter().any(|code| error.contains(code)), "{error}");
            Outcome::Error
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_served_as_if_nothing_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, copy): (PathBuf, PathBuf) = (dir.path().join("data"), dir.path().join("copy"));
    let (token, truth) = written(&data).await;
    let length = fs::metadata(data.join("log.db")).expect("a log").len();
    assert!(!data.join("log.db-wal").exists() || fs::metadata(data.join("log.db-wal")).is_ok_and(|wal| wal.len() == 0));
    let mut random = Random::new("corrupt");
    let flips = size("FLIPS", 40);
    let mut outcomes = std::collections::BTreeMap::new();
    for _ in 0..flips {
        let (at, bit) = (random.below(length) as usize, random.below(8));
        let came = outcome(&data, &copy, &token, &truth, |bytes| bytes[at] ^= 1 << bit).await;
        *outcomes.entry(came).or_insert(0_u64) += 1;
    }
    // Where people's words stand there is no structure that could break.
    let bytes = fs::read(data.join("log.db")).expect("a log");
    let words: Vec<usize> = bytes.windows(9).enumerate().filter(|(_, w)| w == b"is number").map(|(at, _)| at).collect();
    assert!(words.len() >= 12);
    let mut hits = 0;
    for at in words.iter().step_by(words.len() / 8) {
        let came = outcome(&data, &copy, &token, &truth, |bytes| bytes[at + 3] = b'N').await;
        assert_ne!(came, Outcome::Refused, "the structure is whole");
        hits += u64::from(came == Outcome::Error);
    }
    println!(
        "corrupt: {flips} flipped bits in {length} bytes: {outcomes:?}; of {} flips in texts {hits} found",
        words.len().min(8)
    );
    assert!(hits >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_or_newer_file_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let (token, truth) = written(&data).await;
    let mut random = Random::new("torn");
    for _ in 0..5 {
        let keep = 200 + random.below(fs::metadata(data.join("log.db")).expect("a log").len() - 300) as usize;
        let came = outcome(&data, &copy, &token, &truth, |bytes| bytes.truncate(keep)).await;
        // What is left out may be free space: then everything is as it was, which is checked there.
        println!("corrupt: torn at {keep}: {came:?}");
    }
    let came = outcome(&data, &copy, &token, &truth, |bytes| bytes[..100].fill(7)).await;
    assert_eq!(came, Outcome::Refused);
    // A newer program has been here: the whole file, or one record of it.
    for (change, says) in [
        ("PRAGMA user_version = 99", "99"),
        ("UPDATE installation SET probed_ms = 0; PRAGMA application_id = 7", "something else"),
    ] {
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).expect("a directory");
        fs::copy(data.join("log.db"), copy.join("log.db")).expect("a copy");
        let conn = rusqlite::Connection::open(copy.join("log.db")).expect("the database");
        conn.execute_batch(change).expect("a change");
        drop(conn);
        let why = refusal(&copy).await.expect("refused");
        assert!(why.contains(says), "{why}");
    }
    // One record of it: its checksum is right, as a newer program writes it.
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir(&copy).expect("a directory");
    fs::copy(data.join("log.db"), copy.join("log.db")).expect("a copy");
    let conn = rusqlite::Connection::open(copy.join("log.db")).expect("the database");
    newer(&conn).expect("a change");
    drop(conn);
    let server = Program::start(&copy, &[]).await;
    let error = history(&server, &token).await.expect_err("a newer record is not served");
    assert!(error.contains("SERVER_ERROR"), "{error}");
    eventually("the log names the version", || async {
        server.log().iter().any(|line| line.to_string().contains("version 9"))
    })
    .await;
    println!("corrupt: 5 torn files, one with another head, a newer one and a foreign one");
}

/// Has every record say that it is of version 9, with checksums that are right.
fn newer(conn: &rusqlite::Connection) -> rusqlite::Result<()> {
    conn.execute_batch("DELETE FROM snapshots")?;
    let mut select = conn.prepare("SELECT place, records FROM runs")?;
    let runs: Vec<(i64, Vec<u8>)> =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (place, mut records) in runs {
        let (old, new) = (b"\"v\":1", b"\"v\":9");
        let found: Vec<usize> =
            records.windows(old.len()).enumerate().filter(|(_, at)| at == old).map(|(at, _)| at).collect();
        assert!(!found.is_empty(), "records say their version");
        for at in found {
            records[at..at + new.len()].copy_from_slice(new);
        }
        let sum = crc32fast::hash(&[&place.to_le_bytes()[..], &records].concat());
        conn.execute(
            "UPDATE runs SET records = ?2, sum = ?3 WHERE place = ?1",
            rusqlite::params![place, records, sum],
        )?;
    }
    Ok(())
}
