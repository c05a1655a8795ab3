//! From method and path to the operation.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{Operation, OperationInfo};

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

/// Finds the operation. Of several templates that fit, the one whose literal part is longest wins, but only for
/// the methods that it has: `POST /worlds/import` imports, `PUT /worlds/import` creates a world of that name.
/// `HEAD` is answered like `GET`.
pub fn find(method: &str, path: &str) -> Result<Found, Unrouted> {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let fitting = |operation: &'static Operation| Some((operation, fit(operation.info(), &segments)?));
    let wanted = if method == "HEAD" { "GET" } else { method };
    let methods = Operation::ALL.iter().filter(|operation| operation.info().method == wanted);
    let best = methods.filter_map(fitting).min_by_key(|(_, path)| path.len());
    if let Some((operation, path)) = best {
        return Ok(Found { operation: *operation, path });
    }
    let mut allow: Vec<&str> =
        Operation::ALL.iter().filter_map(fitting).map(|(operation, _)| operation.info().method).collect();
    if allow.is_empty() {
        return Err(Unrouted::NotFound);
    }
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.dedup();
    Err(Unrouted::MethodNotAllowed { allow: allow.join(", ") })
}

/// The parameters, when `segments` fit the operation's template.
fn fit(info: &'static OperationInfo, segments: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let mut template = info.path.strip_prefix('/')?.split('/').peekable();
    let (mut path, mut rest) = (Vec::new(), segments);
    while let Some(part) = template.next() {
        let (segment, behind) = rest.split_first()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None if part != *segment => return None,
            None => {}
            Some(_) if segment.is_empty() => return None,
            Some(name) if info.tail && template.peek().is_none() => {
                path.push((name, decode(&rest.join("/"))));
                return Some(path);
            }
            Some(name) => path.push((name, decode(segment))),
        }
        rest = behind;
    }
    rest.is_empty().then_some(path)
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
        for path in ["/nothing", "/worlds/", "/worlds//agents", "//", "", "/worlds/w/agents/a/b", "/schema", "/Worlds"]
        {
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
