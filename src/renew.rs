//! `agent-world renew-epochs`: what `restore` does for a data directory, for streams of NATS that were restored.

use agent_world::{Config, log::jetstream::JetStream, shared_log};
use clap::{ArgMatches, Command};

use crate::progress::Line;

const AFTER_HELP: &str = "\
To be run after the streams of an installation were restored from a backup, and before its nodes are started. Clients that \
had seen more than the backup holds would otherwise resume as soon as the log has grown past what they saw, and miss \
what was said until then. Afterwards they are told that their cursor is of another history, and begin anew.

Idempotency keys are forgotten with the old epochs. Records, tokens and keys of agents stay as they are.

It may be interrupted and started again.";

const SETTINGS: &[&str] = &["nats", "cluster-key", "nats-creds", "nats-ca", "nats-prefix", "nats-replicas"];

pub fn command() -> Command {
    Command::new("renew-epochs")
        .about("Give all worlds in NATS new epochs, after its streams were restored; cursors and idempotency keys end")
        .args(Config::arguments_of(SETTINGS))
        .after_help(AFTER_HELP)
}

pub fn run(arguments: &ArgMatches) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(arguments, |name| std::env::var_os(name))?;
    if config.nats.is_empty() {
        return Err("--nats says where the worlds are".into());
    }
    let options = shared_log(&config)?;
    let line = Line::new();
    let renewed = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let log = JetStream::open_beside(options).await?;
        let renewed = log.renew_epochs(|done, all| line.show(|| format!("{done} of {all} worlds"))).await;
        line.clear();
        renewed.map_err(Box::<dyn std::error::Error>::from)
    })?;
    println!("{renewed} worlds have new epochs");
    Ok(())
}
