//! From method and path to the operation.

use std::{borrow::Cow, sync::LazyLock};

use matchit::{Match, Router};
use percent_encoding::percent_decode_str;

use super::Operation;

/// Whether an operation needs a session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    Optional,
    Required,
}

/// The operation of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub operation: Operation,
    /// The path's parameters, percent-decoded, in the order of the template.
    pub path: Vec<(&'static str, String)>,
}

/// Why a request has no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// Nothing is at this path.
    NotFound,
    /// Something is, but not for this method: those that it has, as the `Allow` header lists them.
    MethodNotAllowed { allow: String },
}

/// The templates of each method. axum's own router asks for the path first: there a `POST /worlds/import` would hide the
/// world that is called `import` from every other method.
static TEMPLATES: LazyLock<Vec<(&'static str, Router<Operation>)>> = LazyLock::new(|| {
    let mut methods: Vec<(&'static str, Router<Operation>)> = Vec::new();
    for operation in Operation::ALL {
        let info = operation.info();
        let template = if info.tail { rest_of_path(info.path) } else { info.path.to_owned() };
        let known = methods.iter().position(|(method, _)| *method == info.method).unwrap_or_else(|| {
            methods.push((info.method, Router::new()));
            methods.len() - 1
        });
        if let Err(error) = methods[known].1.insert(template, *operation) {
            unreachable!("two operations answer the same: {}: {error}", info.id);
        }
    }
    methods
});

/// The template whose last parameter takes all that is left.
fn rest_of_path(template: &str) -> String {
    let (before, last) = template.rsplit_once('{').unwrap_or((template, ""));
    format!("{before}{{*{last}")
}

/// Finds the operation. Of several templates that fit, the one whose literal part is longest wins, but only for
/// the methods that it has: `POST /worlds/import` imports, `PUT /worlds/import` creates a world of that name.
/// `HEAD` is answered like `GET`.
pub fn find(method: &str, path: &str) -> Result<Found, Unrouted> {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let templates = TEMPLATES.iter().find(|(method, _)| *method == wanted);
    if let Some(at) = templates.and_then(|(_, templates)| fit(templates, path)) {
        let path = at.params.iter().map(|(name, value)| (name, decode(value))).collect();
        return Ok(Found { operation: *at.value, path });
    }
    let fitting = TEMPLATES.iter().filter(|(_, templates)| fit(templates, path).is_some());
    let mut allow: Vec<&str> = fitting.map(|(method, _)| *method).collect();
    if allow.is_empty() {
        return Err(Unrouted::NotFound);
    }
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    Err(Unrouted::MethodNotAllowed { allow: allow.join(", ") })
}

/// The template that fits; a parameter is never empty.
fn fit<'a>(templates: &'static Router<Operation>, path: &'a str) -> Option<Match<'static, 'a, &'static Operation>> {
    templates.at(path).ok().filter(|at| at.params.iter().all(|(_, value)| !value.is_empty()))
}

/// Percent-decodes a segment. A `%` that begins no escape stays, and so does a segment that is not UTF-8: it fits no
/// parameter's pattern.
fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8().map_or_else(|_| segment.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, operation: &str, parameters: &[(&str, &str)]) {
        let found = find(method, path).unwrap_or_else(|_| panic!("{method} {path} is not found"));
        assert_eq!(found.operation.info().id, operation, "{method} {path}");
        let path: Vec<(&str, &str)> = found.path.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(path, parameters);
    }

    #[test]
    fn paths_lead_to_their_operations() {
        check("GET", "/", "getConsole", &[]);
        check("GET", "/worlds", "listTemplates", &[]);
        check("POST", "/worlds/import", "importWorld", &[]);
        check("PUT", "/worlds/import", "createWorld", &[("worldName", "import")]);
        check("GET", "/worlds/import", "getWorld", &[("worldName", "import")]);
        check("HEAD", "/worlds/my%20world", "getWorld", &[("worldName", "my world")]);
        check("GET", "/worlds/a%2Fb", "getWorld", &[("worldName", "a/b")]);
        check("GET", "/worlds/%ff%zz%", "getWorld", &[("worldName", "%ff%zz%")]);
        check("GET", "/worlds/a%+fb%-1%2", "getWorld", &[("worldName", "a%+fb%-1%2")]);
        check("GET", "/worlds/a+b%C3%A9", "getWorld", &[("worldName", "a+bé")]);
        check("PATCH", "/worlds/w/agents/a", "updateAgent", &[("worldName", "w"), ("agentName", "a")]);
        check("GET", "/schema/client/ping.json", "getSchema", &[("path", "client/ping.json")]);
    }

    #[test]
    fn other_paths_and_methods_are_told_apart() {
        for path in [
            "/nothing",
            "/worlds/",
            "/worlds//agents",
            "//",
            "",
            "*",
            "/schema/",
            "/worlds/w/agents/a/b",
            "/schema",
            "/Worlds",
        ] {
            let found = find("GET", path);
            assert!(path.is_empty() || found == Err(Unrouted::NotFound), "{path}: {found:?}");
        }
        for (method, path, allow) in [
            ("DELETE", "/worlds", "GET, HEAD"),
            ("OPTIONS", "/worlds/w", "DELETE, GET, HEAD, PATCH, PUT"),
            ("get", "/worlds", "GET, HEAD"),
            ("OPTIONS", "/worlds/import", "DELETE, GET, HEAD, PATCH, POST, PUT"),
        ] {
            assert_eq!(
                find(method, path),
                Err(Unrouted::MethodNotAllowed { allow: allow.to_owned() }),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn every_operation_is_found_by_its_own_template() {
        for operation in Operation::ALL {
            let info = operation.info();
            let path = info.path.replace('{', "x").replace('}', "");
            assert_eq!(find(info.method, &path).map(|found| found.operation), Ok(*operation), "{}", info.id);
        }
    }
}
