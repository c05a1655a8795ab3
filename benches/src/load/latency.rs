//! How long something takes for one who waits for it.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Failure, options::Options, ours, report, wait_for_start};

/// Opens the world `history` of the user of `--token`, which nobody has open: from the request to the answer.
pub async fn open(options: &Options) -> Result<(), Failure> {
    let token = options.text("token").ok_or("--token is missing")?;
    let (mut socket, _) = ours::connect(options.address()?, Some(token)).await?;
    wait_for_start()?;
    let started = Instant::now();
    ours::select(&mut socket, "quiet", "history", "").await?;
    report(&format!(r#""ms":{:.3}"#, started.elapsed().as_secs_f64() * 1_000.0))
}

/// Plays a model behind `--upstream`, and measures from the first byte that it sends to the first delta that a client
/// gets, `--messages` times.
pub async fn first_delta(options: &Options) -> Result<(), Failure> {
    let count: usize = options.get("messages", 100)?;
    let upstream = TcpListener::bind(("127.0.0.1", options.get("upstream", 0_u16)?)).await?;
    let base_url = format!("http://{}/v1/", upstream.local_addr()?);
    let (began, mut begun) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = upstream.accept().await {
            tokio::spawn(model(stream, began.clone()));
        }
    });
    let (mut socket, _) = ours::connect(options.address()?, None).await?;
    ours::select(&mut socket, "single", "my-world", "").await?;
    let config = format!(r#""config":{{"provider":"openai-compatible","model":"m","baseUrl":"{base_url}"}}"#);
    socket.send_text(&ours::message("agent_update", &format!(r#"{{"agentName":"solo",{config}}}"#))).await?;
    socket.text_with(&["\"agent_updated\""]).await?;
    let mut times = Vec::with_capacity(count);
    wait_for_start()?;
    // The first ones make connections, which later ones use again.
    for at in 0..count + 5 {
        socket.send_text(&ours::chat("Say something.")).await?;
        socket.text_with(&["\"complete\":false", "\"content\":\"Hello"]).await?;
        let arrived = Instant::now();
        let sent: Instant = begun.recv().await.ok_or("the model was not asked")?;
        if at >= 5 {
            times.push(arrived.duration_since(sent).as_secs_f64() * 1_000.0);
        }
        socket.text_with(&["\"settled\""]).await?;
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    report(&format!(r#""messages":{count},"ms":{:.3},"p90":{:.3},"best":{:.3}"#, at(0.5), at(0.9), at(0.0)))
}

/// A model that says hello, at once.
async fn model(mut stream: TcpStream, began: mpsc::UnboundedSender<Instant>) -> Result<(), std::io::Error> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let piece = |text: &str| {
        let delta = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
        let choice = format!(r#"{{"index":0,"delta":{delta},"finish_reason":null}}"#);
        let data = format!("data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{choice}]}}\n\n");
        format!("{:x}\r\n{data}\r\n", data.len())
    };
    let end = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\
               \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    loop {
        let Some(length) = whole(&request) else {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
            continue;
        };
        request.drain(..length);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(3)).await;
        let _ = began.send(Instant::now());
        stream.write_all(piece("Hello").as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(3)).await;
        let rest = format!("{}{:x}\r\n{end}\r\n0\r\n\r\n", piece(" there."), end.len());
        stream.write_all(rest.as_bytes()).await?;
    }
}

/// The length of the request that begins here, once it is there whole.
fn whole(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.split_once("content-length:").map_or("0", |(_, rest)| rest.lines().next().unwrap_or("0"));
    let whole = head + length.trim().parse::<usize>().unwrap_or(0);
    (request.len() >= whole).then_some(whole)
}
