//! What is served is what is committed under `generated/`, which `tests/generated` holds to what the build makes.

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
}
