//! What a route may say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Check;
use crate::codegen::{
    catalogue::{entries, text},
    model::{pascal, snake},
};

impl Check<'_> {
    pub(super) fn route(&mut self) {
        let route = &self.file.json["x-route"];
        if !matches!(text(route, "method"), "GET" | "PUT" | "POST" | "PATCH" | "DELETE") {
            self.fault("/x-route/method", "is no method of HTTP that is used here", "GET, PUT, POST, PATCH or DELETE");
        }
        if !matches!(text(route, "auth"), "none" | "optional" | "required") {
            self.fault("/x-route/auth", "says who may call", "none, optional or required");
        }
        if self.file.title() != pascal(self.file.stem()) {
            self.fault("/title", "the title is the operationId in PascalCase", &pascal(self.file.stem()));
        }
        let path = text(route, "path");
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let given: BTreeSet<&str> = entries(route.get("pathParameters")).map(|(name, _)| name.as_str()).collect();
        if in_path != given {
            self.fault(
                "/x-route/pathParameters",
                format!("are not those of {path}"),
                "one for each {name} of the path",
            );
        }
        let mut names = BTreeSet::new();
        for place in ["pathParameters", "query", "headers"] {
            for (name, _) in entries(route.get(place)) {
                let name = snake(name);
                if !names.insert(name.clone()) || matches!(name.as_str(), "body" | "context" | "accept") {
                    self.fault(&format!("/x-route/{place}"), format!("the name {name} is taken"), "another name");
                }
            }
        }
        let bodies: BTreeSet<String> = entries(route.get("request")).map(|(_, content)| content.to_string()).collect();
        if bodies.len() > 1 {
            self.fault("/x-route/request", "all media types of a request mean one type", "the same $ref for each");
        }
        if route.get("responses").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
            self.fault("/x-route/responses", "a route succeeds somehow", "a status and what it gives");
        }
    }
}
