//! The program: `agent-world serve` (or nothing) runs the server, `agent-world chat` talks to one; `conform`
//! holds one to the protocol; `backup` and `restore` copy a data directory out and in,
//! `migrate` moves one to where many nodes share it, and `renew-epochs` is for when that was restored.

mod chat;
mod invocation;
mod migrate;
mod progress;
mod renew;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use agent_world::{
    Config, Server, conform,
    frames::{Outcome as Finding, ToolError, mock, record, replay, validate},
    log::sqlite,
    telemetry,
};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AFTER_HELP: &str = "\
Every setting of the server has the same name in the environment (AGENT_WORLD_DATA_DIR for --data-dir) and in a TOML \
file (data-dir = \"…\"). The command line is stronger than the environment, and that is stronger than the file. Lists \
are written with commas, or by giving the setting more than once.

Models: keys are read from OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY and XAI_API_KEY; a local Ollama is found \
by itself. Without either, a scripted demo answers.";

fn command() -> Command {
    let serve =
        Command::new("serve").about("Run the server; also what happens without a command").args(Config::arguments());
    let chat = chat::Options::augment_args(Command::new("chat"));
    Command::new("agent-world")
        .about("A real-time server for worlds of LLM agents that talk to people and to each other.")
        .version(env!("CARGO_PKG_VERSION"))
        .args(Config::arguments())
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .after_help(AFTER_HELP)
        .subcommand(serve.after_help(AFTER_HELP))
        .subcommand(chat.about("Talk to the agents of a running server from the terminal"))
        .subcommand(
            validate::Options::augment_args(Command::new("validate"))
                .about("Check frames: a verdict on each, with everything that is wrong")
                .after_help(validate::AFTER_HELP),
        )
        .subcommand(
            record::Options::augment_args(Command::new("record"))
                .about("Record what a client and a server say to each other, as a proxy between them")
                .override_usage("agent-world record [OPTIONS] <URL> <OUT>\n       agent-world record --break list")
                .after_help(record::AFTER_HELP),
        )
        .subcommand(
            conform::Options::augment_args(Command::new("conform"))
                .about("Prove that a server speaks this protocol; without an address, a server of its own"),
        )
        .subcommand(
            replay::Options::augment_args(Command::new("replay"))
                .about("Play the client's side of a recording, and report what the server says differently")
                .after_help(replay::AFTER_HELP),
        )
        .subcommand(
            mock::Options::augment_args(Command::new("mock"))
                .about("Run a server whose agents play a script or a recording, and that keeps nothing")
                .after_help(mock::AFTER_HELP),
        )
        .subcommand(copying("backup", "Write a data directory into one new file, also beside a running server"))
        .subcommand(copying(
            "restore",
            "Make a new data directory of a backup; cursors and idempotency keys end with it",
        ))
        .subcommand(migrate::command())
        .subcommand(renew::command())
}

/// A command with a backup file and a data directory.
fn copying(name: &'static str, about: &'static str) -> Command {
    let file = Arg::new("file").value_name("FILE").help("The backup; it holds keys, as the data directory does");
    let file = file.required(true).value_parser(value_parser!(PathBuf));
    Command::new(name).about(about).arg(file).args(Config::arguments_of(&["data-dir"]))
}

fn main() -> ExitCode {
    let arguments = command().get_matches();
    if let Some(("conform", options)) = arguments.subcommand() {
        return run_conform(options);
    }
    let outcome = match arguments.subcommand() {
        Some(("validate", options)) => return tool(options, |options| validate::run(&options)),
        // Their names need neither a server nor a file.
        Some(("record", options)) if options.get_one::<String>("broken").is_some_and(|name| name == "list") => {
            conform::ways().map(|names| println!("{}", names.join("\n"))).map_err(Into::into)
        }
        Some(("record", options)) => return tool(options, run_record),
        Some(("replay", options)) => {
            return tool(options, |options: replay::Options| block_on(replay::run(&options)));
        }
        Some(("chat", chat)) => run_chat(chat),
        Some(("mock", options)) => return tool(options, run_mock),
        Some(("backup", paths)) => run_copying(paths, |file, dir| sqlite::backup(dir, file)),
        Some(("restore", paths)) => run_copying(paths, sqlite::restore),
        Some(("migrate", options)) => match migrate::run(options) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(1),
            Err(problem) => Err(problem.into()),
        },
        Some(("renew-epochs", options)) => renew::run(options),
        Some((_, serve)) => run_server(serve),
        None => run_server(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("agent-world: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a tool whose exit code says what it found.
fn tool<O: FromArgMatches>(arguments: &ArgMatches, run: impl FnOnce(O) -> Result<Finding, ToolError>) -> ExitCode {
    let options = O::from_arg_matches(arguments).unwrap_or_else(|error| error.exit());
    match run(options) {
        Ok(Finding::Well) => ExitCode::SUCCESS,
        Ok(Finding::Ill) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("agent-world: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Runs what needs the runtime.
fn block_on<T>(task: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| ToolError::Other(format!("failed to start: {error}")))?.block_on(task)
}

fn run_record(options: record::Options) -> Result<Finding, ToolError> {
    block_on(async {
        let mut signals = Signals::listen().map_err(|error| ToolError::Other(error.to_string()))?;
        let edits = options.broken.as_deref().map(conform::broken).transpose().map_err(ToolError::Other)?;
        let recorder = record::Recorder::bind(&options, edits).await?;
        let address = recorder.local_addr();
        eprintln!("recording {} at ws://{address}/ws (HTTP: http://{address}); Ctrl-C ends it", options.url);
        let lines = recorder.run(signals.next()).await?;
        eprintln!("{lines} lines written to {}", options.out.display());
        Ok(Finding::Well)
    })
}

fn run_mock(options: mock::Options) -> Result<Finding, ToolError> {
    if options.print {
        println!("{}", mock::script(options.source.as_deref())?);
        return Ok(Finding::Well);
    }
    let mock = mock::prepare(&options)?;
    telemetry::init(&mock.config.log, mock.config.log_format);
    block_on(async {
        let served = serve(mock.config.clone()).await;
        served.map_err(|error| ToolError::Other(error.to_string()))?;
        Ok(Finding::Well)
    })
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn run_chat(arguments: &ArgMatches) -> Outcome {
    let options = chat::Options::from_arg_matches(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(chat::run(options));
    // A thread may still wait for a line of standard input.
    runtime.shutdown_background();
    Ok(outcome?)
}

/// Its exit code says how it ended: 1 something failed, 2 nothing could be tested, 3 something was skipped.
fn run_conform(arguments: &ArgMatches) -> ExitCode {
    let run = || -> Result<u8, Box<dyn std::error::Error>> {
        let options = conform::Options::from_arg_matches(arguments)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = Signals::listen()?;
            Ok(conform::run(options, signals.next()).await)
        })
    };
    ExitCode::from(run().unwrap_or_else(|error| {
        eprintln!("agent-world: {error}");
        2
    }))
}

fn run_copying(arguments: &ArgMatches, copy: impl FnOnce(&Path, &Path) -> Result<(), sqlite::BackupError>) -> Outcome {
    let file = arguments.get_one::<PathBuf>("file").ok_or("a file is needed")?;
    let config = Config::load(arguments, |name| std::env::var_os(name))?;
    Ok(copy(file, &config.data_dir)?)
}

fn run_server(arguments: &ArgMatches) -> Outcome {
    let config = Config::load(arguments, |name| std::env::var_os(name))?;
    telemetry::init(&config.log, config.log_format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: Config) -> Outcome {
    let mut stop = stopping(Signals::listen()?);
    let server = tokio::select! {
        server = Server::bind(config) => server?,
        // The log may be waiting for a disk or for NATS; it is whole whenever it is left.
        _ = &mut stop => {
            tracing::info!("told to stop before it listened");
            std::process::exit(0);
        }
    };
    let address = server.local_addr();
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    if io::stderr().is_terminal() {
        let url = format!("ws://{address}/ws");
        let chat = if address.port() == 3001 { &["chat"][..] } else { &["chat", "--url", &url] };
        let chat = invocation::call(chat);
        eprintln!(
            "\nAgent World is at http://{address} (WebSocket: {url}). Talk to it from another terminal:\n\n    \
             {chat}\n\nCtrl-C stops it.\n"
        );
    }
    let stop = async {
        // The sender is never dropped before it has sent.
        let _ = stop.await;
    };
    Ok(server.run(stop).await?)
}

/// Signals this soon after the first are still the first: `timeout`, shells and process managers signal the process and
/// its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Tells of the first signal; at the second the program ends: whoever asks twice does not want to wait.
fn stopping(mut signals: Signals) -> oneshot::Receiver<()> {
    let (told, stop) = oneshot::channel();
    tokio::spawn(async move {
        signals.next().await;
        let first = Instant::now();
        let _ = told.send(());
        while first.elapsed() < SAME_SIGNAL {
            signals.next().await;
        }
        tracing::warn!("told to stop twice, stopping at once");
        std::process::exit(1);
    });
    stop
}

/// What asks the server to stop: Ctrl-C, and on Unix SIGTERM.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen, so that nothing that comes after is missed.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
