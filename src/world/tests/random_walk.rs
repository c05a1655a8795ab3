//! Random walks through a world: thousands of commands, starts and ends in any order, and after each step everything
//! that must hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    publish::frame,
    stage::{Stage, chat, ended, json, kind, name, stop, turn_limit},
};
use crate::{
    protocol::{AgentConfigUpdate, ErrorCode, FinishReason, MessageId, ModelName, Patch, ProviderName, WritableStatus},
    world::{
        command::{AgentChange, Command},
        decide::QUEUE,
        event::Event,
        memory::{KEPT, PROMPTED},
        snapshot,
        state::World,
        turns::Ending,
    },
};

const SEEDS: u64 = 12;
const STEPS: usize = 1_500;
/// How often each kind of event must come about in all walks together: one that never happens is not checked.
const FLOOR: usize = 8;

/// xorshift64*: the same walk for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.roll(from.len())])
    }
}

/// Where a reply is in its life. It goes forward only.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Waiting,
    Running,
    Ended,
    Dropped,
}

/// What was seen of a walk so far, from its events alone.
#[derive(Default)]
struct Seen {
    replies: BTreeMap<MessageId, Life>,
    messages: Vec<MessageId>,
    /// The events folded by somebody else, from what is stored.
    mirror: Option<World>,
    steps: usize,
}

const AGENTS: [&str; 5] = ["a1", "Scout", "a-2", "b_3", "late"];
const TEXTS: [&str; 14] = [
    "hi",
    "@a1 go",
    "@scout, please",
    "@A-2 and @a1",
    "@b_3!",
    "@late hello",
    "@nobody",
    "@human yes",
    "mail x@y.z",
    "<world>pass</world>",
    "@a1 <WORLD>PASS</WORLD>",
    "é🙂",
    "@user ok",
    "I agree.",
];
const PATCHES: [&str; 6] = [
    "{}",
    r#"{"temperature": 0}"#,
    r#"{"temperature": 1.5, "model": "m", "maxTokens": 9}"#,
    r#"{"model": null, "temperature": null}"#,
    r#"{"provider": "ollama", "baseUrl": "http://localhost:1"}"#,
    r#"{"apiKey": "sk-secret"}"#,
];

#[test]
fn whatever_happens_a_world_is_the_fold_of_its_log() {
    let mut kinds = BTreeMap::<String, usize>::new();
    (1..=SEEDS).for_each(|seed| walk(seed, &mut kinds));
    let once_a_walk = kinds.remove("worldCreated");
    assert_eq!(once_a_walk, Some(SEEDS as usize));
    assert_eq!(kinds.len(), 17, "{kinds:?}");
    assert!(kinds.values().all(|count| *count >= FLOOR), "{kinds:?}");
}

/// Counts the events it made, by kind.
fn walk(seed: u64, kinds: &mut BTreeMap<String, usize>) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stage = Stage::new(&AGENTS[..4]);
    let mut seen = Seen::default();
    check(&stage, 0, &BTreeSet::new(), &mut seen);
    for _ in 0..STEPS {
        let from = stage.log.len();
        let busy: BTreeSet<_> = stage.world.busy_roots().cloned().collect();
        step(&mut stage, &mut dice, &seen);
        check(&stage, from, &busy, &mut seen);
    }
    // However it went, everything can be brought to its end, and then nothing is left.
    let from = stage.log.len();
    let busy: BTreeSet<_> = stage.world.busy_roots().cloned().collect();
    stage.cancel(None);
    check(&stage, from, &busy, &mut seen);
    assert!(!stage.world.is_busy());
    assert!(seen.replies.values().all(|life| matches!(life, Life::Ended | Life::Dropped)), "every start has its end");
    let again = stage.log.iter().zip(1..).fold(
        World::new(super::stage::template_name(), turn_limit(1)),
        |mut world, ((at, event), seq)| {
            world.apply(seq, *at, event);
            world
        },
    );
    assert_eq!(again, stage.world, "the fold from the beginning");
    stage.log.iter().for_each(|(_, event)| *kinds.entry(kind(event)).or_default() += 1);
}

fn step(stage: &mut Stage, dice: &mut Dice, seen: &Seen) {
    let agent = AGENTS[dice.roll(AGENTS.len())];
    let text = TEXTS[dice.roll(TEXTS.len())];
    let any_reply = |dice: &mut Dice| {
        let ids: Vec<_> = seen.replies.keys().rev().take(30).cloned().collect();
        dice.pick(&ids).cloned()
    };
    let command = match dice.roll(100) {
        0..16 => chat("human", text, None),
        16..20 => chat(agent, text, None),
        20..23 => chat("user", text, Some(agent)),
        // Sometimes a whole lot, to fill a queue.
        23 => {
            for _ in 0..QUEUE {
                let _ = stage.try_run(chat("human", "@a1 more", None));
            }
            return;
        }
        24..52 => {
            stage.start(agent);
            return;
        }
        52..80 => {
            let running: Vec<_> = stage.world.agents().filter_map(|a| a.running.clone()).collect();
            if let Some(turn) = dice.pick(&running) {
                let ending = match dice.roll(10) {
                    0 => ended(FinishReason::Error),
                    1 => ended(FinishReason::Interrupted),
                    2 => Ending { content: text.to_owned(), ..ended(FinishReason::Length) },
                    _ => stop(text),
                };
                assert!(stage.end(&turn.reply.message_id, ending));
            }
            return;
        }
        80..82 => {
            let event = Event::ProviderChosen {
                agent_name: name(agent),
                provider: ProviderName::Script,
                model: ModelName::try_from("demo").unwrap(),
            };
            return stage.take(vec![event]);
        }
        82..86 => match any_reply(dice) {
            Some(message_id) => Command::Retry { message_id },
            None => return,
        },
        86..89 => match any_reply(dice) {
            Some(message_id) => Command::Cancel { message_id: Some(message_id) },
            None => return,
        },
        89 => Command::Cancel { message_id: dice.pick(&seen.messages).cloned() },
        90 => {
            Command::CreateAgent { name: name(agent), status: WritableStatus::Active, config: super::stage::script() }
        }
        91 if dice.roll(4) == 0 => Command::DeleteAgent { agent_name: name(agent) },
        91..95 => Command::UpdateAgent(AgentChange {
            agent_name: name(agent),
            status: [None, Some(WritableStatus::Active), Some(WritableStatus::Inactive)][dice.roll(3)],
            config: Some(json::<AgentConfigUpdate>(PATCHES[dice.roll(PATCHES.len())])),
            clear_memory: dice.roll(3) == 0,
        }),
        95 => Command::UpdateWorld { title: Patch::Null, turn_limit: Some(turn_limit(1 + dice.roll(6) as i64)) },
        96 => Command::Reload,
        _ => chat("human", text, None),
    };
    if let Err(failure) = stage.try_run(command) {
        let expected =
            [ErrorCode::AgentNotFound, ErrorCode::Conflict, ErrorCode::MessageNotFound, ErrorCode::Overloaded];
        assert!(expected.contains(&failure.code), "{failure:?}");
    }
}

/// Everything that must hold after a step that appended what stands in the log from `from` on; `busy` are the roots
/// that were busy before.
fn check(stage: &Stage, from: usize, busy: &BTreeSet<MessageId>, seen: &mut Seen) {
    let mut settled = BTreeMap::<MessageId, usize>::new();
    let mut touched = busy.clone();
    let mirror = seen.mirror.get_or_insert_with(|| World::new(super::stage::template_name(), turn_limit(1)));
    for (index, (at_ms, event)) in stage.log.iter().enumerate().skip(from) {
        let seq = index as u64 + 1;
        let stored = event.to_record().unwrap();
        let read = Event::from_record(&stored).unwrap();
        assert_eq!(&read, event, "what is read is what was written");
        assert!(!String::from_utf8_lossy(&stored).contains("sk-secret"));
        frame(seq, event);
        match event {
            Event::Message { message_id, root_id, .. } => {
                seen.messages.push(message_id.clone());
                if message_id == root_id {
                    touched.insert(root_id.clone());
                }
            }
            Event::Routed { turns, root_id, .. } => {
                touched.insert(root_id.clone());
                for turn in turns {
                    assert_eq!(
                        seen.replies.insert(turn.reply_id.clone(), Life::Waiting),
                        None,
                        "an id is reserved once"
                    );
                }
            }
            Event::ReplyStarted { reply, .. } => {
                let agent = mirror.agent(reply.agent_name.as_str()).unwrap();
                assert!(agent.running.is_none(), "one turn of an agent runs");
                assert_eq!(agent.waiting[0].reply, *reply, "first in, first out");
                assert!(agent.public.llm_call_count.get() < mirror.turn_limit.get(), "the turn limit");
                goes(seen.replies.get_mut(&reply.message_id), Life::Waiting, Life::Running);
            }
            Event::ReplyEnded { reply, finish_reason, error, .. } => {
                assert_eq!(error.is_some(), *finish_reason == FinishReason::Error);
                goes(seen.replies.get_mut(&reply.message_id), Life::Running, Life::Ended);
            }
            Event::TurnLimitReached { reply_id, .. } => {
                goes(seen.replies.get_mut(reply_id), Life::Waiting, Life::Dropped);
            }
            Event::TurnsDropped { turns, .. } => {
                for turn in turns {
                    goes(seen.replies.get_mut(&turn.reply_id), Life::Waiting, Life::Dropped);
                }
            }
            Event::Settled { root_id } => *settled.entry(root_id.clone()).or_default() += 1,
            _ => {}
        }
        mirror.apply(seq, *at_ms, &read);
    }
    assert_eq!(*mirror, stage.world, "whoever reads the log has the same world");
    seen.steps += 1;
    if seen.steps.is_multiple_of(97) {
        let written = snapshot::write(&stage.world).unwrap();
        let restored = snapshot::read(&written).unwrap();
        assert_eq!(restored, stage.world);
        *mirror = restored;
    }

    // A root is busy exactly when turns of it wait or run, and settles exactly when it becomes idle.
    let mut turns = BTreeMap::<MessageId, u32>::new();
    for agent in stage.world.agents() {
        assert!(agent.waiting.len() <= QUEUE);
        assert!(agent.memory.iter().count() <= KEPT);
        for turn in agent.waiting.iter().chain(&agent.running) {
            *turns.entry(turn.reply.root_id.clone()).or_default() += 1;
            let life = if agent.running.as_ref() == Some(turn) { Life::Running } else { Life::Waiting };
            assert_eq!(seen.replies[&turn.reply.message_id], life);
        }
        if let Some(turn) = &agent.running {
            let prompt = agent.memory.prompt(turn.waking.as_ref());
            let waking = turn.waking.as_ref().expect("somebody woke it");
            assert!(prompt.len() <= PROMPTED);
            assert_eq!(prompt.iter().filter(|item| item.message_id == waking.message_id).count(), 1);
        }
    }
    for root in stage.world.busy_roots() {
        assert_eq!(Some(&stage.world.turns_of(root)), turns.get(root));
    }
    assert_eq!(stage.world.busy_roots().count(), turns.len());
    for root in touched {
        // A burst of chats is several appends in one step: none of them settles twice.
        let expected = usize::from(!turns.contains_key(&root));
        assert_eq!(settled.remove(&root).unwrap_or(0), expected, "{root}");
    }
    assert!(settled.is_empty(), "who was not busy does not settle: {settled:?}");
}

#[track_caller]
fn goes(life: Option<&mut Life>, from: Life, to: Life) {
    let life = life.expect("a reply is announced before anything happens to it");
    assert_eq!(*life, from);
    *life = to;
}
