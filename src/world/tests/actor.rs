//! A world at work: storage, turns and subscribers, and what goes wrong between them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    house::{House, Listener},
    stage::{chat, chat_as, name, script},
};
use crate::{
    protocol::{ErrorCode, EventKind, IdempotencyKey, WritableStatus},
    world::{Answer, Command, Filter, Outcome, Settings, WorldCell},
};

fn everything() -> Filter {
    Filter::new([EventKind::Message, EventKind::World, EventKind::Sse, EventKind::System], None)
}

const BORN: [&str; 3] = ["world-created", "agent-created", "agent-created"];

#[tokio::test]
async fn a_question_and_its_answer() {
    let mut house = House::new(Settings::default()).await;
    let mut tail = house.tail();
    house.chat("@a1 hi").await;
    let model = house.called().await;
    assert_eq!((model.call.agent.as_str(), model.call.call_number), ("a1", 1));
    model.say("Hel");
    assert_eq!(tail.until("+Hel").await, ["message @a1 hi", "start a1", "+Hel"]);
    model.say("lo.");
    model.stop();
    assert_eq!(tail.until("settled").await, ["+lo.", "end stop Hello.", "message Hello.", "settled"]);
}

/// Who comes in the middle gets the log, then the text so far, then the rest; and so does who reads slowly.
#[tokio::test]
async fn joining_in_the_middle_of_a_reply() {
    for outbox_bytes in [1, 1_000_000] {
        let mut house = House::new(Settings { outbox_bytes, ..Settings::default() }).await;
        house.chat("@a1 hi").await;
        let mut early = house.tail();
        let model = house.called().await;
        model.say("one ");
        model.say("two ");
        early.until("+").await;
        let mut late = house.listen(everything());
        let heard = late.until("+one").await;
        assert_eq!(heard[..3], BORN);
        assert_eq!(heard[3..6], ["message @a1 hi", "routed", "start a1"]);
        assert_eq!(heard[6..heard.len() - 1], ["caught up"]);
        model.say("three");
        model.stop();
        late.until("settled").await;
        early.until("settled").await;
        assert_eq!(late.seqs, (1..=9).collect::<Vec<_>>());
    }
}

/// Also after everything was read back from the disk.
#[tokio::test]
async fn a_model_is_told_who_said_what_and_people_by_name() {
    let house = House::new(Settings::default()).await;
    for command in [chat("human", "@human one", None), chat_as("Zoë", "@human two"), chat("a2", "@human three", None)]
    {
        house.cell().execute(command, None).await.unwrap();
    }
    let mut house = house.restart().await;
    house.cell().execute(chat_as("Bo", "@a1 four"), None).await.unwrap();
    let prompt = house.called().await.call.prompt;
    let said: Vec<_> = prompt.items.iter().map(|item| (item.speaker.as_deref(), item.name.as_deref())).collect();
    let (human, a2) = (Some("human"), Some("a2"));
    assert_eq!(said, [(human, None), (human, Some("Zoë")), (a2, None), (human, Some("Bo"))]);
}

#[tokio::test]
async fn a_cancelled_reply_ends_once_and_its_call_is_dropped() {
    let mut house = House::new(Settings::default()).await;
    let mut tail = house.tail();
    let root = house.chat("hi").await;
    let (one, two) = (house.called().await, house.called().await);
    one.say("so far");
    tail.until("+so far").await;
    let outcome = house.cell().execute(Command::Cancel { message_id: Some(root) }, None).await.unwrap();
    let Answer::Cancelled { message_ids, dropped } = outcome.answer else { panic!() };
    assert_eq!((message_ids.len(), dropped), (2, 0));
    one.dropped().await;
    two.dropped().await;
    one.say("too late");
    let mut heard = tail.until("settled").await;
    heard.sort();
    assert_eq!(heard, ["end cancelled ", "end cancelled so far", "settled"]);
    house.chat("@nobody").await;
    assert_eq!(tail.until("settled").await, ["message @nobody", "settled"], "nothing came late");
}

/// A reply that a crash cut off ends `interrupted`, empty; what waited runs.
#[tokio::test]
async fn a_crash_interrupts_what_ran_and_runs_what_waited() {
    let mut house = House::new(Settings::default()).await;
    house.chat("@a1 one").await;
    let model = house.called().await;
    model.say("half");
    house.chat("@a1 two").await;
    let mut house = house.restart().await;
    let model = house.called().await;
    assert_eq!(model.call.prompt.items.last().unwrap().content, "@a1 two");
    model.say("Two.");
    model.stop();
    let mut all = house.listen(Filter::chat());
    all.until("end").await;
    let mut heard = all.until("message Two.").await;
    heard.retain(|heard| heard != "caught up" && !heard.starts_with('+'));
    assert_eq!(heard, ["settled", "start a1", "end stop Two.", "message Two."]);
}

/// At the drain deadline a reply ends with its text so far; what waits runs at the next start.
#[tokio::test]
async fn draining() {
    let mut house = House::new(Settings::default()).await;
    let mut tail = house.tail();
    house.chat("@a1 one").await;
    house.chat("@a1 two").await;
    let model = house.called().await;
    model.say("half");
    tail.until("+half").await;
    house.worlds.services.draining.store(true, Ordering::Relaxed);
    let refused = house.cell().execute(chat("human", "@a1 three", None), None).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Overloaded);
    house.cell().interrupt().await.unwrap();
    model.dropped().await;
    assert_eq!(tail.until("settled").await, ["end interrupted half", "settled"]);
    drop((model, tail));
    let mut house = house.restart().await;
    assert_eq!(house.called().await.call.prompt.items.last().unwrap().content, "@a1 two");
}

#[tokio::test]
async fn a_key_makes_a_request_happen_once() {
    let house = House::new(Settings::default()).await;
    let key = |key: &str| Some(IdempotencyKey::try_from(key).unwrap());
    let first = house.cell().execute(chat("human", "@nobody", None), key("k")).await.unwrap();
    let head = house.cell().hub.head();
    let again = house.cell().execute(chat("human", "@nobody", None), key("k")).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate, &first.answer), (false, true, &again.answer));
    let other = house.cell().execute(chat("human", "@nobody!", None), key("k")).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::Conflict);
    assert_eq!(house.cell().hub.head(), head);
    house.cell().execute(chat("human", "@nobody", None), key("l")).await.unwrap();
    assert!(house.cell().hub.head() > head);
}

fn create(agent: &str) -> Command {
    Command::CreateAgent { name: name(agent), status: WritableStatus::Active, config: script() }
}

/// Requests that wait together share an append, and each sees what those before it have done.
#[tokio::test]
async fn requests_that_come_together() {
    let house = House::new(Settings::default()).await;
    let mut tail = house.tail();
    let (cell, key) = (house.cell().clone(), |key: &str| Some(IdempotencyKey::try_from(key).unwrap()));
    let appends = house.sqlite.stats().requests;
    let requests = [
        (create("cleo"), None),
        (create("Cleo"), None),
        (chat("human", "@nobody one", None), key("k")),
        (chat("human", "@nobody one", None), key("k")),
        (chat("human", "@nobody two", None), key("k")),
        (chat("human", "@nobody three", None), None),
    ];
    let outcomes = join_all(requests.map(|(command, key)| cell.execute(command, key))).await;
    assert_eq!(house.sqlite.stats().requests - appends, 1);
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(Outcome { answer: Answer::Accepted { seq, .. }, duplicate }) => format!("{seq} {duplicate}"),
            Ok(Outcome { answer, .. }) => format!("{answer:?}").chars().take(5).collect(),
            Err(failure) => failure.code.to_string(),
        })
        .collect();
    assert_eq!(told, ["Agent", "CONFLICT", "5 false", "5 true", "CONFLICT", "8 false"]);
    let heard = tail.until("message @nobody three").await;
    assert_eq!(heard, ["agent-created", "message @nobody one", "settled", "message @nobody three"]);
}

/// However many wait: they take effect in the order in which they were begun.
#[tokio::test]
async fn requests_keep_their_order() {
    let house = House::new(Settings::default()).await;
    let cell = house.cell();
    let begun = (0..200).map(|n| cell.execute(chat("human", &format!("@nobody {n}"), None), None));
    let seqs: Vec<_> = join_all(begun)
        .await
        .into_iter()
        .map(|outcome| match outcome.unwrap().answer {
            Answer::Accepted { seq, .. } => seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
}

/// Where nothing holds them up, replies to one message start in the order of the agents.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replies_start_in_the_order_of_the_agents() {
    let house = House::talkative(Settings::default()).await;
    let mut tail = house.tail();
    for _ in 0..100 {
        house.chat("hi").await;
        let mut heard = tail.until("settled").await;
        heard.retain(|heard| heard.starts_with("start "));
        assert_eq!(heard, ["start a1", "start a2"]);
    }
}

/// A reload sees what those before it did, and the keys before it are known behind it.
#[tokio::test]
async fn a_reload_among_others() {
    let house = House::new(Settings::default()).await;
    let cell = house.cell();
    let key = || Some(IdempotencyKey::try_from("k").unwrap());
    let (first, reloaded, again) = tokio::join!(
        cell.execute(chat("human", "@nobody", None), key()),
        cell.execute(Command::Reload, None),
        cell.execute(chat("human", "@nobody", None), key()),
    );
    assert_eq!(reloaded.unwrap().answer, Answer::Done);
    let (first, again) = (first.unwrap(), again.unwrap());
    assert_eq!((first.duplicate, again.duplicate, first.answer), (false, true, again.answer));
}

/// The state leaves the memory when nothing runs, although somebody listens, and comes back when asked.
#[tokio::test]
async fn an_idle_world_is_unloaded_and_comes_back() {
    let house = House::talkative(Settings { idle_unload: Duration::from_millis(20), ..Settings::default() }).await;
    let mut tail = house.tail();
    for _ in 0..3 {
        house.chat("@a1 hi").await;
        tail.until("settled").await;
        tokio::time::timeout(Duration::from_secs(20), async {
            while house.cell().is_loaded() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("nothing runs");
    }
    assert!(house.cell().view().await.is_ok_and(|view| view.head == house.cell().hub.head()));
}

#[tokio::test]
async fn a_deleted_world_tells_everyone() {
    let mut house = House::new(Settings::default()).await;
    let mut tail = house.tail();
    house.chat("@a1 hi").await;
    let model = house.called().await;
    let name = house.cell().name.clone();
    house.worlds.delete(&house.cell().user.clone(), &name).await.unwrap();
    model.dropped().await;
    assert!(tail.until("gone").await.len() <= 3);
    let refused = house.cell().execute(chat("human", "hi", None), None).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::WorldNotFound);
    assert_eq!(house.cell().view().await.unwrap_err().code, ErrorCode::WorldNotFound);
}

/// Many at once, with an actor that leaves whenever it can and subscribers that fall behind all the time: everybody
/// hears the whole log, once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_hears_everything_once() {
    const CHATS: usize = 40;
    for outbox_bytes in [1, 2_000, 1_000_000] {
        let idle_unload = Duration::from_micros(200);
        let house = House::talkative(Settings { idle_unload, outbox_bytes, ..Settings::default() }).await;
        let mut listeners = Vec::new();
        let mut speakers = Vec::new();
        for speaker in 0..3_usize {
            let cell = house.cell().clone();
            speakers.push(tokio::spawn(async move {
                for n in 0..CHATS {
                    let content = ["hi", "@a1 hi", "@nobody"][(speaker + n) % 3];
                    while let Err(failure) = cell.execute(chat("human", content, None), None).await {
                        assert_eq!(failure.code, ErrorCode::Overloaded);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    if n % 10 == 9 {
                        cell.execute(Command::Cancel { message_id: None }, None).await.unwrap();
                    }
                }
            }));
        }
        for _ in 0..4 {
            let cell = house.cell().clone();
            listeners.push(tokio::spawn(async move {
                let mut listener = Listener::new(&cell, everything(), Some(&cell.cursor(0))).unwrap();
                let mut questions = 0;
                let mut settled = 0;
                while questions < 3 * CHATS || settled < 3 * CHATS {
                    let heard = listener.next().await;
                    questions += usize::from(
                        heard.starts_with("message ") && heard.ends_with("hi") || heard == "message @nobody",
                    );
                    settled += usize::from(heard == "settled");
                    tokio::task::yield_now().await;
                }
                assert_eq!((questions, settled), (3 * CHATS, 3 * CHATS));
                listener.seqs
            }));
        }
        for speaker in speakers {
            speaker.await.unwrap();
        }
        let mut heard = Vec::new();
        for listener in listeners {
            heard.push(listener.await.unwrap());
        }
        assert!(heard.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(!house.cell().is_busy().await);
    }
}

/// Some are told by the actor, some by the dropped inbox, and some send at the moment in which that is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_a_world_that_is_being_closed_is_told() {
    let house = House::talkative(Settings::default()).await;
    let services = &house.worlds.services;
    let entry = services.log.world(house.cell().id).await.unwrap().unwrap();
    for _ in 0..300 {
        let cell = WorldCell::new(entry.clone(), house.cell().name.clone(), services.clone());
        cell.view().await.unwrap();
        let ask_on = |cell: Arc<WorldCell>| async move { while cell.view().await.is_ok() {} };
        let asking: Vec<_> = (0..4).map(|_| tokio::spawn(ask_on(cell.clone()))).collect();
        cell.close().await;
        for told in asking {
            timeout(Duration::from_secs(20), told).await.expect("an answer").unwrap();
        }
    }
}
