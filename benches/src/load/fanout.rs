//! One frame in, many out; and connections that do nothing.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Instant};

use tokio::sync::Notify;

use super::{
    Failure, echo,
    options::Options,
    ours, report,
    socket::{Socket, binary_frame, frame},
    wait_for_start,
};

/// What the subscribers have got altogether.
#[derive(Default)]
struct Delivered {
    count: Cell<u64>,
    wanted: Cell<u64>,
    /// Of the texts, where they are counted.
    bytes: Cell<u64>,
    enough: Notify,
}

/// How one server is spoken to.
struct Dialect {
    name: String,
    /// What the publisher sends for one event.
    event: Vec<u8>,
    /// Bytes that one event has at a subscriber, where frames do not say how many they are.
    bytes_each: Option<u64>,
    /// Frames that the publisher gets for one event.
    acknowledged: u64,
}

const NATS_CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"load\",\"version\":\"1\",\
                            \"protocol\":1}\r\n";

impl Dialect {
    /// `bytes`: the length of what the other servers publish.
    fn new(name: &str, bytes: usize) -> Self {
        let ping = ours::ping_of(bytes);
        let (event, bytes_each, acknowledged) = match name {
            "ours" => (frame(&ours::chat("Good morning, all of you!")), None, 1),
            "socket.io" => (frame(&format!("42/publish,[\"m\",\"{}\"]", ping.replace('"', "\\\""))), None, 0),
            "nats" => {
                let event = format!("PUB t {}\r\n{ping}\r\n", ping.len());
                let got = format!("MSG t 1 {}\r\n{ping}\r\n", ping.len());
                (binary_frame(event.as_bytes()), Some(got.len() as u64), 0)
            }
            _ => (frame(&ping), None, 0),
        };
        Self { name: name.to_owned(), event, bytes_each, acknowledged }
    }
}

/// A publisher sends `--depth` events, waits until all `--connections` have them, and begins again.
pub async fn fanout(options: &Options) -> Result<(), Failure> {
    let (address, depth) = (options.address()?, options.get("depth", 1_u64)?);
    let dialect = Dialect::new(options.text("dialect").unwrap_or("plain"), options.get("bytes", 93)?);
    let rounds = options.get("events", 64_u64)? / depth;
    let (mut publisher, sockets) = join(&dialect, address, options.get("connections", 1_000)?).await?;
    let subscribers = sockets.len() as u64;
    let delivered = Rc::new(Delivered::default());
    let set = tokio::task::LocalSet::new();
    for mut socket in sockets {
        let (delivered, bytes_each) = (delivered.clone(), dialect.bytes_each);
        set.spawn_local(async move {
            while socket.read().await.is_ok() {
                let new = match bytes_each {
                    None => {
                        delivered.bytes.set(delivered.bytes.get() + std::mem::take(&mut socket.bytes));
                        std::mem::take(&mut socket.frames)
                    }
                    Some(each) => {
                        let new = socket.bytes / each;
                        socket.bytes -= new * each;
                        new
                    }
                };
                delivered.count.set(delivered.count.get() + new);
                if delivered.count.get() >= delivered.wanted.get() {
                    delivered.enough.notify_one();
                }
            }
        });
    }
    let batch = dialect.event.repeat(depth as usize);
    let seconds = set
        .run_until(async {
            // One round before it counts, so that whoever still catches up has caught up.
            round(&mut publisher, &delivered, &batch, subscribers * depth, dialect.acknowledged * depth).await?;
            wait_for_start()?;
            let started = Instant::now();
            for _ in 0..rounds {
                round(&mut publisher, &delivered, &batch, subscribers * depth, dialect.acknowledged * depth).await?;
            }
            Ok::<_, Failure>(started.elapsed().as_secs_f64())
        })
        .await?;
    let (events, messages) = (rounds * depth, rounds * depth * subscribers);
    // The round that does not count is in both.
    let each = delivered.bytes.get() / delivered.count.get().max(1);
    report(&format!(r#""events":{events},"messages":{messages},"bytes":{each},"seconds":{seconds:.3}"#))
}

async fn round(
    publisher: &mut Socket,
    delivered: &Delivered,
    batch: &[u8],
    wanted: u64,
    acknowledged: u64,
) -> Result<(), Failure> {
    delivered.wanted.set(delivered.wanted.get() + wanted);
    publisher.send(batch).await?;
    while delivered.count.get() < delivered.wanted.get() {
        delivered.enough.notified().await;
    }
    Ok(publisher.count(acknowledged).await?)
}

/// A publisher, and `count` who hear it.
async fn join(dialect: &Dialect, address: SocketAddr, count: usize) -> Result<(Socket, Vec<Socket>), Failure> {
    let mut sockets = Vec::with_capacity(count);
    let mut publisher = match dialect.name.as_str() {
        "ours" => {
            let (mut publisher, greeting) = ours::connect(address, None).await?;
            let token = ours::field(&greeting, "sessionToken")?;
            ours::select(&mut publisher, "quiet", "fan-out", "").await?;
            publisher.send_text(&ours::message("event_unsubscribe", "{}")).await?;
            publisher.text_with(&["\"unsubscribed\""]).await?;
            for _ in 0..count {
                let (mut socket, _) = ours::connect(address, Some(&token)).await?;
                ours::select(&mut socket, "quiet", "fan-out", "").await?;
                socket.send_text(&ours::message("event_subscribe", r#"{"eventTypes":["message"]}"#)).await?;
                socket.text_with(&["\"subscribed\""]).await?;
                sockets.push(socket);
            }
            publisher
        }
        "nats" => {
            let connect = async |after: &str| {
                let mut socket = Socket::connect(address, "/", "").await?;
                socket.text_with(&["INFO"]).await?;
                socket.send(&binary_frame(format!("{NATS_CONNECT}{after}PING\r\n").as_bytes())).await?;
                socket.text_with(&["PONG"]).await?;
                Ok::<_, Failure>(socket)
            };
            for _ in 0..count {
                sockets.push(connect("SUB t 1\r\n").await?);
            }
            connect("").await?
        }
        "socket.io" => {
            for _ in 0..count {
                sockets.push(echo::greeted(address, "socket.io").await?);
            }
            let mut publisher = Socket::connect(address, "/socket.io/?EIO=4&transport=websocket", "").await?;
            publisher.text_with(&["sid"]).await?;
            publisher.send_text("40/publish,").await?;
            publisher.text_with(&["40/publish,"]).await?;
            publisher
        }
        _ => {
            for _ in 0..count {
                sockets.push(Socket::connect(address, "/subscribe", "").await?);
            }
            Socket::connect(address, "/publish", "").await?
        }
    };
    publisher.count_only();
    sockets.iter_mut().for_each(Socket::count_only);
    Ok((publisher, sockets))
}

/// Connects one client, waits, then connects `--connections` of them, and lets the server's memory be looked at.
pub async fn idle(options: &Options) -> Result<(), Failure> {
    let (address, dialect) = (options.address()?, options.text("dialect").unwrap_or("plain"));
    let count: usize = options.get("connections", 10_000)?;
    // What the first connection brings up is not a connection's cost.
    let (first, _) = join(&Dialect::new(dialect, 93), address, 1).await?;
    wait_for_start()?;
    let started = Instant::now();
    let mut sockets = Vec::with_capacity(count);
    match dialect {
        // As users are: in one world, with the subscription that selecting it brings.
        "ours" => {
            let (mut owner, greeting) = ours::connect(address, None).await?;
            let token = ours::field(&greeting, "sessionToken")?;
            ours::select(&mut owner, "quiet", "idle", "").await?;
            for _ in 1..count {
                let (mut socket, _) = ours::connect(address, Some(&token)).await?;
                ours::select(&mut socket, "quiet", "idle", "").await?;
                sockets.push(socket);
            }
            sockets.push(owner);
        }
        _ => sockets = join(&Dialect::new(dialect, 93), address, count).await?.1,
    }
    report(&format!(r#""connections":{count},"seconds":{:.3}"#, started.elapsed().as_secs_f64()))?;
    drop((first, sockets));
    Ok(())
}
