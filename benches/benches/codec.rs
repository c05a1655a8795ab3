//! What reading and writing a frame costs: ours, which validates while it parses; serde's derive, which checks no
//! constraint; and `Value` with a JSON Schema validator behind it. `benches/run.py` puts it into docs/PERFORMANCE.md.

use std::{hint::black_box, time::Duration};

use agent_world::protocol::{ServerFrame, codec, schemas::BUNDLE};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The frame of a chat message as serde derives it. It takes what the schema would refuse.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    id: String,
    r#type: String,
    timestamp: Option<String>,
    idempotency_key: Option<String>,
    payload: PlainChat,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PlainChat {
    content: String,
    sender: Option<String>,
    display_name: Option<String>,
    target_agent: Option<String>,
    world_name: Option<String>,
}

fn client_frame(kind: &str, payload: &Value) -> String {
    let at = "2026-11-25T12:00:00.000Z";
    format!(r#"{{"id":"msg-0001","type":"{kind}","timestamp":"{at}","payload":{payload}}}"#)
}

/// A chat message of about `length` bytes, as people write them: words, and now and then an escape.
fn chat(length: usize) -> String {
    let words = "What do you think of this, said Zoë, \"quoted\" and all?\n";
    let content: String = words.chars().cycle().take(length.saturating_sub(150)).collect();
    client_frame("chat_send", &json!({"content": content, "sender": "HUMAN", "worldName": "my-world"}))
}

fn server_frames() -> Vec<(&'static str, String)> {
    let agent = |at: usize| {
        json!({
            "name": format!("agent-{at}"), "status": "active", "createdAt": "2026-11-25T11:00:00.000Z", "llmCallCount": 3,
            "config": {"provider": "auto", "systemPrompt": "You are one of ten. ".repeat(20), "hasApiKey": false}
        })
    };
    let at = "2026-11-25T12:00:00.000Z";
    let id = "01938a6e-0000-7000-8000-000000000001";
    let frame = |kind: &str, payload: Value| json!({"id": id, "type": kind, "timestamp": at, "replyTo": "m-1", "payload": payload});
    let world = json!({
        "worldName": "my-world", "templateName": "debate", "worldState": {"name": "my-world", "turnLimit": 5},
        "agents": (0..10).map(agent).collect::<Vec<_>>(), "persistent": true, "cursor": "0123456789abcdef:12",
        "success": true, "message": "World my-world selected."
    });
    vec![
        ("pong", frame("pong", json!({})).to_string()),
        ("world of 10 agents", frame("world_selected", world).to_string()),
    ]
}

fn decoding(c: &mut Criterion) {
    let chat_schema = {
        let mut schema: Value = serde_json::from_str(BUNDLE).expect("the bundle is JSON");
        schema["$ref"] = json!("#/$defs/ChatSend");
        jsonschema::validator_for(&schema).expect("the bundle compiles")
    };
    for (name, text) in
        [("ping", client_frame("ping", &json!({}))), ("chat of 300 bytes", chat(300)), ("chat of 8 KB", chat(8_192))]
    {
        codec::decode_client(&text).expect("a valid frame");
        let mut group = c.benchmark_group(format!("decode {name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("ours", |b| b.iter(|| codec::decode_client(black_box(&text)).is_ok()));
        group.bench_function("plain serde", |b| b.iter(|| serde_json::from_str::<Plain>(black_box(&text)).is_ok()));
        if name != "ping" {
            group.bench_function("Value and validator", |b| {
                b.iter(|| {
                    let value: Value = serde_json::from_str(black_box(&text)).expect("JSON");
                    let valid = chat_schema.is_valid(&value["payload"]);
                    valid && serde_json::from_value::<Plain>(value).is_ok()
                });
            });
        }
        group.finish();
    }
    for (name, text) in server_frames() {
        codec::decode_server(&text).expect("a valid frame");
        c.bench_function(&format!("decode {name}/ours"), |b| b.iter(|| codec::decode_server(black_box(&text)).is_ok()));
    }
}

fn encoding(c: &mut Criterion) {
    for (name, text) in server_frames() {
        let frame: ServerFrame = codec::decode_server(&text).expect("a valid frame");
        c.bench_function(&format!("encode {name}/ours"), |b| b.iter(|| codec::encode(black_box(&frame))));
        let value: Value = serde_json::from_str(&text).expect("JSON");
        c.bench_function(&format!("encode {name}/Value"), |b| b.iter(|| serde_json::to_vec(black_box(&value)).is_ok()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = decoding, encoding
}
criterion_main!(benches);
