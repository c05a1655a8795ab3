//! Every example of `schema/` is accepted by codec and schema, every counter-example refused by both, for the reason
//! that stands beside it.

use std::fs;

use agent_world::protocol::{BODIES, Rejection, codec, decode_client, decode_server};
use serde_json::{Value, json};

use super::{
    bundle::{folder, load},
    wording::assert_worded,
};
use crate::codegen::{bundle::Bundle, catalogue::File};

fn validator(bundle: &Bundle, definition: &str) -> jsonschema::Validator {
    let schema = bundle.closed(&json!({"$ref": format!("#/$defs/{definition}")}));
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

fn examples(file: &File) -> Vec<Value> {
    file.json["examples"].as_array().cloned().unwrap_or_default()
}

/// The counter-examples beside a file; an empty list when there are none.
fn counter_examples(file: &File) -> Vec<Value> {
    let path = folder().join(file.path.replace(".json", ".invalid.json"));
    fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| serde_json::from_str(&text).expect("JSON"))
}

/// Whether `rejection` names what the counter-example says, seen from `base`.
#[track_caller]
fn names(file: &File, case: &Value, base: &str, rejection: &Rejection) {
    assert_worded(rejection, &case.to_string());
    let pointer = format!("{base}{}", case["pointer"].as_str().expect("a pointer"));
    let keyword = case["keyword"].as_str().expect("a keyword");
    let found = rejection.violations().iter().any(|violation| match keyword {
        // The codec goes on to say what is wrong with the branch that was meant.
        "anyOf" | "oneOf" => violation.pointer.starts_with(&pointer),
        _ => violation.pointer == pointer && violation.keyword == keyword,
    });
    assert!(
        found,
        "{}: {} should name {keyword} at {pointer:?}: {:#?}",
        file.path,
        case["why"],
        rejection.violations()
    );
}

#[test]
fn client_messages() {
    let (files, bundle, _) = load();
    let (mut accepted, mut refused) = (0, 0);
    for file in files.iter().filter(|file| file.is_in("client")) {
        let schema = validator(&bundle, file.title());
        let frame = |payload: &Value| json!({"id": "1", "type": file.stem(), "payload": payload}).to_string();
        for payload in examples(file) {
            assert!(schema.is_valid(&payload), "{}: {payload}", file.path);
            decode_client(&frame(&payload))
                .unwrap_or_else(|rejection| panic!("{}: {payload}: {rejection:?}", file.path));
            accepted += 1;
        }
        for case in counter_examples(file) {
            assert!(!schema.is_valid(&case["payload"]), "{}: the schema accepts {case}", file.path);
            let rejection = decode_client(&frame(&case["payload"])).expect_err("a counter-example");
            names(file, &case, "/payload", &rejection);
            refused += 1;
        }
    }
    println!("{accepted} examples, {refused} counter-examples");
    assert!(accepted >= 25 && refused >= 40, "{accepted} examples, {refused} counter-examples: where are the others?");
    assert_eq!(codec::disagreements(), 0);
}

#[test]
fn server_messages() {
    let (files, bundle, _) = load();
    let (mut accepted, mut refused) = (0, 0);
    for file in files.iter().filter(|file| file.is_in("server")) {
        let schema = validator(&bundle, file.title());
        let frame = |payload: &Value| {
            let id = "019bc0d1-7a60-7c3e-9f21-3a5d8c6e1b60";
            let mut frame =
                json!({"id": id, "type": file.stem(), "timestamp": "2026-01-15T10:00:00.000Z", "payload": payload});
            // Of what may be durable, only the deltas of a reply are not.
            let is_delta = payload["complete"] == json!(false) && payload["content"] != json!("");
            if file.json["x-durable"] == json!(true) && !is_delta {
                frame["seq"] = json!(7);
            }
            // An event says again what its frame says.
            for field in ["id", "timestamp"].iter().filter(|_| payload["event"].is_object()) {
                frame[field] = payload["event"][field].clone();
            }
            frame
        };
        for payload in examples(file) {
            assert!(schema.is_valid(&payload), "{}: {payload}", file.path);
            let frame = frame(&payload);
            let read = decode_server(&frame.to_string()).unwrap_or_else(|rejection| panic!("{frame}: {rejection:?}"));
            let text = codec::encode(&read);
            assert_eq!(text, serde_json::to_vec(&read).expect("JSON"), "{} is not written as serde does", file.path);
            let written: Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(written, frame, "{} is not written as it was read", file.path);
            accepted += 1;
        }
        for case in counter_examples(file) {
            assert!(!schema.is_valid(&case["payload"]), "{}: the schema accepts {case}", file.path);
            decode_server(&frame(&case["payload"]).to_string()).expect_err("a counter-example");
            refused += 1;
        }
    }
    println!("{accepted} examples, {refused} counter-examples");
    assert!(accepted >= 35 && refused >= 10, "{accepted} examples, {refused} counter-examples: where are the others?");
}

#[test]
fn bodies_and_files() {
    let (files, bundle, catalogue) = load();
    let (mut accepted, mut refused) = (0, 0);
    for (name, decode) in BODIES {
        let schema = validator(&bundle, name);
        let takes = |file: &&File| {
            let route = catalogue.routes.iter().find(|route| file.is_in("http") && route.id == file.stem());
            let json = crate::codegen::catalogue::Content::Json((*name).to_owned());
            file.title() == *name
                || route.is_some_and(|route| route.request.iter().any(|(_, content)| *content == json))
        };
        for file in files.iter().filter(takes) {
            let requests = file.json["x-examples"].as_object().into_iter().flatten();
            let requests = requests.filter_map(|(_, example)| example.get("request").cloned());
            for body in examples(file).into_iter().chain(requests) {
                assert!(schema.is_valid(&body), "{}: {body}", file.path);
                decode(body.to_string().as_bytes())
                    .unwrap_or_else(|rejection| panic!("{}: {body}: {rejection:?}", file.path));
                accepted += 1;
            }
            for case in counter_examples(file) {
                let body = case.get("request").or(case.get("payload")).expect("a body");
                assert!(!schema.is_valid(body), "{}: the schema accepts {case}", file.path);
                let rejection = decode(body.to_string().as_bytes()).expect_err("a counter-example");
                names(file, &case, "", &rejection);
                refused += 1;
            }
        }
    }
    println!("{accepted} examples, {refused} counter-examples");
    assert!(accepted >= 8 && refused >= 15, "{accepted} examples, {refused} counter-examples: where are the others?");
}

#[test]
fn answers_of_routes() {
    use crate::codegen::catalogue::Content;
    let (files, bundle, catalogue) = load();
    let mut checked = 0;
    for route in &catalogue.routes {
        let file = files.iter().find(|file| file.is_in("http") && file.stem() == route.id).expect("the route's file");
        for (name, example) in file.json["x-examples"].as_object().into_iter().flatten() {
            let status = example["response"]["status"].as_str().unwrap_or_default();
            let response = route.responses.iter().find(|response| response.status.to_string() == status);
            let response = response.unwrap_or_else(|| panic!("{}: example {name} has status {status:?}", file.path));
            if let Some((_, Content::Json(definition))) = response.content.first() {
                // A page of frames has the frames' own tests.
                if bundle.closed(&json!({"$ref": format!("#/$defs/{definition}")})).to_string().contains("x-frames") {
                    continue;
                }
                let body = &example["response"]["body"];
                assert!(validator(&bundle, definition).is_valid(body), "{}: {body}", file.path);
                checked += 1;
            }
        }
    }
    assert!(checked >= 12, "only {checked} answers");
}
