//! `openapi-3.0.json`: the same document for tools that know nothing newer than OpenAPI 3.0.

use serde_json::{Map, Value, json};

use super::publish::{COMPONENTS, LICENSE_URL, each};

/// Writes what 3.0 lacks in its words: `const`, null, and siblings of `$ref`.
pub fn openapi30(document: &Value) -> Value {
    let mut document = document.clone();
    document["openapi"] = json!("3.0.3");
    if let Some(license) = document["info"]["license"].as_object_mut() {
        license.remove("identifier");
        license.insert("url".to_owned(), json!(LICENSE_URL));
    }
    let schemas = document["components"]["schemas"].clone();
    let mut edit = |fields: &mut Map<String, Value>| lower(fields, &schemas);
    for schema in document["components"]["schemas"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        each(schema, &mut edit);
    }
    visit(&mut document["paths"], &mut |fields| {
        if let Some(schema) = fields.get_mut("schema") {
            each(schema, &mut edit);
        }
        if let Some(content) = fields.get_mut("requestBody").and_then(|body| body["content"].as_object_mut()) {
            single(content);
        }
    });
    document
}

fn lower(fields: &mut Map<String, Value>, schemas: &Value) {
    if let Some(value) = fields.remove("const") {
        fields.insert("enum".to_owned(), json!([value]));
    }
    if let Some(nullable) = fields.remove("anyOf") {
        // The profile has `anyOf` for one thing only: a scalar definition, or null.
        let to = nullable[0]["$ref"].as_str().unwrap_or_default();
        for (key, value) in schemas[to.trim_start_matches(COMPONENTS)].as_object().into_iter().flatten() {
            fields.entry(key).or_insert_with(|| value.clone());
        }
        fields.insert("nullable".to_owned(), json!(true));
    }
    if fields.len() > 1
        && let Some(to) = fields.remove("$ref")
    {
        fields.insert("allOf".to_owned(), json!([{"$ref": to}]));
    }
}

/// Generators of this age want one media type for a request, and one that they know; all of an operation's say the same.
fn single(content: &mut Map<String, Value>) {
    let known = ["application/json", "application/octet-stream"].into_iter().find(|known| content.contains_key(*known));
    if let Some(known) = known {
        content.retain(|media, _| media == known);
    }
    if let Some(bytes) = content.get_mut("application/octet-stream") {
        bytes["schema"] = json!({"type": "string", "format": "binary"});
    }
}

/// Calls `edit` on every object of `value`.
fn visit(value: &mut Value, edit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(key, _)| *key != "examples").for_each(|(_, value)| visit(value, edit));
            edit(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, edit)),
        _ => {}
    }
}
