//! `agent-world conform`: the command line of the kit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    baseline, client, embedded,
    greeting::greet,
    host::address,
    junit::junit,
    mutant::mutants,
    proof::prove,
    report::{Report, Verdict},
    run::{Outcome, Played, Target, play_all},
    scenario::Scenario,
    tamper::tampers,
    target::{Program, Server, StartError},
};

/// How many scenarios run at the same time.
const WIDTH: usize = 12;

/// What can be said on the command line.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    /// Address of the server under test, as http://127.0.0.1:3001, or else AGENT_WORLD_CONFORM_URL in the environment;
    /// without it, this program starts a server of its own
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Command that starts the server under test, for scenarios that stop it or need other settings; it finds
    /// CONFORM_LISTEN, CONFORM_PORT, CONFORM_DATA, CONFORM_SCRIPT, CONFORM_TEMPLATES and CONFORM_SETTINGS in its environment
    #[arg(long, value_name = "COMMAND")]
    pub start: Option<String>,
    /// Judge a client instead: COMMAND starts the driver, a program that holds one small conversation with the server at
    /// CONFORM_URL, which the kit plays, and says in lines of JSON what it observes (docs/CONFORMANCE.md)
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["url", "start", "baseline", "table", "junit"])]
    pub client: Option<String>,
    /// Run only scenarios whose name contains this; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// List the scenarios, their checks and rules, and run nothing
    #[arg(long)]
    pub list: bool,
    /// Write the kit's script and templates into this folder and say how to start a server with them
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Print the kit's script, which the server under test must play
    #[arg(long)]
    pub script: bool,
    /// Scenarios of one's own, as area/name.json in this folder, instead of those of the kit
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Scenarios that this server cannot run are no failure
    #[arg(long)]
    pub allow_skips: bool,
    /// Checks that are expected to fail, one a line; one of them that passes is an error
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Seconds that one step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0)]
    pub timeout: f64,
    /// Prove the kit instead: break the server's side of the conversation in one place for each check, and see that this
    /// check fails
    #[arg(long)]
    pub mutants: bool,
    /// With --mutants: hold what else fails against this table (UPDATE=1 in the environment writes it)
    #[arg(long, value_name = "FILE", requires = "mutants")]
    pub table: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Why nothing could be tested; one line each, but for what a server wrote that does not start.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{0}")]
    Usage(String),
    #[error("no server answers at {0} ({1})")]
    Unreachable(String, String),
    #[error("{0} does not speak this protocol: {1}")]
    SomethingElse(String, String),
    /// What was given to an option cannot be read or written.
    #[error("{option}: {}: {error}", path.display())]
    File { option: &'static str, path: PathBuf, error: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// That it was the file of this option that failed.
fn of<'p>(option: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Unusable + 'p {
    move |error| Unusable::File { option, path: path.to_owned(), error }
}

/// Runs the kit until it is interrupted; returns its exit code: 0 all passed, 1 something failed, 2 nothing could be
/// tested, 3 skips.
pub async fn run(options: Options, interrupted: impl Future<Output = ()>) -> u8 {
    let outcome = tokio::select! {
        outcome = conform(options) => outcome,
        // It reaches no other process group: what was started ends because it is dropped.
        () = interrupted => Err(Unusable::Usage("interrupted".to_owned())),
    };
    match outcome {
        Ok(verdict) => verdict as u8,
        Err(unusable) => {
            eprintln!("agent-world conform: {unusable}");
            Verdict::Unusable as u8
        }
    }
}

async fn conform(options: Options) -> Result<Verdict, Unusable> {
    if options.script {
        print(embedded::SCRIPT)?;
        return Ok(Verdict::Passed);
    }
    if let Some(dir) = &options.export {
        return export(dir);
    }
    let usage = |error: &dyn std::fmt::Display| Unusable::Usage(error.to_string());
    let limit = Duration::try_from_secs_f64(options.timeout).map_err(|error| usage(&format!("--timeout: {error}")))?;
    if let Some(command) = &options.client {
        let Options { only, scenarios, list, mutants, json, .. } = &options;
        let (list, mutants, json) = (*list, *mutants, *json);
        let asked =
            client::command::Asked { command, only, scenarios: scenarios.as_deref(), list, mutants, json, limit };
        return client::command::run(&asked).await.map_err(Unusable::Usage);
    }
    let all = match &options.scenarios {
        Some(dir) => embedded::read(dir).map_err(|error| usage(&format!("--scenarios: {error}")))?,
        None => embedded::scenarios().map_err(|error| usage(&error))?,
    };
    let whole = options.only.is_empty() && options.scenarios.is_none();
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()));
    let exists: BTreeMap<_, _> = all.iter().map(|scenario| (scenario.name.clone(), scenario.checks())).collect();
    let chosen: Vec<Scenario> = all.into_iter().filter(|scenario| wanted(&scenario.name)).collect();
    if chosen.is_empty() {
        return Err(Unusable::Usage("no scenario has such a name; --list shows them".to_owned()));
    }
    if options.list {
        return list(&chosen, options.json);
    }
    let baseline = match &options.baseline {
        Some(file) => baseline::read(file).map_err(of("--baseline", file))?,
        None => BTreeSet::new(),
    };
    // Kept until the end: dropped, it stops.
    let (target, _own) = target(&options, limit).await?;
    let against = format!("http://{}", target.host.authority());
    if options.mutants {
        return proof(&options, &chosen, target, limit).await;
    }
    let since = Instant::now();
    let progress = Progress::new(chosen.len(), options.json);
    let jobs = chosen.iter().map(|scenario| (Arc::new(scenario.clone()), None)).collect();
    let played = play_all(jobs, Arc::new(target), limit, WIDTH, |done, played| progress.tell(done, played)).await;
    progress.clear();
    let played: Vec<Played> = played.into_iter().map(|(_, played)| played).collect();
    let compared = baseline::compare(&played, &baseline, &exists);
    let report = Report {
        against,
        scenarios: &chosen,
        played,
        compared,
        elapsed: since.elapsed(),
        whole,
        skips_allowed: options.allow_skips,
    };
    // What came of it is said, even where it cannot be written.
    let written = options.junit.as_ref().map(|file| fs::write(file, junit(&report)).map_err(of("--junit", file)));
    if options.json {
        print(&format!("{:#}\n", report.json()))?;
    } else {
        print(&report.text())?;
    }
    written.transpose()?;
    Ok(report.verdict())
}

async fn proof(options: &Options, chosen: &[Scenario], target: Target, limit: Duration) -> Result<Verdict, Unusable> {
    let write = std::env::var_os("UPDATE").is_some();
    // Before all that takes minutes.
    if let Some(table) = options.table.as_ref().filter(|_| !write) {
        fs::File::open(table).map_err(of("--table", table))?;
    }
    let since = Instant::now();
    let progress = Progress::new(chosen.iter().map(|one| mutants(one).len()).sum(), true);
    // Most of them wait for what never comes, so that many fit beside each other.
    let tampers = tampers().map_err(Unusable::Usage)?;
    let proof =
        prove(chosen, tampers, Arc::new(target), limit, 3 * WIDTH, |done, played| progress.tell(done, played)).await;
    let mut text = proof.text();
    let mut holds = proof.holds();
    if let Some(table) = &options.table {
        let wrong = proof.differences(table, write).map_err(of("--table", table))?;
        holds &= wrong.is_empty();
        for line in wrong {
            text.push_str(&format!("✗ {line}\n"));
        }
    }
    print(&format!("{text}{:.1} s\n", since.elapsed().as_secs_f64()))?;
    Ok(if holds { Verdict::Passed } else { Verdict::Failed })
}

/// Whoever reads it may have read enough, as `head` does.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn export(dir: &Path) -> Result<Verdict, Unusable> {
    embedded::write(dir).map_err(of("--export", dir))?;
    let dir = dir.display();
    print(&format!(
        "The script and the templates of the kit are in {dir}. Start the server under test with them, as this one:\n\n    \
         agent-world serve --script {dir}/script.json --templates {dir}/templates\n\nand then:\n\n    \
         agent-world conform http://127.0.0.1:3001\n"
    ))?;
    Ok(Verdict::Passed)
}

fn list(scenarios: &[Scenario], as_json: bool) -> Result<Verdict, Unusable> {
    if as_json {
        let list: Vec<Value> = scenarios
            .iter()
            .map(|one| {
                json!({"name": one.name, "title": one.title, "rules": one.all_rules(), "checks": one.checks(),
                    "script": one.script, "server": one.server})
            })
            .collect();
        print(&format!("{:#}\n", json!(list)))?;
        return Ok(Verdict::Passed);
    }
    let mut checks = 0;
    for one in scenarios {
        let names = one.checks();
        checks += names.len();
        print(&format!("{:<40} {} ({} checks)\n", one.name, one.title, names.len()))?;
    }
    print(&format!("\n{} scenarios, {checks} checks\n", scenarios.len()))?;
    Ok(Verdict::Passed)
}

/// The server to test: the one that is named, or one of the kit's own.
async fn target(options: &Options, limit: Duration) -> Result<(Target, Option<Server>), Unusable> {
    let named = options.url.clone().or_else(|| std::env::var("AGENT_WORLD_CONFORM_URL").ok());
    let url = named.filter(|url| !url.is_empty());
    let program = match &options.start {
        Some(line) => Some(Program::Shell(line.clone())),
        None if url.is_none() => Some(Program::Own(std::env::current_exe()?)),
        None => None,
    };
    match (url, program) {
        (Some(url), program) => {
            let host = address(&url).map_err(Unusable::Usage)?;
            let unprepared = greet(&host, limit).await?;
            Ok((Target { host, program, unprepared }, None))
        }
        (None, Some(program)) => {
            let server = Server::start(&program, &BTreeMap::new()).await?;
            let host = server.host.clone();
            let unprepared = greet(&host, limit).await?;
            Ok((Target { host, program: Some(program), unprepared }, Some(server)))
        }
        (None, None) => Err(Unusable::Usage("the address of a server is needed".to_owned())),
    }
}

/// One line that changes on a terminal; one line for each scenario elsewhere.
struct Progress {
    total: usize,
    terminal: bool,
    silent: bool,
}

impl Progress {
    fn new(total: usize, silent: bool) -> Self {
        Self { total, terminal: io::stderr().is_terminal(), silent }
    }

    fn tell(&self, done: usize, played: &Played) {
        let mark = match played.outcome {
            Outcome::Passed => "✓",
            Outcome::Skipped(_) => "–",
            _ => "✗",
        };
        if self.silent {
            return;
        }
        if self.terminal {
            eprint!("\r\x1b[K[{done:>3}/{}] {mark} {}", self.total, played.scenario);
        } else {
            eprintln!("[{done:>3}/{}] {mark} {} ({} ms)", self.total, played.scenario, played.elapsed.as_millis());
        }
    }

    fn clear(&self) {
        if self.terminal && !self.silent {
            eprint!("\r\x1b[K");
        }
    }
}
