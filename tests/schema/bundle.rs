//! The real `schema/`: read, bundled, generated.

use std::path::{Path, PathBuf};

use agent_world::protocol::schemas;
use serde_json::Value;

use crate::codegen::{
    bundle::{Bundle, bundle, references},
    catalogue::{Catalogue, File, read_files},
    model::{pascal, snake},
};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

pub fn load() -> (Vec<File>, Bundle, Catalogue) {
    let files = read_files(&folder()).expect("schema/ is readable");
    let bundle = bundle(&files).expect("schema/ bundles");
    let catalogue = Catalogue::new(&files).expect("schema/ is a catalogue");
    (files, bundle, catalogue)
}

#[test]
fn the_bundle_is_flat_and_closed() {
    let (_, bundle, _) = load();
    let document: Value = serde_json::from_str(schemas::BUNDLE).expect("JSON");
    let text = document.to_string();
    assert!(!text.contains("\"x-") && !text.contains("\"$id\"") && text.matches("\"$defs\"").count() == 1);
    for name in references(&document) {
        assert!(document["$defs"].get(&name).is_some(), "{name} leads nowhere");
    }
    assert!(bundle.definitions.len() > 100, "only {} definitions", bundle.definitions.len());
    jsonschema::meta::validate(&document).expect("the bundle is JSON Schema");
}

#[test]
fn the_catalogue_is_complete() {
    let (_, _, catalogue) = load();
    let client: Vec<&str> = catalogue.client.iter().map(|message| message.wire.as_str()).collect();
    let expected = "agent_update chat_cancel chat_retry chat_send event_subscribe event_unsubscribe ping world_reload world_select";
    assert_eq!(client.join(" "), expected);
    assert!(catalogue.server.len() >= 8 && catalogue.routes.len() >= 28);
    assert!(catalogue.client.iter().all(|message| message.reply.is_some()));
    assert_eq!(agent_world::protocol::MESSAGES.len(), catalogue.client.len() + catalogue.server.len());
}

#[test]
fn generating_twice_gives_the_same_bytes() {
    let out = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    for out in &out {
        crate::codegen::generate(&folder(), out.path()).expect("schema/ generates");
    }
    for name in ["protocol.rs", "validators.rs", "routes.rs", "schemas.rs", "schema-bundle.json"] {
        let [one, two] = [0, 1].map(|at| std::fs::read_to_string(out[at].path().join(name)).expect("it was written"));
        assert!(!one.is_empty() && one == two, "{name} differs");
    }
}

#[test]
fn names_become_rust_names() {
    for (wire, type_name, field) in [
        ("message_accepted", "MessageAccepted", "message_accepted"),
        ("world-created", "WorldCreated", "world_created"),
        ("lastLLMCall", "LastLLMCall", "last_llm_call"),
        ("INVALID_MESSAGE", "InvalidMessage", "invalid_message"),
        ("Idempotency-Key", "IdempotencyKey", "idempotency_key"),
        ("baseUrl", "BaseUrl", "base_url"),
        ("getOpenapi30", "GetOpenapi30", "get_openapi30"),
        ("Last-Event-ID", "LastEventID", "last_event_id"),
    ] {
        assert_eq!(pascal(wire), type_name);
        assert_eq!(snake(wire), field);
    }
}
