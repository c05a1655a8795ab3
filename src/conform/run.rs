//! One scenario against one server, and many of them side by side.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{Id, JoinSet},
};

use super::{
    host::Host,
    mutant::Mutant,
    play::Player,
    scenario::Scenario,
    stage::{Stage, Stop, Touched},
    standing::{STANDING, fault},
    target::{Program, Server},
};

/// What the scenarios run against.
pub struct Target {
    pub host: Host,
    /// How a server for one scenario alone is started; `None` when only the one at `host` is there.
    pub program: Option<Program>,
    /// Why scenarios that need the kit's templates and script cannot run.
    pub unprepared: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Failure {
    /// The check that failed; `None` where a step failed that only prepares.
    pub check: Option<String>,
    /// Other checks that failed on the same frames, and what they say.
    pub also: Vec<(String, String)>,
    /// Standing checks that failed, and what they say.
    pub standing: Vec<(String, String)>,
    pub step: String,
    pub text: String,
    pub rules: Vec<String>,
    /// The end of the conversation.
    pub told: Vec<String>,
}

impl Failure {
    /// What it stands for in a baseline: its own checks. Where it fails without one, or with what holds in every
    /// scenario, the scenario as a whole.
    pub fn entries(&self, scenario: &str) -> Vec<String> {
        let own = self.check.iter().chain(self.also.iter().map(|(check, _)| check)).cloned();
        let whole = self.check.is_none() || !self.standing.is_empty();
        own.chain(whole.then(|| scenario.to_owned())).collect()
    }

    /// Everything that it has to say, but for the rules and the conversation. What belongs to a line is indented.
    pub fn words(&self) -> String {
        let mut words = vec![format!("at step {}", self.step)];
        words.extend((!self.text.is_empty()).then(|| self.text.clone()));
        for (check, text) in &self.also {
            words.push(format!("and {check}: {}", text.replace('\n', "\n  ")));
        }
        for (check, text) in &self.standing {
            let about = STANDING.iter().find(|(name, ..)| name == check).map_or("", |(_, about, _)| about);
            words.push(format!("standing/{check}: {}\n  always: {about}", text.replace('\n', "\n  ")));
        }
        words.join("\n")
    }

    /// The names of all checks that failed, the scenario's own first.
    pub fn checks(&self) -> Vec<String> {
        let own = self.check.iter().chain(self.also.iter().map(|(check, _)| check)).cloned();
        let mut standing: Vec<String> = self.standing.iter().map(|(check, _)| format!("standing/{check}")).collect();
        standing.dedup();
        own.chain(standing).collect()
    }
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Passed,
    Failed(Box<Failure>),
    /// The scenario or the kit is wrong, and nothing is said about the server.
    Harness(String),
    Skipped(String),
}

#[derive(Debug, Clone)]
pub struct Played {
    pub scenario: String,
    pub outcome: Outcome,
    /// The checks that held, by their full names.
    pub held: Vec<String>,
    pub touched: Touched,
    pub elapsed: Duration,
    /// Whether the broken server did what it does.
    pub fired: bool,
}

impl Played {
    pub fn new(scenario: &str, outcome: Outcome) -> Self {
        Self {
            scenario: scenario.to_owned(),
            outcome,
            held: Vec::new(),
            touched: Touched::default(),
            elapsed: Duration::ZERO,
            fired: false,
        }
    }
}

/// Why this target cannot run a scenario.
pub fn unfit(scenario: &Scenario, target: &Target) -> Option<String> {
    if scenario.server.is_some() && target.program.is_none() {
        return Some("needs a server of its own; say with --start how one is started".to_owned());
    }
    target.unprepared.clone().filter(|_| scenario.script && scenario.server.is_none())
}

/// Plays one scenario.
pub async fn play(scenario: &Scenario, target: &Target, limit: Duration, mutant: Option<Mutant>) -> Played {
    let since = Instant::now();
    let mut played = Played::new(&scenario.name, Outcome::Passed);
    if let Some(reason) = unfit(scenario, target) {
        played.outcome = Outcome::Skipped(reason);
        return played;
    }
    let server = match (&scenario.server, &target.program) {
        (Some(settings), Some(program)) => match Server::start(program, settings).await {
            Ok(server) => Some(server),
            Err(error) => {
                played.outcome = Outcome::Harness(error.to_string());
                return played;
            }
        },
        _ => None,
    };
    let host = server.as_ref().map_or(&target.host, |server| &server.host).clone();
    let mut stage = match Stage::new(host, limit, mutant) {
        Ok(stage) => stage,
        Err(stop) => {
            played.outcome = Outcome::Harness(format!("{stop:?}"));
            return played;
        }
    };
    stage.tight = scenario.server.as_ref().is_some_and(|settings| settings.contains_key("outbox-bytes"));
    let mut player = Player::new(stage, server);
    let mut outcome = player.run(&scenario.steps, "").await;
    if outcome.is_ok() && player.stage.mutant.as_ref().is_none_or(|mutant| mutant.tamper.is_some()) {
        outcome = finish(&mut player).await;
    }
    played.outcome = verdict(scenario, &player, outcome);
    if player.server.is_none() {
        player.tidy().await;
    }
    played.held = player.held.iter().map(|check| format!("{}#{check}", scenario.name)).collect();
    played.fired = player.stage.fired.is_some();
    played.touched = std::mem::take(&mut player.stage.touched);
    played.elapsed = since.elapsed();
    played
}

/// What every conversation ends with: a ping on every connection, after which nothing is unanswered.
async fn finish(player: &mut Player) -> Result<(), Stop> {
    player.at = vec!["the end".to_owned()];
    let names: Vec<String> = player.stage.peers.keys().cloned().collect();
    for name in names {
        let alive = player.stage.peers.get(&name).is_some_and(|peer| peer.is_socket() && peer.closed.is_none());
        if !alive {
            continue;
        }
        player.last_fence(&name).await?;
        if let Some(peer) = player.stage.peers.get(&name) {
            let unanswered = peer.standing.unanswered();
            player.stage.faults.extend(unanswered);
        }
    }
    if player.stage.faults.is_empty() { Ok(()) } else { Err(super::play::failed(None, "")) }
}

fn verdict(scenario: &Scenario, player: &Player, outcome: Result<(), Stop>) -> Outcome {
    let (check, text, also) = match outcome {
        Ok(()) => return Outcome::Passed,
        Err(Stop::Harness(text)) => return Outcome::Harness(format!("{}: {text}", player.at.join(", "))),
        Err(Stop::Failed { check, text, also }) => (check, text, also),
    };
    let standing = player.stage.faults.iter().map(|fault| (fault.check.to_owned(), fault.text.clone())).collect();
    let rules = check.as_deref().map(|check| rules_of(scenario, check)).unwrap_or_default();
    Outcome::Failed(Box::new(Failure {
        check: check.map(|check| format!("{}#{check}", scenario.name)),
        also: also.into_iter().map(|(check, text)| (format!("{}#{check}", scenario.name), text)).collect(),
        standing,
        step: player.at.join(", "),
        text,
        rules: if rules.is_empty() { scenario.rules.clone() } else { rules },
        told: player.stage.told(),
    }))
}

/// The rules that a check names itself.
fn rules_of(scenario: &Scenario, check: &str) -> Vec<String> {
    let name = check.split(" [").next().unwrap_or_default();
    let mut rules = Vec::new();
    super::scenario::walk(&scenario.steps, &mut |step| {
        if step.check.as_deref() == Some(name) {
            rules.extend(step.rules.iter().cloned());
        }
        for hold in step.holds().iter().filter(|hold| hold.check == name) {
            rules.extend(hold.rules.iter().cloned());
        }
    });
    rules
}

/// Plays all of them, at most `jobs` at the same time; `done` hears of each as it ends.
pub async fn play_all(
    jobs: Vec<(Arc<Scenario>, Option<Mutant>)>,
    target: Arc<Target>,
    limit: Duration,
    width: usize,
    done: impl FnMut(usize, &Played),
) -> Vec<(Option<Mutant>, Played)> {
    let places = Arc::new(Semaphore::new(width));
    // Servers of their own are programs; a few at a time are enough.
    let servers = Arc::new(Semaphore::new(5));
    let mut tasks = JoinSet::new();
    let mut started = HashMap::new();
    for (index, (scenario, mutant)) in jobs.into_iter().enumerate() {
        let (places, servers, target) = (places.clone(), servers.clone(), target.clone());
        let what = (index, scenario.name.clone(), mutant.clone());
        let task = tasks.spawn(async move {
            let _server = match scenario.server {
                Some(_) => servers.acquire_owned().await.ok(),
                None => None,
            };
            let _place = places.acquire_owned().await.ok();
            play(&scenario, &target, limit, mutant).await
        });
        started.insert(task.id(), what);
    }
    gather(tasks, started, done).await
}

/// Waits for all that was started. What broke down was played, too: otherwise nobody would hear that it did not pass.
async fn gather(
    mut tasks: JoinSet<Played>,
    mut started: HashMap<Id, (usize, String, Option<Mutant>)>,
    mut done: impl FnMut(usize, &Played),
) -> Vec<(Option<Mutant>, Played)> {
    let mut all = Vec::new();
    while let Some(joined) = tasks.join_next_with_id().await {
        let (id, result) = match joined {
            Ok((id, played)) => (id, Ok(played)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some((index, name, mutant)) = started.remove(&id) else { continue };
        let played = result.unwrap_or_else(|error| Played::new(&name, Outcome::Harness(error.to_string())));
        done(all.len() + 1, &played);
        all.push((index, mutant, played));
    }
    all.sort_by_key(|(index, ..)| *index);
    all.into_iter().map(|(_, mutant, played)| (mutant, played)).collect()
}

impl Player {
    async fn last_fence(&mut self, name: &str) -> Result<(), Stop> {
        let id = self.stage.next_id();
        let ping = serde_json::json!({"id": id, "type": "ping"});
        self.stage.send_frame(name, &ping).await?;
        let until = self.stage.until(None);
        loop {
            match self.stage.take(name, until).await? {
                super::stage::Taken::Frame(frame) if frame.json["replyTo"] == id => return Ok(()),
                super::stage::Taken::Frame(_) => {}
                other => {
                    self.stage.faults.push(fault("answered-once", format!("the last ping on {name}: {other:?}")));
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scenario_that_breaks_down_is_a_fault_of_the_kit() {
        let (mut tasks, mut started, mut heard) = (JoinSet::new(), HashMap::new(), 0);
        for (index, name) in ["x/breaks", "x/passes"].into_iter().enumerate() {
            let task = tasks.spawn(async move {
                assert!(index != 0, "it breaks down");
                Played::new(name, Outcome::Passed)
            });
            started.insert(task.id(), (index, name.to_owned(), None));
        }
        let all = gather(tasks, started, |done, _| heard = done).await;
        let outcomes: Vec<_> = all.iter().map(|(_, played)| (played.scenario.as_str(), &played.outcome)).collect();
        let [("x/breaks", Outcome::Harness(why)), ("x/passes", Outcome::Passed)] = outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert!(why.contains("it breaks down") && heard == 2, "{why}");
    }
}
