use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn what_cannot_keep_the_promises_is_refused_with_the_reason() {
    let servers = shared();
    let options = options(servers.url(), 1);
    let opened = open(&options).await;

    let refused = async |options: Options| JetStream::open(options).await.err().map(|e| e.to_string()).unwrap();
    let key = refused(Options { cluster_key: [1; 32], ..options.clone() }).await;
    assert_eq!(key, "the cluster key is not the one that this log was made with");
    let replicas = refused(Options { replicas: 3, ..options.clone() }).await;
    assert!(replicas.contains("cannot have 3 replicas (it has 1)"), "{replicas}");
    let fresh = super::options(servers.url(), 3);
    let replicas = refused(fresh).await;
    assert!(replicas.contains("cannot have 3 replicas"), "{replicas}");
    let prefix = refused(Options { prefix: "a.b".into(), ..options.clone() }).await;
    assert!(prefix.contains("prefix \"a.b\""), "{prefix}");
    let away = refused(Options { url: "nats://ann:secret@127.0.0.1:1".into(), ..options.clone() }).await;
    assert!(away.starts_with("failed to connect to NATS at nats://127.0.0.1:1") && !away.contains("secret"), "{away}");

    // A stream of the name, but of somebody else; then one of a newer version.
    let client = async_nats::connect(servers.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for (metadata, expected) in [(None, "of something else"), (Some("200"), "newer version: its format is 200")] {
        let other = super::options(servers.url(), 1);
        let metadata = metadata.map(|format| ("agent-world-format".to_owned(), format.to_owned()));
        let config = async_nats::jetstream::stream::Config {
            name: format!("{}_LOG", other.prefix.to_uppercase()),
            subjects: vec![format!("{}.log.*.*", other.prefix)],
            metadata: metadata.into_iter().collect(),
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
        let foreign = refused(other).await;
        assert!(foreign.contains(expected), "{foreign}");
    }
    drop(opened);
}

/// Why the log cannot be there, once the server listens.
async fn refusal(servers: &Servers) -> String {
    let options = options(servers.url(), 1);
    loop {
        match JetStream::open(options.clone()).await.err() {
            Some(OpenError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            other => return other.unwrap().to_string(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_server_without_jetstream_is_refused() {
    let servers = Servers::with(1, "");
    assert_eq!(refusal(&servers).await, format!("NATS server at {} runs without JetStream", servers.url()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_server_that_takes_small_messages_only_is_refused() {
    let servers = Servers::configured(1, "sync_interval: 2m", "max_payload: 65536\n");
    let refusal = refusal(&servers).await;
    assert!(refusal.contains("65536 bytes (max_payload)"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn tls_and_a_password_are_held_to() {
    let [certificate, key] = ["NATS_CERTIFICATE", "NATS_KEY"].map(|name| std::env::var(name).unwrap());
    let secured = format!(
        "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}\n\
         authorization {{ user: ann, password: \"r/ght\" }}\n"
    );
    let servers = Servers::configured(1, "sync_interval: 2m", &secured);
    let url = |user: &str| servers.url().replace("nats://", &format!("tls://{user}"));
    let right = Options { tls_roots: Some(certificate.into()), ..options(url("ann:r%2Fght@"), 1) };
    open(&right).await;
    for wrong in [
        Options { url: url("ann:wrong@"), ..right.clone() },
        Options { url: url("ann@"), ..right.clone() },
        Options { url: url(""), ..right.clone() },
        Options { tls_roots: None, ..right.clone() },
    ] {
        let refused = JetStream::open(wrong).await.err().unwrap();
        assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");
        eprintln!("{refused}");
    }
}
