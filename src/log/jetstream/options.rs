use std::path::PathBuf;
use std::time::Duration;

/// Settings of the shared storage.
#[derive(Clone, Debug)]
pub struct Options {
    /// `nats://` or `tls://`, several separated by commas; may hold user and password, or a token in place of the user.
    pub url: String,
    /// A `.creds` file, with a JWT and the seed of its user.
    pub credentials: Option<PathBuf>,
    /// PEM file of certificates that are trusted beside the system's.
    pub tls_roots: Option<PathBuf>,
    /// First word of every subject, stream and bucket: several installations can share one NATS.
    pub prefix: String,
    /// Of every stream: on how many servers a record is.
    pub replicas: usize,
    /// Secret of all nodes: seals the secrets of worlds, and is what fingerprints are made under.
    pub cluster_key: [u8; 32],
    /// How long an idempotency key is known.
    pub key_lifetime: Duration,
    /// After this a ticket of a node that is silent goes to another.
    pub lease: Duration,
    /// How long a call waits for NATS that is away, before it fails with nothing written.
    pub patience: Duration,
    /// How long one request waits for its answer.
    pub timeout: Duration,
    /// How long a write whose answer was lost is asked after, before it is `Unknown`.
    pub settle: Duration,
    /// Worlds of which this node remembers keys and places; the least used is forgotten.
    pub worlds: usize,
}

impl Options {
    pub fn new(url: impl Into<String>, cluster_key: [u8; 32]) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            tls_roots: None,
            prefix: "agent-world".to_owned(),
            replicas: 1,
            cluster_key,
            key_lifetime: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            settle: Duration::from_secs(15),
            worlds: 10_000,
        }
    }
}

/// Bytes that a message of NATS must take, as its default is: the end of the longest reply and the message that it becomes
/// are stored together.
pub(super) const MESSAGE: usize = 1024 * 1024;

/// Why the shared storage could not be opened; for whoever starts the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("prefix {0:?} is not of 1 to 32 letters, digits, - and _")]
    Prefix(String),
    #[error("failed to read {}: {source}", path.display())]
    Credentials { path: PathBuf, source: std::io::Error },
    #[error("servers of NATS are given with different users; all of them are asked as the same one")]
    Logins,
    #[error("failed to connect to NATS at {url}: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("NATS server is version {found}; 2.12 is the oldest that keeps what is promised")]
    TooOld { found: String },
    #[error("NATS takes messages of {found} bytes (max_payload); a reply may need {MESSAGE}")]
    SmallMessages { found: usize },
    #[error("NATS server at {url} runs without JetStream")]
    NoJetStream { url: String },
    #[error("stream {stream} cannot have {wanted} replicas ({cause})")]
    Replicas { stream: String, wanted: usize, cause: String },
    #[error("stream {stream} is of something else ({cause})")]
    Foreign { stream: String, cause: String },
    #[error("stream {stream} was written by a newer version: its format is {found}, this one knows up to {known}")]
    Newer { stream: String, found: String, known: u32 },
    #[error("the cluster key is not the one that this log was made with")]
    ClusterKey,
    #[error("failed to prepare {what}: {cause}")]
    Storage { what: String, cause: String },
}
