//! Two clients of one world that hop between WebSocket and SSE: the same order everywhere, nothing missing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    program::script,
    random::{Random, size},
    support::{Frame, Host, Http, TestServer},
};

/// How one of them reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    WebSocket,
    Events,
}

/// Reads from `after` for about `time`; returns what came.
async fn read(over: Over, host: &Host, http: &Http, after: &str, time: Duration) -> Vec<Frame> {
    let until = Instant::now() + time;
    let mut frames = Vec::new();
    match over {
        Over::WebSocket => {
            let mut client = host.client_of(http.token()).await;
            client.select_with(json!({"templateName": "stage", "worldName": "w", "after": after})).await;
            while Instant::now() < until {
                frames.push(client.next().await);
            }
        }
        Over::Events => {
            let headers = [("accept", "text/event-stream"), ("last-event-id", after)];
            let mut stream = http.stream("GET", "/worlds/w/events", &headers, None).await;
            while Instant::now() < until {
                frames.push(stream.next().await.expect("it goes on").frame);
            }
        }
    }
    frames
}

/// Hops until told to stop; returns the durable frames in the order of their arrival, and the number of hops.
async fn hop(
    host: Host,
    http: Http,
    start: String,
    mut random: Random,
    first: Over,
    until: Instant,
) -> (Vec<String>, usize) {
    let (epoch, mut seq) =
        start.split_once(':').map(|(e, s)| (e.to_owned(), s.parse::<u64>().unwrap())).expect("a cursor");
    let (mut seen, mut hops, mut over) = (Vec::new(), 0, first);
    while Instant::now() < until {
        let time = Duration::from_millis(30 + random.below(250));
        for frame in read(over, &host, &http, &format!("{epoch}:{seq}"), time).await {
            if let Some(now) = frame.seq() {
                assert!(now > seq, "{now} after {seq}, over {over:?}");
                seq = now;
                seen.push(frame.text);
            }
        }
        hops += 1;
        over = if over == Over::WebSocket { Over::Events } else { Over::WebSocket };
    }
    (seen, hops)
}

#[tokio::test(flavor = "multi_thread")]
async fn hopping_between_websocket_and_sse_shows_one_order() {
    let time = Duration::from_secs(size("HOPS", 6));
    let server = TestServer::with(|config| {
        config.script = Some(script());
        config.chat_burst = 1e6;
    })
    .await;
    let mut writer = server.in_world("w").await;
    let start = writer.cursor.clone();
    let mut random = Random::new("hop");
    let http = server.http_of(writer.token());
    let until = Instant::now() + time;
    let hopper = |random: Random, first| {
        tokio::spawn(hop(server.host.clone(), http.clone(), start.clone(), random, first, until))
    };
    let hoppers = [hopper(random.fork(), Over::WebSocket), hopper(random.fork(), Over::Events)];
    // Somebody always says something, so that nobody waits for a frame; a little longer than they hop.
    let mut said = 0;
    while !hoppers.iter().all(|hopper| hopper.is_finished()) {
        let content = if said % 5 == 0 { "hi, both, in WORDS".to_owned() } else { format!("@human {said}") };
        writer.say(&content).await;
        said += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut seen = Vec::new();
    let mut all_hops = 0;
    for hopper in hoppers {
        let (frames, hops) = hopper.await.expect("nothing came twice");
        seen.push(frames);
        all_hops += hops;
    }
    // What there is, in one go.
    let mut reader = server.client_of(writer.token()).await;
    reader.select_with(json!({"templateName": "stage", "worldName": "w", "after": start})).await;
    let truth = reader.until(|frame| frame.status("caught_up").is_some()).await;
    let truth: Vec<&str> =
        truth.iter().filter(|frame| frame.seq().is_some()).map(|frame| frame.text.as_str()).collect();
    for frames in &seen {
        let len = frames.len();
        assert!(frames.iter().map(String::as_str).eq(truth[..len].iter().copied()), "not the order of the log");
    }
    println!(
        "hop: {all_hops} hops of two clients in {time:?}, {} and {} durable frames, {said} messages",
        seen[0].len(),
        seen[1].len()
    );
    assert!(all_hops >= 2 * time.as_secs() as usize && seen.iter().all(|frames| frames.len() > 100));
}
