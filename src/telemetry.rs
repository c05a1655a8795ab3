//! The log: what is written, and how. Metrics are at `/metrics`.
//!
//! Messages, prompts, replies, keys and tokens are never logged. Libraries write such things at their lower levels,
//! so they are heard from INFO up, whatever the filter asks for. What is to be said of a provider that fails, `provider`
//! says.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// For programs.
    Json,
}

/// Whether `text` is a filter: a level, or a list of `target=level`.
pub(crate) fn is_filter(text: &str) -> bool {
    EnvFilter::builder().parse(text).is_ok()
}

/// Starts the log of this process, to standard error. The first call decides; later ones do nothing, so that tests
/// may call it too.
pub fn init(filter: &str, format: LogFormat) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    let lines = match format {
        LogFormat::Text => fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => fmt::layer().with_writer(io::stderr).json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(discreet));
    // Fails only when there is a log already.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

fn discreet(metadata: &Metadata<'_>) -> bool {
    match metadata.target().split("::").next() {
        Some("agent_world") => true,
        _ => *metadata.level() <= Level::INFO,
    }
}
