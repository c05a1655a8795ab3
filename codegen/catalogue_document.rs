//! `catalogue.json`: what there is, in one small document for machines. Its subjects are those of [`Catalogue`].

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Catalogue, Content, Message, Parameter, Route, text},
    publish::{PROTOCOL, Published, TITLE, VERSION},
};

pub fn catalogue_document(published: &Published) -> Value {
    let Catalogue { client, server, routes, codes, close_codes, .. } = published.catalogue;
    let client = client.iter().map(|found| message(found, "client"));
    let server = server.iter().map(|found| message(found, "server"));
    let codes = codes.iter().map(|code| {
        json!({
            "code": code.name,
            "status": code.status,
            "retryable": code.retryable,
            "provokable": code.provokable,
            "title": code.title(),
            "description": code.description,
            "advice": code.advice,
            "docs": code.docs(),
        })
    });
    let close_codes = close_codes.iter().map(|code| {
        json!({"code": code.code, "name": code.name, "reconnect": code.reconnect, "description": code.description})
    });
    json!({
        "title": TITLE,
        "protocol": PROTOCOL,
        "version": VERSION,
        "messages": client.chain(server).collect::<Vec<_>>(),
        "routes": routes.iter().map(|found| route(published, found)).collect::<Vec<_>>(),
        "errorCodes": codes.collect::<Vec<_>>(),
        "closeCodes": close_codes.collect::<Vec<_>>(),
    })
}

fn message(message: &Message, direction: &str) -> Value {
    let mut entry = json!({
        "type": message.wire,
        "direction": direction,
        "title": message.title,
        "description": message.description,
        "schema": format!("/schema/{direction}/{}.json", message.wire),
    });
    if direction == "client" {
        let reply = message.reply.as_ref().map(|reply| match &reply.variant {
            Some(variant) => format!("{}/{variant}", reply.wire),
            None => reply.wire.clone(),
        });
        entry["reply"] = json!(reply);
        entry["errors"] = json!(message.errors);
        entry["idempotent"] = json!(message.idempotent);
        entry["payloadOptional"] = json!(message.payload_optional);
    } else {
        entry["durable"] = json!(message.durable);
    }
    entry
}

fn route(published: &Published, route: &Route) -> Value {
    let source = &published.file("http", &route.id)["x-route"];
    let responses: Map<String, Value> =
        route.responses.iter().map(|response| (response.status.to_string(), contents(&response.content))).collect();
    json!({
        "operationId": route.id,
        "method": route.method,
        "path": route.path,
        "tag": text(source, "tag"),
        "summary": text(source, "summary"),
        "description": route.description,
        "auth": route.auth,
        "parameters": {
            "path": parameters(&route.path_parameters, true),
            "query": parameters(&route.query, false),
            "headers": parameters(&route.headers, false),
        },
        "request": contents(&route.request),
        "responses": responses,
        "errors": route.errors,
    })
}

/// By name: the definition (null is a plain boolean), whether it must be there, and its default.
fn parameters(parameters: &[Parameter], path: bool) -> Value {
    let entry = |parameter: &Parameter| {
        let mut entry = json!({"schema": parameter.definition, "required": path || parameter.required});
        if let Some(default) = &parameter.default {
            entry["default"] = default.clone();
        }
        (parameter.name.clone(), entry)
    };
    parameters.iter().map(entry).collect::<Map<_, _>>().into()
}

/// By media type: the name of a definition, or `text`, `stream`, `ndjson`.
fn contents(contents: &[(String, Content)]) -> Value {
    let name = |content: &Content| match content {
        Content::Json(name) => json!(name),
        Content::Text => json!("text"),
        Content::Stream => json!("stream"),
        Content::Ndjson => json!("ndjson"),
    };
    contents.iter().map(|(media, content)| (media.clone(), name(content))).collect::<Map<_, _>>().into()
}
