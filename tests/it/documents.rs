//! What is served is what is committed under `generated/`, which `tests/generated` holds to what the build makes.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::support::TestServer;

#[tokio::test]
async fn served_is_committed() {
    let server = TestServer::start().await;
    let http = server.http();
    for file in ["openapi.json", "openapi-3.0.json", "asyncapi.json", "asyncapi-client.json", "catalogue.json"] {
        let answer = http.call("GET", &format!("/{file}"), &[], None).await;
        let committed = std::fs::read_to_string(format!("generated/{file}")).expect("a committed document");
        assert_eq!(answer.status, 200, "{file}");
        assert!(answer.text == committed, "{file}: UPDATE=1 cargo test --test generated");
    }
    let mut schemas = 0;
    let mut open = vec![PathBuf::from("generated/schema")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder of schemas") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let served = path.strip_prefix("generated").expect("below generated").to_string_lossy();
            let committed = fs::read_to_string(&path).expect("a committed schema");
            let schema: Value = serde_json::from_str(&committed).expect("JSON");
            // Every schema is at the path of its `$id`.
            assert!(schema["$id"].as_str().is_some_and(|id| id.ends_with(&format!("/{served}"))), "{served}");
            let answer = http.call("GET", &format!("/{served}"), &[], None).await;
            assert_eq!(answer.status, 200, "{served}");
            assert!(answer.text == committed, "{served}: UPDATE=1 cargo test --test generated");
            schemas += 1;
        }
    }
    assert!(schemas >= 60, "only {schemas} schemas");
}
