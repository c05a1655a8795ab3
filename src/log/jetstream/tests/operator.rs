//! Users whom an operator vouches for: a `.creds` file, as NATS' own tools make them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Claims about `subject`, signed by `issuer`, as a JWT of NATS.
fn jwt(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut nats: Value) -> String {
    (nats["type"], nats["version"]) = (json!(kind), json!(2));
    let claims = json!({
        "jti": Uuid::new_v4(), "iat": 1_700_000_000, "name": kind, "nats": nats,
        "iss": issuer.public_key(), "sub": subject.public_key(),
    });
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(json!({"typ": "JWT", "alg": "ed25519-nkey"})), encoded(claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn creds(jwt: &str, user: &KeyPair) -> String {
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-server: tests/cluster/run.sh"]
async fn a_credentials_file_is_held_to() {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let all = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
    let accounts = [(&system, json!({})), (&account, json!({"limits": all}))].map(|(account, claims)| {
        format!("{}: \"{}\"", account.public_key(), jwt(&operator, account, "account", claims))
    });
    let configuration = format!(
        "operator: \"{}\"\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {} }}\n",
        jwt(&operator, &operator, "operator", json!({})),
        system.public_key(),
        accounts.join("\n")
    );
    let servers = Servers::configured(1, "sync_interval: 2m", &configuration);
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let user = KeyPair::new_user();
    let told = jwt(&account, &user, "user", json!({"subs": -1, "data": -1, "payload": -1}));
    let right = Options { credentials: file("right", creds(&told, &user)), ..options(servers.url(), 1) };
    let store: Arc<dyn crate::log::Store> = Arc::new(open(&right).await);
    contract::make_world(&*store).await;

    let refused =
        async |credentials| JetStream::open(Options { credentials, ..right.clone() }).await.err().expect("refused");
    let another = KeyPair::new_user();
    let stranger = jwt(&KeyPair::new_account(), &another, "user", json!({}));
    for wrong in [None, file("seed", creds(&told, &another)), file("stranger", creds(&stranger, &another))] {
        let error = refused(wrong).await;
        assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
        eprintln!("{error}");
    }
    for unread in [Some(dir.path().join("absent")), file("empty", String::new())] {
        let error = refused(unread).await;
        assert!(matches!(error, OpenError::Credentials { .. }), "{error}");
        eprintln!("{error}");
    }
}
