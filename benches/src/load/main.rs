//! The load program of the benchmark (docs/PERFORMANCE.md): plays the clients of one scenario against one server.
//!
//! `benches/run.py` starts it, measures the server's CPU time and memory, and writes the report. The two speak by
//! lines: this program prints `ready` when everything is connected, waits for a line, does what is to be measured,
//! prints one JSON object with what it counted, waits for one more line, and leaves.
//!
//! It must cost much less per message than any server. So it is one thread, frames are masked once and sent many
//! times, and what comes in is counted and not looked at.

mod echo;
mod fanout;
mod latency;
mod options;
mod ours;
mod socket;
mod worlds;

use std::{
    io::{self, BufRead},
    process::ExitCode,
};

use options::Options;

/// What went wrong, for whoever reads the benchmark's output.
pub type Failure = Box<dyn std::error::Error>;

const SCENARIOS: &str = "echo, fanout, idle, own-worlds, handshake, refused, replies, first-delta, durable, resume, \
                         make-worlds, open";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(scenario) = arguments.next() else {
        println!("one of these is played against --address: {SCENARIOS}");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played = Options::read(arguments).and_then(|options| runtime?.block_on(play(&scenario, &options)));
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {scenario}: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn play(scenario: &str, options: &Options) -> Result<(), Failure> {
    match scenario {
        "echo" => echo::echo(options).await,
        "refused" => echo::refused(options).await,
        "handshake" => echo::handshake(options).await,
        "fanout" => fanout::fanout(options).await,
        "idle" => fanout::idle(options).await,
        "own-worlds" => worlds::own_worlds(options).await,
        "replies" => worlds::replies(options).await,
        "durable" => worlds::durable(options).await,
        "resume" => worlds::resume(options).await,
        "make-worlds" => worlds::make_worlds(options).await,
        "open" => latency::open(options).await,
        "first-delta" => latency::first_delta(options).await,
        _ => Err(format!("there is no such scenario; there are {SCENARIOS}").into()),
    }
}

/// Says `ready`, and waits until it is time.
pub fn wait_for_start() -> Result<(), Failure> {
    println!("ready");
    wait_for_line()
}

/// Says what was counted, and stays until everything was looked at.
pub fn report(counted: &str) -> Result<(), Failure> {
    println!("{{{counted}}}");
    wait_for_line()
}

fn wait_for_line() -> Result<(), Failure> {
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}
