//! What every document must look like so that the tools of others take it. Each rule was forced by a real tool; the
//! tools themselves are in `tests/documents`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::built;

const OPENAPI: [&str; 2] = ["openapi.json", "openapi-3.0.json"];
const ASYNCAPI: [&str; 2] = ["asyncapi.json", "asyncapi-client.json"];

fn document(name: &str) -> Value {
    serde_json::from_str(&built()[name]).expect("JSON")
}

/// Calls `look` on every object, with its JSON Pointer; examples are data and not looked into.
fn each(value: &Value, at: &str, look: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            look(at, fields);
            for (key, value) in
                fields.iter().filter(|(key, _)| !["examples", "example", "default"].contains(&key.as_str()))
            {
                each(value, &format!("{at}/{key}"), look);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| each(item, &format!("{at}/{index}"), look))
        }
        _ => {}
    }
}

fn object<'v>(value: &'v Value, pointer: &str) -> &'v Map<String, Value> {
    value.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("{pointer} is no object"))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Path, method and operation of every route.
fn operations(openapi: &Value) -> Vec<(String, &Value)> {
    let paths = object(openapi, "/paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[test]
fn components_are_flat_used_and_well_named() {
    for name in OPENAPI.into_iter().chain(ASYNCAPI) {
        let document = document(name);
        let mut used = BTreeSet::new();
        each(&document, "", &mut |at, fields| {
            if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{name}{at}: {to} leads nowhere");
                used.insert(to.to_owned());
            }
            let names = at.ends_with("/properties");
            let private = fields.keys().find(|key| key.starts_with("x-"));
            assert!(names || private.is_none(), "{name}{at}: {private:?} is published");
            for key in ["$id", "$defs", "$anchor"] {
                assert!(names || at.is_empty() || !fields.contains_key(key), "{name}{at}: has {key}");
            }
        });
        for (group, components) in object(&document, "/components") {
            for component in components.as_object().into_iter().flat_map(Map::keys) {
                assert_ne!(component, "Error", "{name}: collides with the class of many languages");
                let made = component.strip_prefix("New").is_some_and(|made| components.get(made).is_some());
                assert!(!made, "{name}: {component} collides with a constructor in Go");
                let scheme = group == "securitySchemes" && OPENAPI.contains(&name);
                assert!(
                    scheme || used.contains(&format!("#/components/{group}/{component}")),
                    "{name}: {group}/{component} is not used"
                );
            }
        }
    }
}

#[test]
fn what_the_server_sends_is_open_and_what_it_takes_is_closed() {
    for (document, closed, open) in [
        (
            "openapi.json",
            &["ChatBody", "AgentDefinition", "AgentConfigUpdate", "WorldPatch"][..],
            &["Agent", "World", "Problem", "EventPage"][..],
        ),
        (
            "asyncapi.json",
            &["ChatSend", "ChatSendMessage", "WorldSelect"],
            &["ChatResponse", "PongMessage", "Agent", "MessageEvent"],
        ),
        ("schema-bundle.json", &["Template", "Ping", "PingMessage"], &["Connected", "SettledAction", "Usage"]),
    ] {
        let name = document;
        let document = self::document(name);
        let schemas = document.pointer("/components/schemas").or_else(|| document.get("$defs")).expect("schemas");
        for (names, is_closed) in [(closed, true), (open, false)] {
            for component in names {
                let found = schemas[component]["additionalProperties"] == false;
                assert!(schemas[component].is_object() && found == is_closed, "{name}: {component}");
            }
        }
    }
}

#[test]
fn openapi_has_its_head() {
    for (name, version) in OPENAPI.into_iter().zip(["3.1.0", "3.0.3"]) {
        let document = document(name);
        assert_eq!(document["openapi"], version);
        assert!(document.get("webhooks").is_none() && document["info"].get("summary").is_none(), "{name}");
        let license = &document["info"]["license"];
        let says = if version == "3.1.0" { "identifier" } else { "url" };
        assert!(license["name"].is_string() && license[says].is_string(), "{name}: {license}");
        assert_eq!(document["servers"][0]["url"], "/", "{name}");
    }
}

#[test]
fn every_operation_is_complete() {
    for name in OPENAPI {
        let document = document(name);
        let tags: BTreeSet<&str> =
            document["tags"].as_array().expect("tags").iter().map(|tag| text(tag, "name")).collect();
        let operations = operations(&document);
        let ids: BTreeSet<&str> = operations.iter().map(|(_, operation)| text(operation, "operationId")).collect();
        assert!(ids.len() == operations.len() && ids.len() >= 28, "{name}: operationIds repeat");
        let mut used = BTreeSet::new();
        for (at, operation) in operations {
            assert!(operation["security"].is_array(), "{name} {at}: says nothing of security");
            assert!(!text(operation, "summary").is_empty() && text(operation, "description").len() > 40, "{name} {at}");
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(tag), "{name} {at}: the tag {tag} is not declared");
            used.insert(tag);
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('4')), "{name} {at}: no 4XX");
            for (status, response) in responses {
                let content = response["content"].as_object();
                if status.starts_with('2') {
                    let examples = |content: &Value| {
                        content.get("examples").is_some_and(|examples| examples.get("example").is_some())
                    };
                    let shown = content.is_none_or(|content| content.values().any(examples));
                    assert!(shown, "{name} {at} {status}: has no example");
                } else {
                    let content = content.expect("an error has a body");
                    assert!(content.keys().eq(["application/problem+json"]), "{name} {at} {status}");
                    let codes = content["application/problem+json"]["examples"].as_object().expect("examples");
                    for (code, example) in codes {
                        assert!(text(response, "description").contains(&format!("`{code}`")), "{name} {at}: {code}");
                        assert_eq!(example["value"]["status"].to_string(), *status, "{name} {at}: {code}");
                    }
                }
                if let Some(stream) = content.and_then(|content| content.get("text/event-stream")) {
                    assert_eq!(stream["schema"], serde_json::json!({"type": "string"}), "{name} {at}");
                }
            }
            for body in operation["requestBody"]["content"].as_object().into_iter().flat_map(Map::values) {
                assert!(body["examples"].get("example").is_some(), "{name} {at}: the request has no example");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let must = parameter["required"] == true;
                assert!(!must || parameter["examples"].get("example").is_some(), "{name} {at}: {}", parameter["name"]);
                assert!(!text(parameter, "description").is_empty(), "{name} {at}: {}", parameter["name"]);
            }
        }
        assert_eq!(used, tags, "{name}: a tag is not used");
    }
}

#[test]
fn unions_say_how_to_choose() {
    for name in OPENAPI {
        let document = document(name);
        let mut unions = 0;
        each(&document, "", &mut |at, fields| {
            let Some(variants) = fields.get("oneOf").and_then(Value::as_array) else { return };
            unions += 1;
            let mapping = object(&fields["discriminator"], "/mapping");
            assert_eq!(variants.len(), mapping.len(), "{name}{at}");
            for to in mapping.values() {
                assert!(variants.iter().any(|variant| variant["$ref"] == *to), "{name}{at}: {to}");
            }
        });
        assert!(unions >= 4, "{name}: only {unions} unions");
    }
    for name in ASYNCAPI {
        assert!(!built()[name].contains("\"discriminator\""), "{name}");
    }
}

#[test]
fn openapi_30_has_no_newer_keyword() {
    each(&document("openapi-3.0.json"), "", &mut |at, fields| {
        if at.ends_with("/properties") {
            return;
        }
        assert!(fields.get("const").is_none() && fields.get("anyOf").is_none(), "{at}");
        assert!(fields.get("$ref").is_none() || fields.len() == 1, "{at}: siblings of $ref are not read");
        assert!(fields.get("type").is_none_or(|of| of.is_string() || of.is_object()), "{at}: a list of types");
    });
}

#[test]
fn asyncapi_is_complete_and_its_twin_is_its_mirror() {
    let [server, client] = ASYNCAPI.map(document);
    for (name, document) in [("server", &server), ("client", &client)] {
        assert_eq!(document["asyncapi"], "3.0.0");
        for (key, message) in object(document, "/components/messages") {
            assert!(key.ends_with("Message"), "{name}: {key}");
            for field in ["name", "title", "summary"] {
                assert!(!text(message, field).is_empty(), "{name}: {key} has no {field}");
            }
            assert!(message["correlationId"].is_object() && message["payload"].is_object(), "{name}: {key}");
            let examples = message["examples"].as_array().map_or(0, Vec::len);
            assert!(examples > 0, "{name}: {key} has no example");
        }
        for channel in object(document, "/channels").values() {
            assert!(channel["bindings"]["ws"].is_object(), "{name}: no binding");
        }
        let schemes = object(document, "/components/securitySchemes").values();
        let kinds: BTreeSet<&str> = schemes.map(|scheme| text(scheme, "type")).collect();
        assert!(kinds.iter().eq(&["http", "httpApiKey"]), "{name}: {kinds:?}");
    }
    let (theirs, ours) = (object(&client, "/operations"), object(&server, "/operations"));
    assert!(theirs.keys().eq(ours.keys()));
    for (key, operation) in ours {
        let request = operation["reply"].is_object();
        let actions = if request { ("receive", "send") } else { ("send", "receive") };
        assert_eq!((text(operation, "action"), text(&theirs[key], "action")), actions, "{key}");
        let replies = operation["reply"]["messages"].as_array().map_or(0, Vec::len);
        assert_eq!(replies, if request { 2 } else { 0 }, "{key}: its reply, or error");
    }
}

#[test]
fn the_catalogue_agrees_with_the_others() {
    let (catalogue, openapi, asyncapi) =
        (document("catalogue.json"), document("openapi.json"), document("asyncapi.json"));
    let list = |key: &str| catalogue[key].as_array().cloned().unwrap_or_default();
    for route in list("routes") {
        let pointer =
            format!("/paths/{}/{}", text(&route, "path").replace('/', "~1"), text(&route, "method").to_lowercase());
        assert_eq!(openapi.pointer(&pointer).map(|operation| &operation["operationId"]), Some(&route["operationId"]));
    }
    assert_eq!(list("routes").len(), operations(&openapi).len());
    for message in list("messages") {
        let kind = text(&message, "type");
        let frames = object(&asyncapi, "/components/messages").values();
        assert!(frames.map(|frame| text(frame, "name")).any(|name| name.split('/').next() == Some(kind)), "{kind}");
        assert!(
            built().contains_key(text(&message, "schema").trim_start_matches('/')),
            "{kind}: its schema is not served"
        );
        assert_eq!(message["reply"].is_string(), message["direction"] == "client", "{kind}");
    }
    assert!(list("errorCodes").len() >= 19 && list("closeCodes").len() >= 6);
}
