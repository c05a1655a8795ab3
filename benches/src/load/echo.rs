//! One frame in, one frame out: echoes and pongs, refusals, and handshakes.

use std::{net::SocketAddr, time::Instant};

use futures_util::future::try_join_all;

use super::{
    Failure,
    options::Options,
    ours, report,
    socket::{Socket, binary_frame, frame},
    wait_for_start,
};

/// `--connections` clients send `--depth` frames, wait for as many, and begin again, until `--messages` went out.
pub async fn echo(options: &Options) -> Result<(), Failure> {
    rounds(options, &[frame(&ours::ping())]).await
}

/// Frames that a server of Agent World refuses, of all kinds.
pub async fn refused(options: &Options) -> Result<(), Failure> {
    let many = (0..40).map(|at| format!(r#""x{at}":[{at}]"#)).collect::<Vec<_>>().join(",");
    let frames = [
        frame("not JSON at all"),
        frame(r#"{"id":"m-1","type":"no_such_type","timestamp":"2026-11-25T12:00:00.000Z","payload":{}}"#),
        frame(&ours::message("chat_send", r#"{"content":7,"sender":null,"more":[1,2,3]}"#)),
        frame(&ours::message("world_select", &format!("{{{many}}}"))),
        frame(&format!("{}{}", "[".repeat(200), "]".repeat(200))),
        frame(r#"{"id":"m-1","id":"m-1","type":"ping","payload":{}}"#),
        frame(&ours::chat(&"x".repeat(40_000))),
        binary_frame(&[0; 64]),
    ];
    rounds(options, &frames).await
}

async fn rounds(options: &Options, frames: &[Vec<u8>]) -> Result<(), Failure> {
    let (address, dialect) = (options.address()?, options.text("dialect").unwrap_or("plain").to_owned());
    let connections: u64 = options.get("connections", 64)?;
    let depth: u64 = options.get("depth", 1)?;
    let rounds = options.get("messages", 100_000_u64)? / (connections * depth);
    let mut sockets = Vec::new();
    for _ in 0..connections {
        sockets.push(greeted(address, &dialect).await?);
    }
    let batch: Vec<u8> = match dialect.as_str() {
        "socket.io" => {
            let text = ours::ping().replace('"', "\\\"");
            frame(&format!("42[\"m\",\"{text}\"]")).repeat(depth as usize)
        }
        _ => frames.iter().cycle().take(depth as usize).flatten().copied().collect(),
    };
    let set = tokio::task::LocalSet::new();
    wait_for_start()?;
    let started = Instant::now();
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            let batch = batch.clone();
            set.spawn_local(async move {
                for _ in 0..rounds {
                    socket.send(&batch).await?;
                    socket.count(depth).await?;
                }
                // Stays connected until everything was measured.
                Ok::<_, std::io::Error>(socket)
            })
        })
        .collect();
    let mut done = Vec::new();
    set.run_until(async {
        for task in tasks {
            done.push(task.await??);
        }
        Ok::<_, Failure>(())
    })
    .await?;
    let (messages, seconds) = (rounds * connections * depth, started.elapsed().as_secs_f64());
    report(&format!(r#""messages":{messages},"seconds":{seconds:.3}"#))
}

/// A connection after what its server says first.
pub async fn greeted(address: SocketAddr, dialect: &str) -> Result<Socket, Failure> {
    let mut socket = match dialect {
        "ours" => ours::connect(address, None).await?.0,
        "socket.io" => {
            let mut socket = Socket::connect(address, "/socket.io/?EIO=4&transport=websocket", "").await?;
            socket.text_with(&["sid"]).await?;
            socket.send_text("40").await?;
            socket.text_with(&["40{"]).await?;
            socket
        }
        _ => Socket::connect(address, "/", "").await?,
    };
    socket.count_only();
    Ok(socket)
}

/// `--messages` times: connect, shake hands, read the first frame if there is one, and leave; `--depth` of them at once.
pub async fn handshake(options: &Options) -> Result<(), Failure> {
    let (address, dialect) = (options.address()?, options.text("dialect").unwrap_or("plain").to_owned());
    let depth: u64 = options.get("depth", 1)?;
    let rounds = options.get("messages", 2_000_u64)? / depth;
    let count = rounds * depth;
    wait_for_start()?;
    let started = Instant::now();
    for _ in 0..rounds {
        try_join_all((0..depth).map(|_| greeted(address, &dialect))).await?;
    }
    report(&format!(r#""messages":{count},"seconds":{:.3}"#, started.elapsed().as_secs_f64()))
}
