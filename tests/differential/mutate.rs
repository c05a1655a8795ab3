//! Near misses: for each keyword of a schema, what lies just inside and just outside of it.

use serde_json::Value;

use crate::node::{Node, escaped, quoted, string, text};

type Fields = Vec<(String, Node)>;

/// One change of a document: where, what stands there then, and the keyword or habit that it probes.
pub struct Variant {
    pub path: Vec<usize>,
    pub node: Node,
    pub probe: &'static str,
}

/// Every variant of `node`, which is an instance of `schema` (or was, before other changes).
pub fn variants(root: &Value, schema: &Value, node: &Node) -> Vec<Variant> {
    let mut out = Vec::new();
    walk(root, schema, node, &mut Vec::new(), &mut out);
    out
}

/// Puts `variant` into `node`. False when an earlier change removed its place.
pub fn apply(node: &mut Node, variant: &Variant) -> bool {
    let mut at = node;
    for step in &variant.path {
        let child = match at {
            Node::Array(items) => items.get_mut(*step),
            Node::Object(fields) => fields.get_mut(*step).map(|(_, value)| value),
            Node::Text(_) => None,
        };
        let Some(child) = child else { return false };
        at = child;
    }
    *at = variant.node.clone();
    true
}

fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    while let Some(to) = schema.get("$ref").and_then(Value::as_str) {
        schema = root.pointer(to.trim_start_matches('#')).expect("the bundle is closed");
    }
    schema
}

fn walk(root: &Value, schema: &Value, node: &Node, path: &mut Vec<usize>, out: &mut Vec<Variant>) {
    let mut schema = resolve(root, schema);
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        add(out, path, "null", [text("null")]);
        schema = resolve(root, &branches[0]);
    }
    add(out, path, "type", wrong_types(node));
    add(out, path, "depth", [29, 30, 31, 32, 33, 40].map(|depth| text("[".repeat(depth) + &"]".repeat(depth))));
    if let Some(branches) = schema.get("oneOf").and_then(Value::as_array) {
        let fits = |branch: &&Value| tag_of(branch).is_some_and(|(tag, value)| holds(node, &tag, &value));
        let branch = branches.iter().find(fits).unwrap_or(&branches[0]);
        if let Some((tag, _)) = tag_of(branch) {
            for value in branches.iter().filter_map(tag_of).map(|(_, value)| string(&value)) {
                add(out, path, "oneOf", with_field(node, &tag, value));
            }
        }
        schema = branch;
    }
    for (keyword, probe) in [("enum", "enum"), ("const", "const")] {
        if let Some(options) = schema.get(keyword) {
            add(out, path, probe, options.as_array().unwrap_or(&vec![options.clone()]).iter().map(Node::from));
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => strings(schema, node, path, out),
        Some("integer" | "number") => numbers(schema, node, path, out),
        Some("array") => arrays(root, schema, node, path, out),
        Some("object") => objects(root, schema, node, path, out),
        _ => {}
    }
}

fn add(out: &mut Vec<Variant>, path: &[usize], probe: &'static str, nodes: impl IntoIterator<Item = Node>) {
    out.extend(nodes.into_iter().map(|node| Variant { path: path.to_vec(), node, probe }));
}

fn wrong_types(node: &Node) -> Vec<Node> {
    let mut all: Vec<Node> =
        ["null", "true", "false", "0", "1", "-1", "1.5", "\"\"", "\"x\"", "[]", "{}", "[[]]", "{\"\":{}}"]
            .map(text)
            .into();
    all.push(Node::Array(vec![node.clone()]));
    all.push(Node::Object(vec![("\"a\"".to_owned(), node.clone())]));
    all.push(string(&node.to_string()));
    all
}

fn strings(schema: &Value, node: &Node, path: &[usize], out: &mut Vec<Variant>) {
    let given = node.string().unwrap_or_default();
    add(out, path, "escape", [text(escaped(&given))]);
    add(out, path, "surrogate", ["\"\\ud800\"", "\"\\udc00x\"", "\"\\ud83d\\ude00\"", "\"\\ud83dx\""].map(text));
    add(
        out,
        path,
        "control",
        ["\"\u{1}\"", "\"\\u0000\"", "\"\n\"", "\"\u{7f}\"", "\"\\/\"", "\"\\x\"", "\"\\b\\f\""].map(text),
    );
    for (keyword, probe) in [("minLength", "minLength"), ("maxLength", "maxLength")] {
        let Some(limit) = schema.get(keyword).and_then(Value::as_u64) else { continue };
        for length in limit.saturating_sub(1)..=limit + 1 {
            for unit in ["a", "é", "😀"] {
                add(out, path, probe, [string(&unit.repeat(length as usize))]);
            }
        }
    }
    if schema.get("pattern").is_some() {
        add(out, path, "pattern", near(&given).iter().map(|text| string(text)));
    }
}

/// Texts that differ a little from `given`, and some that have bitten others.
fn near(given: &str) -> Vec<String> {
    const ODD: &[&str] = &[
        " ", "\n", "\r\n", "\t", "\0", "é", "\u{212A}", "ſ", "０", "\u{FEFF}", "-", "_", "@", "/", ".", ":", "A", "z",
        "0", "9", "~", "!", "\"", "\\", "%", "\u{7f}", "\u{80}", "😀",
    ];
    let mut all =
        vec![String::new(), given.to_uppercase(), given.to_lowercase(), given.repeat(2), given.replace('-', "")];
    for odd in ODD {
        all.push(format!("{odd}{given}"));
        all.push(format!("{given}{odd}"));
        all.push((*odd).to_owned());
        if let Some((at, _)) = given.char_indices().nth(given.chars().count() / 2) {
            all.push(format!("{}{odd}{}", &given[..at], &given[at..]));
        }
    }
    let last = given.chars().last().unwrap_or('a');
    for length in [1, 2, 15, 16, 17, 43, 63, 64, 65, 127, 128, 129, 199, 200, 201, 499, 500, 501, 512, 513] {
        let short: String = given.chars().take(length).collect();
        let padding = length.saturating_sub(short.chars().count());
        all.push(short + &last.to_string().repeat(padding));
    }
    all.extend([format!("{{{given}}}"), format!("urn:uuid:{given}"), format!("../{given}"), format!("{given}\n")]);
    all.extend(
        [
            "9007199254740992",
            "HTTPS://x",
            "http://",
            "https:// ",
            "k3v9x2m7q4w8z1ab:00",
            "k3v9x2m7q4w8z1ab:9999999999999999",
        ]
        .map(str::to_owned),
    );
    all
}

fn numbers(schema: &Value, node: &Node, path: &[usize], out: &mut Vec<Variant>) {
    for (keyword, probe) in [("minimum", "minimum"), ("maximum", "maximum")] {
        let Some(limit) = schema.get(keyword) else { continue };
        if let Some(limit) = limit.as_i64() {
            for value in limit - 1..=limit + 1 {
                add(
                    out,
                    path,
                    probe,
                    [format!("{value}"), format!("{value}.0"), format!("{value}e0"), format!("{value}0e-1")].map(text),
                );
                add(out, path, probe, [format!("{value}.000000000000000001"), format!("{value}.5")].map(text));
            }
        }
    }
    add(out, path, "number", [text(format!("{node}.0")), text(format!("{node}e0")), text(format!("{node}E+0"))]);
    const SPELLINGS: &[&str] = &[
        "-0",
        "0.0",
        "-0.0",
        "1e3",
        "1E2",
        "10e-1",
        "1e-1",
        "5e-324",
        "1e308",
        "1e309",
        "-1e309",
        "01",
        "1.",
        ".5",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "1e",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993.0",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "9.007199254740991e15",
        "1.0000000000000001",
        "2.0000000000000001",
        "2.0000000000000004",
        "0.1e1",
        "100e-2",
        "1.5e1",
        "\"1\"",
    ];
    add(out, path, "number", SPELLINGS.iter().copied().map(text));
}

fn arrays(root: &Value, schema: &Value, node: &Node, path: &mut Vec<usize>, out: &mut Vec<Variant>) {
    let Node::Array(items) = node else { return };
    let item_schema = resolve(root, &schema["items"]);
    // Different items of the same kind, as many as needed.
    let fresh = |count: usize| -> Vec<Node> {
        if let Some(options) = item_schema.get("enum").and_then(Value::as_array) {
            return options.iter().cycle().take(count).map(Node::from).collect();
        }
        match items.first() {
            Some(Node::Text(first)) if first.starts_with('"') => (0..count).map(|at| numbered(&items[0], at)).collect(),
            Some(first) => vec![first.clone(); count],
            None => vec![string("a"); count],
        }
    };
    for (keyword, probe) in [("minItems", "minItems"), ("maxItems", "maxItems")] {
        let Some(limit) = schema.get(keyword).and_then(Value::as_u64) else { continue };
        let limit = limit as usize;
        add(out, path, probe, (limit.saturating_sub(1)..=limit + 1).map(|count| Node::Array(fresh(count))));
    }
    let repeated = items.iter().chain(items.first()).cloned().collect();
    let spelled =
        items.iter().cloned().chain(items.first().and_then(Node::string).map(|item| text(escaped(&item)))).collect();
    let reversed = items.iter().rev().cloned().collect();
    add(out, path, "uniqueItems", [Node::Array(repeated), Node::Array(spelled), Node::Array(reversed)]);
    for (at, item) in items.iter().enumerate().take(3) {
        path.push(at);
        walk(root, &schema["items"], item, path, out);
        path.pop();
    }
}

/// A string of the same form that differs by number: UUIDs and names stay what they are.
fn numbered(node: &Node, at: usize) -> Node {
    let mut given = node.string().unwrap_or_default();
    let number = format!("{at:03}");
    let keep = given.len().saturating_sub(3);
    if given.is_char_boundary(keep) && keep > 0 {
        given.truncate(keep);
    }
    string(&(given + &number))
}

fn objects(root: &Value, schema: &Value, node: &Node, path: &mut Vec<usize>, out: &mut Vec<Variant>) {
    let Node::Object(fields) = node else { return };
    let changed = |change: &dyn Fn(&mut Fields)| {
        let mut fields = fields.clone();
        change(&mut fields);
        Node::Object(fields)
    };
    for at in 0..fields.len() {
        add(out, path, "required", [changed(&|fields| drop(fields.remove(at)))]);
        let other = ("true".to_owned(), fields[at].1.to_string(), "null".to_owned());
        for value in [other.0, other.1, other.2] {
            add(
                out,
                path,
                "duplicateKey",
                [
                    changed(&|fields| fields.push((fields[at].0.clone(), text(value.clone())))),
                    changed(&|fields| fields.insert(0, (fields[at].0.clone(), text(value.clone())))),
                ],
            );
        }
        let name: String = serde_json::from_str(&fields[at].0).expect("a key");
        add(out, path, "duplicateKey", [changed(&|fields| fields.push((escaped(&name), fields[at].1.clone())))]);
        add(out, path, "null", [changed(&|fields| fields[at].1 = text("null"))]);
        add(out, path, "escape", [changed(&|fields| fields[at].0 = escaped(&name))]);
        add(
            out,
            path,
            "additionalProperties",
            [
                changed(&|fields| fields[at].0 = quoted(&name.to_uppercase())),
                changed(&|fields| fields[at].0 = quoted(&format!("{name} "))),
                changed(&|fields| fields[at].0 = quoted(&format!("{name}\0"))),
            ],
        );
        add(
            out,
            path,
            "order",
            [
                changed(&|fields| fields.rotate_left(at)),
                changed(&|fields| {
                    fields.rotate_left(at);
                    fields.reverse()
                }),
            ],
        );
    }
    for (key, value) in [
        ("x", "1"),
        ("", "null"),
        ("__proto__", "{}"),
        ("constructor", "{}"),
        ("idempotencyKey", "\"k\""),
        ("seq", "1"),
        ("replyTo", "\"a\""),
    ] {
        add(
            out,
            path,
            "additionalProperties",
            [
                changed(&|fields| fields.push((quoted(key), text(value)))),
                changed(&|fields| fields.insert(0, (quoted(key), text(value)))),
            ],
        );
    }
    add(
        out,
        path,
        "array for object",
        [
            Node::Array(fields.iter().map(|(_, value)| value.clone()).collect()),
            Node::Array(
                fields.iter().map(|(key, value)| Node::Array(vec![text(key.clone()), value.clone()])).collect(),
            ),
        ],
    );
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        let place = fields.iter().position(|(key, _)| *key == quoted(name));
        if let Some(at) = place {
            path.push(at);
            walk(root, property, &fields[at].1, path, out);
            path.pop();
        } else {
            // A field that the example leaves out: absent is not null, and a value must be looked at too.
            for value in ["null", "\"a\"", "1", "true", "{}", "[]", "[\"a\"]", "[\"message\"]"] {
                add(out, path, "optional", [changed(&|fields| fields.push((quoted(name), text(value))))]);
            }
        }
    }
}

fn tag_of(branch: &Value) -> Option<(String, String)> {
    ["type", "action"].into_iter().find_map(|tag| {
        let value = branch["properties"][tag].get("const")?.as_str()?;
        Some((tag.to_owned(), value.to_owned()))
    })
}

fn holds(node: &Node, tag: &str, value: &str) -> bool {
    let Node::Object(fields) = node else { return false };
    fields.iter().any(|(key, node)| *key == quoted(tag) && node.string().as_deref() == Some(value))
}

fn with_field(node: &Node, name: &str, value: Node) -> Option<Node> {
    let Node::Object(fields) = node else { return None };
    let mut fields = fields.clone();
    fields.iter_mut().find(|(key, _)| *key == quoted(name))?.1 = value;
    Some(Node::Object(fields))
}
