//! Does one thing again and again, the same way every time, so that its instructions can be counted:
//! `benches/instructions.py` runs it under callgrind and compares with what is committed. Time is what a busy machine makes of
//! it; instructions are what the code is.
//!
//! ```sh
//! cargo run --example instructions -- decode 100
//! ```

use std::{
    hint::black_box,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use agent_world::{
    protocol::{
        AgentUpdate, AgentUpdated, ChatCancel, ChatRetry, ChatSend, ClientFrame, ErrorCode, ErrorInfo, EventSubscribe,
        EventUnsubscribe, Handle, IdempotencyKey, MessageId, Ping, Pong, SenderType, ServerFrame, ServerMessage,
        StatusCancelled, StatusMessageAccepted, StatusSubscribed, StatusUnsubscribed, Validate, WorldName, WorldReload,
        WorldReloaded, WorldSelect, WorldSelected, codec, dispatch,
    },
    world::{Batch, Event, Filter, Hub, Outbox, Outlet, publish, timestamp},
};
use futures_util::FutureExt;
use uuid::Uuid;

const FRAMES: [&str; 3] = [
    r#"{"id":"msg-0001","type":"ping","timestamp":"2026-11-25T12:00:00.000Z","payload":{}}"#,
    r#"{"id":"msg-0002","type":"chat_send","timestamp":"2026-11-25T12:00:00.000Z","payload":{"content":"What do you think of this plan, and of the one before it? \"Neither\" is an answer too.","sender":"HUMAN","worldName":"my-world"}}"#,
    r#"{"id":"msg-0003","type":"agent_update","idempotencyKey":"key-000000000001","payload":{"agentName":"critic","config":{"provider":"openai-compatible","model":"small","temperature":0.5,"baseUrl":"http://127.0.0.1:8080/v1","systemPrompt":null}}}"#,
];
const SUBSCRIBERS: usize = 50;

/// Answers pings, and nothing else.
struct Echo;

macro_rules! refuse {
    ($($name:ident($payload:ty $(, $key:ty)?) -> $answer:ty;)+) => {
        impl Handle for Echo {
            async fn ping(&mut self, _: Ping) -> Result<Pong, Box<ErrorInfo>> {
                Ok(Pong {})
            }

            $(async fn $name(&mut self, _: $payload $(, _: Option<$key>)?) -> Result<$answer, Box<ErrorInfo>> {
                Err(agent_world::error::Failure::new(ErrorCode::Conflict, "select a world first").into())
            })+
        }
    };
}

refuse! {
    world_select(WorldSelect) -> WorldSelected;
    chat_send(ChatSend, IdempotencyKey) -> StatusMessageAccepted;
    chat_cancel(ChatCancel) -> StatusCancelled;
    chat_retry(ChatRetry, IdempotencyKey) -> StatusMessageAccepted;
    agent_update(AgentUpdate, IdempotencyKey) -> AgentUpdated;
    world_reload(WorldReload) -> WorldReloaded;
    event_subscribe(EventSubscribe) -> StatusSubscribed;
    event_unsubscribe(EventUnsubscribe) -> StatusUnsubscribed;
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (what, rounds) = (arguments.next().unwrap_or_default(), arguments.next().and_then(|n| n.parse().ok()));
    let rounds: u64 = rounds.unwrap_or(1);
    codec::set_validate(Validate::Typed);
    match what.as_str() {
        "decode" => decode(rounds),
        "dispatch" => dispatching(rounds),
        "encode" => encode(rounds),
        "fan-out" => fan_out(rounds),
        _ => {
            println!("one of: decode, dispatch, encode, fan-out; and how often");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn frame(text: &str) -> ClientFrame {
    codec::decode_client(text).unwrap_or_else(|refused| panic!("{refused:?} is what is wrong with {text}"))
}

fn decode(rounds: u64) {
    for _ in 0..rounds {
        for text in FRAMES {
            black_box(frame(black_box(text)));
        }
    }
}

fn dispatching(rounds: u64) {
    let frame = frame(FRAMES[0]);
    for _ in 0..rounds {
        let answer = dispatch(&mut Echo, frame.message.clone(), None).now_or_never();
        assert!(matches!(black_box(answer), Some(ServerMessage::Pong(_))));
    }
}

fn encode(rounds: u64) {
    let frame = ServerFrame {
        id: Uuid::from_u128(1),
        timestamp: timestamp(1_768_471_200_000),
        reply_to: None,
        seq: None,
        message: Pong {}.into(),
    };
    for _ in 0..rounds {
        black_box(codec::encode(black_box(&frame)));
    }
}

/// Counts the bytes of the frames that it is given.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Outlet for Counting {
    fn put(&self, batch: &Batch, _: bool) -> bool {
        let frames = batch.wire(|texts| texts.flatten().copied().collect());
        self.0.fetch_add(frames.len(), Ordering::Relaxed);
        true
    }
}

/// One message, made into a frame and taken by fifty subscribers; another is written for as many that wait.
fn fan_out(rounds: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _entered = runtime.enter();
    let outlet = Arc::new(Counting::default());
    let world = WorldName::new("my-world").expect("a name");
    let id = MessageId::new("01938a6e-0000-7000-8000-000000000001").expect("an id");
    let event = Event::Message {
        message_id: id.clone(),
        sender: "human".to_owned(),
        sender_type: SenderType::Human,
        content: "Good morning, all of you!".to_owned(),
        in_reply_to: None,
        root_id: id,
        display_name: None,
    };
    let hub = Hub::new(0);
    let outboxes: Vec<_> = (0..SUBSCRIBERS).map(|_| Arc::new(Outbox::new(Filter::chat(), 1 << 20))).collect();
    for outbox in &outboxes {
        assert!(hub.go_live(outbox, 0), "nothing was published yet");
    }
    for round in 1..=rounds {
        let make = |seq| {
            let push = publish(&world, seq, Uuid::from_u128(1), 1_768_471_200_000, &event);
            vec![(seq, push.expect("clients see messages"))]
        };
        hub.publish(round * 2 - 1, make(round * 2 - 1), None);
        for outbox in &outboxes {
            assert_eq!(black_box(outbox.take(256)).0.len(), 1);
            outbox.lend(outlet.clone());
        }
        hub.publish(round * 2, make(round * 2), None);
        runtime.block_on(tokio::task::yield_now());
        for outbox in &outboxes {
            assert_eq!(outbox.take_back(), Some(round * 2));
        }
    }
    assert!(outlet.0.load(Ordering::Relaxed) > 0);
}
