//! [`Config`]: everything that whoever runs the server can set.
//!
//! A setting is written once, below: its name, type and default, and the sentence that `--help` and
//! docs/CONFIGURATION.md show. It has the same name everywhere: `--data-dir` on the command line,
//! `AGENT_WORLD_DATA_DIR` in the environment, `data-dir` in the file. The command line is stronger than the
//! environment, that is stronger than the file, and that is stronger than the default.

mod source;
mod value;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use crate::telemetry::LogFormat;
pub use source::{InvalidSetting, Origin};
use value::{Value, base_urls, between, filter, hosts, lease, nats, origins, some};

use crate::{
    protocol::{SessionToken, codec::Validate},
    provider::Deadlines,
};

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One setting as text: what the command line, the environment, the file and the documents know of it.
pub(crate) struct Setting {
    /// The field's name; [`name`](Self::name) is how it is written.
    field: &'static str,
    pub heading: &'static str,
    pub help: &'static [&'static str],
    /// What the value is, in a word.
    pub value: &'static str,
    /// Whether it may stand on the command line without a value, which means `true`.
    pub flag: bool,
    /// Whether it may be given more than once.
    pub list: bool,
    /// How a configuration has it, as it would be written; none where that is nothing.
    pub show: fn(&Config) -> Option<String>,
    /// Takes a value, or says what is wrong with it.
    set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Declares [`Config`], its defaults and the table of all settings, from lines of the form
/// `name: Type [what the value is, what must hold] = default`.
macro_rules! settings {
    ($($heading:literal => $(
        $(#[doc = $help:literal])+
        $field:ident: $type:ty [$value:literal $(, $check:expr)?] = $default:expr;
    )+)+) => {
        /// All settings. The default is what a newcomer gets.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $field: $type,)+)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($($field: $default,)+)+ }
            }
        }

        pub(crate) const SETTINGS: &[Setting] = &[$($(Setting {
            field: stringify!($field),
            heading: $heading,
            help: &[$($help),+],
            value: $value,
            flag: <$type as Value>::FLAG,
            list: <$type as Value>::LIST,
            show: |config| config.$field.show(),
            set: |config, text| {
                let value = <$type as Value>::read(text)?;
                $($check(&value)?;)?
                config.$field = value;
                Ok(())
            },
        },)+)+];
    };
}

settings! {
    "Where things are" =>
    /// Address and port to listen on; port 0 takes a free one
    listen: SocketAddr ["ADDR"] = SocketAddr::from(([127, 0, 0, 1], 3001));
    /// Directory of the users' worlds, made if it is missing; one server at a time
    data_dir: PathBuf ["DIR"] = PathBuf::from("data");
    /// Directory of template worlds, besides those that are built in
    templates: Option<PathBuf> ["DIR"] = None;
    /// What the provider `script` plays, instead of the built-in demo
    script: Option<PathBuf> ["FILE"] = None;
    /// Let the script speak for every agent, whatever its provider: for tests of an app, without its models
    script_all: bool ["BOOL"] = false;

    "Many nodes" =>
    /// Keep everything in NATS JetStream (2.12 or newer) instead of the data directory, shared with other nodes: the
    /// servers as `nats://host:4222` or `tls://host`, with commas between, where needed as `nats://user:password@host`
    /// or `nats://token@host`, percent-encoded
    nats: Vec<String> ["URL", nats] = Vec::new();
    /// File with 32 random bytes in base64, the same on every node: seals the keys of agents. Needed with NATS
    cluster_key: Option<PathBuf> ["FILE"] = None;
    /// Credentials file for NATS
    nats_creds: Option<PathBuf> ["FILE"] = None;
    /// Certificates that are trusted for NATS besides the system's, as PEM
    nats_ca: Option<PathBuf> ["FILE"] = None;
    /// First word of everything in NATS: several installations can share its servers
    nats_prefix: String ["NAME"] = "agent-world".to_owned();
    /// Servers of NATS that hold a copy of everything: 1, or 3 in a cluster of three
    nats_replicas: usize ["NUMBER", between(1, 5)] = 1;
    /// Time after which the turns of a node that is silent go to another
    lease: Duration ["TIME", lease] = seconds(10);

    "Who may use it" =>
    /// Web origin whose pages may connect, as `https://app.example.com`; `*` for all. Besides the server's own pages, and,
    /// as long as it listens on loopback, all of this machine, whatever their port
    allow_origin: Vec<String> ["ORIGIN", origins] = Vec::new();
    /// Name under which the server may be reached, besides `localhost` and addresses, as `chat.example.com`; `*` for all
    allow_host: Vec<String> ["HOST", hosts] = Vec::new();
    /// Model servers to which clients and templates may point agents, as `[scheme://]host[:port]`, `*.example.com` or
    /// `10.0.0.0/8`. This machine is allowed as long as the server listens on loopback; link-local, multicast and
    /// metadata addresses never are
    allow_base_url: Vec<String> ["PATTERN", base_urls] = Vec::new();
    /// Believe the X-Forwarded-… headers: for a server that only a proxy can reach
    trust_proxy: bool ["BOOL"] = false;
    /// Session token of an example user, whose world the examples of the documents speak of; whoever knows it is that
    /// user. Without it there is no such user
    demo_token: Option<SessionToken> ["TOKEN"] = None;

    "Limits" =>
    /// Largest WebSocket frame, in bytes
    max_frame_bytes: usize ["BYTES", between(KIB, MIB)] = 64 * KIB;
    /// Largest body of an HTTP request, in bytes; an import may always have 64 MiB
    max_body_bytes: usize ["BYTES", between(KIB, MIB)] = 64 * KIB;
    /// Chat messages of one user per second
    chat_rate: f64 ["NUMBER", between(0.001, 1e6)] = 20.0;
    /// Chat messages that one user may send at once before that rate holds
    chat_burst: f64 ["NUMBER", between(1.0, 1e6)] = 2_000.0;
    /// New connections of one address per second, unless the server listens on loopback
    connection_rate: f64 ["NUMBER", between(0.001, 1e6)] = 10.0;
    /// New connections that one address may make at once before that rate holds
    connection_burst: f64 ["NUMBER", between(1.0, 1e6)] = 100.0;
    /// Replies that run at the same time for one user; others wait
    turns_per_user: usize ["NUMBER", between(1, 100_000)] = 8;
    /// Replies that run at the same time on this server; others wait
    turns: usize ["NUMBER", between(1, 100_000)] = 64;
    /// What may wait for one slow client, in bytes, before it is fed from the log instead
    outbox_bytes: usize ["BYTES", between(64 * KIB, 1_024 * MIB)] = MIB;
    /// The kernel's send buffer of each connection, in bytes
    send_buffer_bytes: usize ["BYTES", between(4 * KIB, 64 * MIB)] = 64 * KIB;

    "Connections" =>
    /// Silence after which a client is pinged
    ping_interval: Duration ["TIME"] = seconds(25);
    /// Time that a client has to answer a ping
    pong_timeout: Duration ["TIME"] = seconds(10);
    /// Time that a client has to send the head of a request, the next one on its connection too
    handshake_timeout: Duration ["TIME"] = seconds(10);
    /// Time without a message after which a client is sent away, or `never`
    idle_timeout: Option<Duration> ["TIME"] = None;
    /// Time after which a client that takes no byte of what waits for it, or sends none of the body it has begun, is sent
    /// away
    stuck_timeout: Duration ["TIME"] = seconds(30);

    "Worlds and users" =>
    /// How long a world that is not persistent outlives its last use
    grace: Duration ["TIME"] = seconds(5 * MINUTE);
    /// Time after which a world in which nothing happens leaves the memory; it stays on disk
    idle_unload: Duration ["TIME"] = seconds(30);
    /// How long an idempotency key is remembered
    key_retention: Duration ["TIME"] = seconds(DAY);
    /// Records that each world keeps, beyond those since its last snapshot, or `all`; older cursors expire
    log_records: Option<u64> ["NUMBER", some(between(1, 1_000_000_000))] = None;
    /// Records after which a world writes a snapshot: what opening it reads at most
    snapshot_every: u64 ["NUMBER", between(1, 1_000_000)] = 1_000;
    /// How long a user is remembered after the last use
    user_retention: Duration ["TIME"] = seconds(30 * DAY);
    /// How long stopping may take; running replies may go on for at least four fifths of it
    drain_timeout: Duration ["TIME"] = seconds(20);

    "Models" =>
    /// Time for the connection to a model
    connect_timeout: Duration ["TIME"] = seconds(10);
    /// Time from the call to a model's first sign of life
    first_token_timeout: Duration ["TIME"] = seconds(MINUTE);
    /// Time between two signs of life of a model
    between_tokens_timeout: Duration ["TIME"] = seconds(MINUTE);
    /// Time for a whole reply
    reply_timeout: Duration ["TIME"] = seconds(10 * MINUTE);

    "Looking inside" =>
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as info,agent_world::ws=debug
    log: String ["FILTER", filter] = "info".to_owned();
    /// How the log is written: text or json, one line per event, to standard error
    log_format: LogFormat ["FORMAT"] = LogFormat::Text;
    /// How requests are checked: typed, or both to hold the compiled schemas against it (default of debug builds)
    validate: Validate ["MODE"] = if cfg!(debug_assertions) { Validate::Both } else { Validate::Typed };
}

impl Config {
    /// How long a model may take.
    pub fn provider_deadlines(&self) -> Deadlines {
        Deadlines {
            connect: self.connect_timeout,
            first: self.first_token_timeout,
            between: self.between_tokens_timeout,
            total: self.reply_timeout,
        }
    }
}
