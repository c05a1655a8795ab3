//! What a world costs: deciding a message and applying what follows, and reading its history back.

use std::hint::black_box;

use agent_world::{
    protocol::{ChatContent, MessageId, SenderName, Template},
    world::{Command, Context, Event, World, first_events},
};
use criterion::{Criterion, criterion_group, criterion_main};

fn template() -> Template {
    let text = r#"{"name": "bench", "description": "Two agents.", "agents": [
        {"name": "one", "config": {"provider": "script"}}, {"name": "two", "config": {"provider": "script"}}]}"#;
    serde_json::from_str(text).expect("a template")
}

struct Stage {
    world: World,
    head: u64,
    minted: u64,
}

impl Stage {
    fn new() -> Self {
        let template = template();
        let mut stage = Self { world: World::new(template.name.clone(), template.turn_limit), head: 0, minted: 0 };
        for event in first_events(&template, None, 0) {
            stage.apply(&event);
        }
        stage
    }

    fn apply(&mut self, event: &Event) {
        self.head += 1;
        self.world.apply(self.head, self.head as i64, event);
    }

    /// One message that nobody answers; its events.
    fn say(&mut self, command: &Command) -> Vec<Event> {
        let minted = &mut self.minted;
        let mut mint = || {
            *minted += 1;
            MessageId::new(format!("01938a6e-0000-7000-8000-{:012x}", *minted)).expect("an id")
        };
        let mut context = Context { at_ms: 0, mint: &mut mint, text_of: &|_: &MessageId| String::new(), claim: None };
        self.world.decide(command, &mut context).expect("a message is accepted").events
    }
}

/// A message to nobody that is here: it is remembered, and the world is settled.
fn message() -> Command {
    Command::Chat {
        content: ChatContent::new("@nobody A message of ordinary length, as people write them.").expect("a text"),
        sender: SenderName::new("HUMAN").expect("a name"),
        display_name: None,
        target_agent: None,
    }
}

fn deciding(c: &mut Criterion) {
    let command = message();
    let mut stage = Stage::new();
    c.bench_function("decide and apply a message", |b| {
        b.iter(|| {
            for event in stage.say(black_box(&command)) {
                stage.apply(&event);
            }
        });
    });
}

fn replaying(c: &mut Criterion) {
    let mut stage = Stage::new();
    let mut records = Vec::new();
    while records.len() < 10_000 {
        for event in stage.say(&message()) {
            stage.apply(&event);
            records.push(event.to_record().expect("a record"));
        }
    }
    let mut group = c.benchmark_group("replay");
    group.sample_size(10);
    group.bench_function("10,000 records", |b| {
        b.iter(|| {
            let mut stage = Stage::new();
            for record in &records {
                stage.apply(&Event::from_record(black_box(record)).expect("a record"));
            }
            stage.head
        });
    });
    let snapshot = serde_json::to_vec(&stage.world).expect("a snapshot");
    group.bench_function("snapshot of the same", |b| {
        b.iter(|| serde_json::from_slice::<World>(black_box(&snapshot)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, deciding, replaying);
criterion_main!(benches);
