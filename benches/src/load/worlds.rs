//! Many worlds, and what happens in them: users with a world of their own, streaming replies, durable messages,
//! clients that come back.

use std::{net::SocketAddr, rc::Rc, time::Instant};

use tokio::{sync::Semaphore, task::LocalSet};

use super::{
    Failure,
    options::Options,
    ours, report,
    socket::{Socket, frame},
    wait_for_start,
};

/// How many connect at the same time.
const AT_ONCE: usize = 32;

/// `count` users, each with a world of their own; each connection is given to `then`.
async fn users<T: 'static>(
    address: SocketAddr,
    template: &'static str,
    persistent: bool,
    count: usize,
    then: impl AsyncFn(Socket, String) -> Result<T, Failure> + Clone + 'static,
) -> Result<Vec<T>, Failure> {
    let set = LocalSet::new();
    let gate = Rc::new(Semaphore::new(AT_ONCE));
    let rest = if persistent { r#","persistent":true"# } else { "" };
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (gate, then) = (gate.clone(), then.clone());
            set.spawn_local(async move {
                let _pass = gate.acquire().await;
                let made = async {
                    let (mut socket, greeting) = ours::connect(address, None).await?;
                    ours::select(&mut socket, template, "my-world", rest).await?;
                    then(socket, ours::field(&greeting, "sessionToken")?).await
                };
                made.await.map_err(|failure| failure.to_string())
            })
        })
        .collect();
    set.run_until(async {
        let mut all = Vec::with_capacity(count);
        for task in tasks {
            all.push(task.await??);
        }
        Ok(all)
    })
    .await
}

/// `--connections` users, each in a world of their own, doing nothing.
pub async fn own_worlds(options: &Options) -> Result<(), Failure> {
    let (address, count) = (options.address()?, options.get("connections", 10_000)?);
    let first = users(address, "quiet", false, 1, async |socket, _| Ok(socket)).await?;
    wait_for_start()?;
    let started = Instant::now();
    let sockets = users(address, "quiet", false, count, async |socket, _| Ok(socket)).await?;
    report(&format!(r#""connections":{count},"seconds":{:.3}"#, started.elapsed().as_secs_f64()))?;
    drop((first, sockets));
    Ok(())
}

/// Users with one persistent world each, for a cold start.
pub async fn make_worlds(options: &Options) -> Result<(), Failure> {
    let (address, count) = (options.address()?, options.get("connections", 1_000)?);
    users(address, "quiet", true, count, async |_, _| Ok(())).await?;
    report(&format!(r#""worlds":{count}"#))
}

/// `--connections` users ask once, in worlds of two agents, and listen until both have answered.
pub async fn replies(options: &Options) -> Result<(), Failure> {
    let (address, count) = (options.address()?, options.get("connections", 100)?);
    let sockets = users(address, "pair", false, count, async |socket, _| Ok(socket)).await?;
    wait_for_start()?;
    let started = Instant::now();
    let frames = in_parallel(sockets, async |socket| {
        socket.send_text(&ours::chat("Tell me something long.")).await?;
        let (mut frames, mut deltas) = (0, 0);
        loop {
            let text = socket.text().await?;
            frames += 1;
            deltas += u64::from(text.contains("\"complete\":false"));
            if text.contains("\"settled\"") {
                return Ok((frames, deltas));
            }
        }
    })
    .await?;
    let (frames, deltas) = frames.iter().fold((0, 0), |sum, (frames, deltas)| (sum.0 + frames, sum.1 + deltas));
    let seconds = started.elapsed().as_secs_f64();
    report(&format!(r#""messages":{frames},"deltas":{deltas},"worlds":{count},"seconds":{seconds:.3}"#))
}

/// In each of `--connections` worlds one message after the other, each sent when the one before it was acknowledged.
pub async fn durable(options: &Options) -> Result<(), Failure> {
    let (address, count) = (options.address()?, options.get("connections", 256)?);
    let each: u64 = options.get("messages", 8_192_u64)? / count as u64;
    let sockets = users(address, "quiet", false, count, async |mut socket: Socket, _| {
        socket.send_text(&ours::message("event_unsubscribe", "{}")).await?;
        socket.text_with(&["\"unsubscribed\""]).await?;
        socket.count_only();
        Ok(socket)
    })
    .await?;
    wait_for_start()?;
    let started = Instant::now();
    in_parallel(sockets, async move |socket| {
        let message = frame(&ours::chat("A message that must not be lost."));
        for _ in 0..each {
            socket.send(&message).await?;
            socket.count(1).await?;
        }
        Ok(())
    })
    .await?;
    let seconds = started.elapsed().as_secs_f64();
    report(&format!(r#""messages":{},"seconds":{seconds:.3}"#, each * count as u64))
}

/// A world with a history, and `--connections` clients of its user that come back to the middle of it.
pub async fn resume(options: &Options) -> Result<(), Failure> {
    let (address, count) = (options.address()?, options.get("connections", 1_000)?);
    let missed: u64 = options.get("missed", 50)?;
    let (mut owner, greeting) = ours::connect(address, None).await?;
    let token = ours::field(&greeting, "sessionToken")?;
    let selected = ours::select(&mut owner, "quiet", "left", "").await?;
    let cursor = ours::field(&selected, "cursor")?;
    let mut head = String::new();
    for _ in 0..missed {
        owner.send_text(&ours::chat("Something that was said meanwhile.")).await?;
        head = owner.text_with(&["\"settled\""]).await?;
    }
    let last = head.split_once("\"seq\":").map(|(_, rest)| rest.split([',', '}']).next().unwrap_or_default());
    let caught_up = format!(":{}\"", last.unwrap_or_default());
    wait_for_start()?;
    let started = Instant::now();
    let set = LocalSet::new();
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (token, cursor, caught_up) = (token.clone(), cursor.clone(), caught_up.clone());
            set.spawn_local(async move {
                let come_back = async {
                    let (mut socket, _) = ours::connect(address, Some(&token)).await?;
                    ours::select(&mut socket, "quiet", "left", &format!(r#","after":"{cursor}""#)).await?;
                    socket.text_with(&["\"caught_up\"", &caught_up]).await?;
                    Ok::<_, Failure>(socket)
                };
                come_back.await.map_err(|failure| failure.to_string())
            })
        })
        .collect();
    let sockets = set
        .run_until(async {
            let mut sockets = Vec::with_capacity(count);
            for task in tasks {
                sockets.push(task.await??);
            }
            Ok::<_, Failure>(sockets)
        })
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    report(&format!(r#""messages":{count},"missed":{missed},"seconds":{seconds:.3}"#))?;
    drop(sockets);
    Ok(())
}

async fn in_parallel<T: 'static>(
    sockets: Vec<Socket>,
    work: impl AsyncFn(&mut Socket) -> Result<T, Failure> + Clone + 'static,
) -> Result<Vec<T>, Failure> {
    let set = LocalSet::new();
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            let work = work.clone();
            set.spawn_local(async move {
                let done = work(&mut socket).await.map_err(|failure| failure.to_string())?;
                Ok::<_, String>((done, socket))
            })
        })
        .collect();
    set.run_until(async {
        let (mut all, mut sockets) = (Vec::new(), Vec::new());
        for task in tasks {
            let (done, socket) = task.await??;
            all.push(done);
            // Nobody leaves before all are done.
            sockets.push(socket);
        }
        Ok(all)
    })
    .await
}
