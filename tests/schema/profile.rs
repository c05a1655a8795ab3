//! One schema for each rule of the profile, and the fault that it gets.

use serde_json::{Value, json};

use crate::codegen::{catalogue::File, profile};

const ID: &str = "https://agent-world.example/schema/";

fn file(path: &str, title: &str, mut json: Value) -> File {
    json["$id"] = json!(format!("{ID}{path}"));
    json["title"] = json!(title);
    json["description"] = json!("For this test.");
    File { path: path.to_owned(), json }
}

fn definitions(defs: Value) -> File {
    file("common/a.json", "Things", json!({"$defs": defs}))
}

fn faults(files: &[File]) -> Vec<String> {
    match profile::check(files) {
        Ok(()) => Vec::new(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

/// `schema`, as the definition `name`, is refused at `pointer` (below the definition) by a rule with `words` in it.
#[track_caller]
fn refused(name: &str, schema: Value, pointer: &str, words: &str) {
    let mut schema = schema;
    schema["description"] = json!("For this test.");
    let text = json!({"description": "A text.", "type": "string"});
    let object = json!({"description": "D.", "type": "object", "properties": {}, "additionalProperties": false});
    let all = faults(&[definitions(json!({name: schema, "Text": text, "Object": object}))]);
    let place = format!("schema/common/a.json#/$defs/{name}{pointer}: ");
    assert!(all.iter().any(|fault| fault.starts_with(&place) && fault.contains(words)), "{place}{words}: {all:#?}");
    assert!(all.iter().all(|fault| !fault.ends_with("; write ")));
}

#[test]
fn what_is_in_the_profile_passes() {
    let text =
        json!({"description": "A text.", "type": "string", "pattern": "^[a-z]{1,3}(-[0-9]+)?$", "x-secret": true});
    let patch = json!({"description": "Or none.", "anyOf": [{"$ref": "#/$defs/Name"}, {"type": "null"}]});
    let list = json!({"description": "Some.", "type": "array", "items": {"$ref": "#/$defs/Name"}, "maxItems": 3, "uniqueItems": true});
    let count =
        json!({"description": "How many.", "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_i64});
    let object = json!({
        "description": "All of them.",
        "type": "object",
        "properties": {
            "name": {"$ref": "#/$defs/Name", "description": "Its name.", "default": "a"},
            "patch": {"$ref": "#/$defs/NamePatch"},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "done": {"type": "boolean", "const": true}
        },
        "additionalProperties": false
    });
    let all = json!({"Name": text, "NamePatch": patch, "Names": list, "Count": count, "Object": object});
    assert_eq!(faults(&[definitions(all)]), Vec::<String>::new());
}

#[test]
fn shapes_outside_the_profile_are_refused() {
    let object = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    let property = |property: Value| object(json!({"a": property}));
    for (schema, pointer, words) in [
        (json!({"type": "object", "properties": {}}), "", "an object is closed"),
        (
            json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}),
            "",
            "an object is closed",
        ),
        (json!({"type": "object", "additionalProperties": true}), "", "free-form data"),
        (json!({"type": ["string", "null"]}), "/type", "type is one name"),
        (json!({}), "", "a definition has one type"),
        (json!({"$ref": "#/$defs/Text"}), "", "no mere $ref"),
        (json!({"type": "string", "enum": ["a", null]}), "/enum", "an enum lists strings"),
        (json!({"type": "string", "enum": []}), "/enum", "an enum lists strings"),
        (json!({"type": "string", "minLength": 2, "maxLength": 1}), "", "minLength is above maxLength"),
        (json!({"type": "string", "format": "email"}), "/format", "only uuid and date-time"),
        (json!({"type": "integer"}), "", "minimum and a maximum"),
        (json!({"type": "integer", "minimum": 0}), "", "minimum and a maximum"),
        (json!({"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_992_i64}), "", "2^53"),
        (json!({"type": "number", "minimum": 1, "maximum": 0}), "", "minimum is above maximum"),
        (json!({"type": "array", "items": {"$ref": "#/$defs/Text"}}), "", "maxItems"),
        (
            json!({"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 3}),
            "/items",
            "items are a $ref",
        ),
        (
            json!({"type": "array", "items": {"$ref": "#/$defs/Text"}, "maxItems": 300, "uniqueItems": true}),
            "/uniqueItems",
            "short",
        ),
        (json!({"anyOf": [{"$ref": "#/$defs/Text"}, {"$ref": "#/$defs/Object"}]}), "/anyOf", "only for a nullable"),
        (json!({"anyOf": [{"$ref": "#/$defs/Text"}, {"type": "null"}]}), "", "ends in Patch"),
        (
            object(json!({}))
                .as_object()
                .map(|o| {
                    let mut o = o.clone();
                    o.insert("required".into(), json!(["b"]));
                    Value::Object(o)
                })
                .unwrap_or_default(),
            "/required",
            "no property",
        ),
        (property(json!({"type": "string", "maxLength": 3})), "/properties/a/maxLength", "stands inline"),
        (
            property(json!({"type": "integer", "minimum": 0, "maximum": 1})),
            "/properties/a",
            "only plain strings and booleans",
        ),
        (
            property(json!({"type": "array", "items": {"type": "string"}})),
            "/properties/a",
            "only plain strings and booleans",
        ),
        (property(json!({"type": "object"})), "/properties/a", "only plain strings and booleans"),
        (property(json!({"$ref": "#/$defs/Text", "maxLength": 3})), "/properties/a/maxLength", "beside a $ref"),
        (property(json!({"$ref": "#/$defs/Nothing"})), "/properties/a/$ref", "leads nowhere"),
        (property(json!({"$ref": "other.json#/$defs/Text"})), "/properties/a/$ref", "leads nowhere"),
        (property(json!(true)), "/properties/a", "boolean schemas"),
        (json!({"type": "string", "x-secret": false}), "/x-secret", "a secret is a text"),
        (json!({"type": "string", "enum": ["a"], "x-secret": true}), "/x-secret", "a secret is a text"),
        (json!({"type": "string", "format": "uuid", "x-secret": true}), "/x-secret", "a secret is a text"),
        (json!({"type": "integer", "minimum": 0, "maximum": 1, "x-secret": true}), "/x-secret", "a secret is a text"),
        (property(json!({"type": "string", "x-secret": true})), "/properties/a/x-secret", "stands inline"),
        (property(json!({"$ref": "#/$defs/Text", "x-secret": true})), "/properties/a/x-secret", "beside a $ref"),
        (json!({"type": "string", "x-sceret": true}), "/x-sceret", "is not in the profile"),
        (json!({"oneOf": [object(json!({})), object(json!({}))]}), "/oneOf", "share no tag"),
        (
            json!({"oneOf": [{"title": "One", "type": "object", "properties": {"type": {"type": "string", "const": "one"}}, "additionalProperties": false}]}),
            "/oneOf/0/required",
            "the tag type is required",
        ),
        (
            json!({"oneOf": [{"type": "object", "properties": {"type": {"type": "string", "const": "one"}}, "required": ["type"], "additionalProperties": false}]}),
            "/oneOf/0/title",
            "a variant has a title",
        ),
        (
            json!({"oneOf": [{"title": "One", "type": "object", "required": ["type"], "additionalProperties": false, "properties": {
                "type": {"type": "string", "const": "one"}, "a": {"$ref": "#/$defs/Object"}, "b": {"$ref": "#/$defs/Object"}}}]}),
            "/oneOf/0",
            "at most one object",
        ),
    ] {
        refused("Thing", schema, pointer, words);
    }
    refused("thing_name", json!({"type": "string"}), "", "PascalCase");
    refused("Error", json!({"type": "string"}), "", "nothing is called Error");
}

#[test]
fn forbidden_keywords_are_refused() {
    for keyword in [
        "if",
        "then",
        "else",
        "allOf",
        "not",
        "prefixItems",
        "contains",
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedProperties",
        "unevaluatedItems",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "multipleOf",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minProperties",
        "maxProperties",
        "nullable",
        "discriminator",
        "$comment",
    ] {
        let schema = json!({"type": "string", keyword: true});
        refused("Thing", schema, &format!("/{keyword}"), "is not in the profile");
    }
}

#[test]
fn patterns_are_what_every_dialect_reads_alike() {
    for (pattern, words) in [
        ("[a-z]+", "anchored"),
        ("^a|b$", "whole alternation"),
        ("^\\d+$", "\\d means"),
        ("^\\w$", "\\w means"),
        ("^a\\b$", "\\b means"),
        ("^(?=a)b$", "(?…)"),
        ("^(?:a)$", "(?…)"),
        ("^a.b$", ". means"),
        ("^a+?$", "lazy"),
        ("^é$", "ASCII"),
        ("^a$b$", "only at the ends"),
    ] {
        refused("Thing", json!({"type": "string", "pattern": pattern}), "/pattern", words);
    }
}

#[test]
fn messages_are_held_together() {
    let message = |json: Value| {
        let mut message = json!({"x-reply": "pong", "type": "object", "properties": {}, "additionalProperties": false, "examples": [{}, {}]});
        for (key, value) in json.as_object().expect("an object") {
            message[key] = value.clone();
        }
        file("client/ping.json", "Ping", message)
    };
    let pong = || {
        file(
            "server/pong.json",
            "Pong",
            json!({"type": "object", "properties": {}, "additionalProperties": false, "examples": [{}, {}]}),
        )
    };
    assert_eq!(faults(&[message(json!({})), pong()]), Vec::<String>::new());
    for (change, expected) in [
        (json!({"x-reply": "pang"}), "schema/client/ping.json#/x-reply: there is no server message \"pang\""),
        (json!({"x-reply": "pong/late"}), "schema/client/ping.json#/x-reply: pong has no variants"),
        (json!({"x-errors": ["NONSENSE"]}), "schema/client/ping.json#/x-errors: NONSENSE is no error code"),
        (json!({"examples": [{}]}), "schema/client/ping.json#/examples: every message has two examples"),
        (
            json!({"properties": {"at": {"$ref": "../common/a.json#/$defs/At"}}}),
            "schema/common/a.json#/$defs/At/format: no format on what comes in",
        ),
    ] {
        let at = definitions(json!({"At": {"description": "A moment.", "type": "string", "format": "date-time"}}));
        let all = faults(&[message(change.clone()), at, pong()]);
        assert!(all.iter().any(|fault| fault.starts_with(expected)), "{change}: {all:#?}");
    }
    let twice = faults(&[message(json!({"$defs": {"Pong": {"description": "Taken.", "type": "string"}}})), pong()]);
    assert!(twice.iter().any(|fault| fault.contains("the name Pong is taken")), "{twice:#?}");
}

#[test]
fn headers_cycles_and_tables_are_checked() {
    let cases: Vec<(Vec<File>, &str)> = vec![
        (
            vec![File {
                path: "common/a.json".to_owned(),
                json: json!({"$id": "x", "title": "A", "description": "."}),
            }],
            "common/a.json#/$id",
        ),
        (vec![file("common/a.json", "no title", json!({}))], "common/a.json#/title"),
        (
            vec![definitions(json!({"Tree": {"description": "T.", "type": "object", "additionalProperties": false,
                "properties": {"below": {"$ref": "#/$defs/Trees"}}},
                "Trees": {"description": "T.", "type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/Tree"}}}))],
            "common/a.json#/$defs/Tree: Tree holds itself",
        ),
        (
            vec![file(
                "common/error-code.json",
                "Codes",
                json!({"x-codes": {"A": {}, "B": {}},
                "$defs": {"ErrorCode": {"description": "C.", "type": "string", "enum": ["A"]}}}),
            )],
            "common/error-code.json#/x-codes: x-codes and the enum",
        ),
        (
            vec![file(
                "http/getIt.json",
                "GetIt",
                json!({"x-route": {"method": "GET", "path": "/it/{id}", "auth": "none", "responses": {"204": {}}}}),
            )],
            "http/getIt.json#/x-route/pathParameters: are not those of /it/{id}",
        ),
        (
            vec![file(
                "http/getIt.json",
                "GetIt",
                json!({"x-route": {"method": "FETCH", "path": "/it", "auth": "none", "responses": {"204": {}}}}),
            )],
            "http/getIt.json#/x-route/method",
        ),
    ];
    for (files, expected) in cases {
        let all = faults(&files);
        assert!(all.iter().any(|fault| fault.starts_with(&format!("schema/{expected}"))), "{expected}: {all:#?}");
    }
}
