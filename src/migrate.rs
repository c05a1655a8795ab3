//! `agent-world migrate`: moves a data directory into NATS JetStream, for one server that becomes many nodes.

use agent_world::{
    Config,
    log::{
        migrate::{Progress, Report, migrate},
        sqlite,
    },
    shared_log,
};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::progress::Line;

const AFTER_HELP: &str = "\
Stop the server first: the data directory is held while this runs. It is only read, and stays as it is.

Users, session tokens, worlds, ids, cursors, keys of agents and idempotency keys go on to be good; turns that wait are \
taken up by the first node that starts, and replies that were cut off end as interrupted.

It may be interrupted and started again: what is there is skipped. What is there with another content is told by name \
and left alone. Exit code 1: not everything is there.";

const SETTINGS: &[&str] =
    &["data-dir", "nats", "cluster-key", "nats-creds", "nats-ca", "nats-prefix", "nats-replicas", "key-retention"];

pub fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object at the end");
    Command::new("migrate")
        .about("Move a data directory into NATS JetStream, so that many nodes can serve it (serve --nats)")
        .args(Config::arguments_of(SETTINGS))
        .arg(json)
        .after_help(AFTER_HELP)
}

/// `false`: not everything is there.
pub fn run(arguments: &ArgMatches) -> Result<bool, String> {
    let config = Config::load(arguments, |name| std::env::var_os(name)).map_err(|error| error.to_string())?;
    if config.nats.is_empty() {
        return Err("--nats says where everything is to be moved".to_owned());
    }
    let from = sqlite::Options { dir: config.data_dir.clone(), key_lifetime: config.key_retention };
    let to = shared_log(&config).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("failed to start: {error}"))?;
    let line = Line::new();
    let done = runtime.block_on(migrate(&from, to, &|progress| line.show(|| shown(&progress))));
    line.clear();
    let report = done.map_err(|failure| failure.to_string())?;
    if arguments.get_flag("json") {
        println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        print(&report);
    }
    for problem in &report.problems {
        eprintln!("agent-world: not moved: {problem}");
    }
    Ok(report.problems.is_empty())
}

fn print(report: &Report) {
    let Report { users, sessions, worlds, records, keys, skipped, gone, verified, seconds, .. } = report;
    println!(
        "moved {users} users, {sessions} sessions, {worlds} worlds, {records} records, {keys} keys in {seconds:.1} s"
    );
    if *skipped > 0 {
        println!("{skipped} worlds were there already");
    }
    if *gone > 0 {
        println!("{gone} users, sessions and worlds that were moved before are removed there: they were left out");
    }
    if report.problems.is_empty() {
        println!("verified: head, floor, epoch and {verified} records of all worlds are the same, read back");
    }
}

fn shown(Progress { verifying, worlds, of_worlds, records }: &Progress) -> String {
    let what = if *verifying { "reading back" } else { "moving" };
    format!("{what}: {worlds} of {of_worlds} worlds, {records} records")
}
