//! `routes.ts`: one function for each route, and for each form in which it can answer.

use std::collections::BTreeSet;

use super::{
    super::{
        catalogue::{Content, Parameter, Route, text},
        model::{Model, Shape},
        publish::Published,
    },
    HEADER, Property, camel, docs, interface, key, quoted,
};

/// How a body arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form<'r> {
    Nothing,
    Json(&'r str),
    /// A document of another standard.
    Document,
    Text,
    Stream,
    Bytes,
}

pub fn routes(model: &Model, published: &Published) -> String {
    let mut used = BTreeSet::new();
    let mut functions = String::new();
    for route in &published.catalogue.routes {
        let source = &published.file("http", &route.id)["x-route"];
        if let Some(input) = input(route, &mut used) {
            functions += "\n";
            functions += &input;
        }
        for (index, (media, form)) in forms(route).into_iter().enumerate() {
            if let Form::Json(name) = form {
                used.insert(name.to_owned());
            }
            functions += "\n";
            functions += &function(model, route, text(source, "summary"), media, form, index > 0);
        }
    }
    let types: String = used.iter().map(|name| format!("  {name},\n")).collect();
    format!(
        "{HEADER}\nimport {{ type CallOptions, type FrameStream, type Server, bytes, document, json, nothing, path, stream, string }} from \"../call.js\";\nimport type {{\n{types}}} from \"./protocol.js\";\n{functions}"
    )
}

/// Every media type of the successful answers, once.
fn forms(route: &Route) -> Vec<(&str, Form<'_>)> {
    let mut forms: Vec<(&str, Form<'_>)> = Vec::new();
    for (media, content) in route.responses.iter().flat_map(|response| &response.content) {
        let form = match content {
            Content::Json(name) => Form::Json(name),
            Content::Text if media.ends_with("json") => Form::Document,
            Content::Text => Form::Text,
            Content::Stream => Form::Stream,
            Content::Ndjson => Form::Bytes,
        };
        if !forms.contains(&(media, form)) {
            forms.push((media, form));
        }
    }
    if forms.is_empty() {
        forms.push(("", Form::Nothing));
    }
    forms
}

/// Parameters of the path, the query and the headers, and the body, in one object.
fn input(route: &Route, used: &mut BTreeSet<String>) -> Option<String> {
    let mut properties = Vec::new();
    let parameters = route.path_parameters.iter().map(|parameter| (parameter, true));
    let rest = route.query.iter().chain(&route.headers).map(|parameter| (parameter, parameter.required));
    for (parameter, required) in parameters.chain(rest) {
        used.extend(parameter.definition.clone());
        properties.push(Property {
            name: camel(&parameter.name),
            description: parameter.description.clone(),
            kind: parameter.definition.clone().unwrap_or_else(|| "boolean".to_owned()),
            required,
            default: parameter.default.clone(),
        });
    }
    if let Some((_, content)) = route.request.first() {
        let kind = match content {
            Content::Json(name) => {
                used.insert(name.clone());
                name.clone()
            }
            _ => "string | Blob".to_owned(),
        };
        let description = "The body of the request.".to_owned();
        properties.push(Property { name: "body".to_owned(), description, kind, required: true, default: None });
    }
    let description = format!("What {{@link {}}} takes.", route.id);
    (!properties.is_empty()).then(|| interface(&format!("{}Input", route.title), &description, &properties))
}

fn function(model: &Model, route: &Route, summary: &str, media: &str, form: Form, second: bool) -> String {
    let (call, result) = match form {
        Form::Nothing => ("nothing", "void".to_owned()),
        Form::Json(name) => ("json", name.to_owned()),
        Form::Document => ("document", "Record<string, unknown>".to_owned()),
        Form::Text => ("string", "string".to_owned()),
        Form::Stream => ("stream", "FrameStream".to_owned()),
        Form::Bytes => ("bytes", "Blob".to_owned()),
    };
    let name = if second { format!("{}{}", route.id, super::super::model::pascal(call)) } else { route.id.clone() };
    let input = !(route.path_parameters.is_empty()
        && route.query.is_empty()
        && route.headers.is_empty()
        && route.request.is_empty());
    let optional = route.path_parameters.is_empty()
        && route.request.is_empty()
        && route.query.iter().chain(&route.headers).all(|parameter| !parameter.required);
    let argument = match (input, optional) {
        (false, _) => String::new(),
        (true, true) => format!("input: {}Input = {{}}, ", route.title),
        (true, false) => format!("input: {}Input, ", route.title),
    };
    let mut fields = vec![format!("method: {}", quoted(&route.method)), format!("path: {}", address(model, route))];
    fields.extend(named("query", &route.query));
    fields.extend(named("headers", &route.headers));
    if let Some((media, content)) = route.request.first() {
        let value = if matches!(content, Content::Json(_)) { "JSON.stringify(input.body)" } else { "input.body" };
        fields.push(format!("contentType: {}", quoted(media)));
        fields.push(format!("body: {value}"));
    }
    if !media.is_empty() {
        fields.push(format!("accept: {}", quoted(media)));
    }
    let fields: String = fields.iter().map(|field| format!("    {field},\n")).collect();
    let errors: Vec<String> = route.errors.iter().map(|code| format!("`{code}`")).collect();
    let errors =
        if errors.is_empty() { String::new() } else { format!("\n@throws AgentWorldError with {}", errors.join(", ")) };
    let description = format!("{summary}: `{} {}`.\n\n{}\n{errors}", route.method, route.path, route.description);
    format!(
        "{}export function {name}(server: Server, {argument}options?: CallOptions): Promise<{result}> {{\n  return {call}(server, {{\n{fields}  }}, options);\n}}\n",
        docs("", description.trim_end())
    )
}

/// The path as an expression; a parameter whose pattern allows slashes keeps them.
fn address(model: &Model, route: &Route) -> String {
    let mut expression = route.path.clone();
    for Parameter { name, definition, .. } in &route.path_parameters {
        let slashes = definition.as_ref().is_some_and(|definition| {
            matches!(&model.types.get(definition).map(|entry| &entry.shape), Some(Shape::Text { pattern: Some(pattern), .. }) if pattern.contains('/'))
        });
        let encode = if slashes { "path" } else { "encodeURIComponent" };
        expression = expression.replace(&format!("{{{name}}}"), &format!("${{{encode}(input.{})}}", camel(name)));
    }
    if route.path_parameters.is_empty() { quoted(&expression) } else { format!("`{expression}`") }
}

fn named(field: &str, parameters: &[Parameter]) -> Option<String> {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|parameter| format!("{}: input.{}", key(&parameter.name), camel(&parameter.name)))
        .collect();
    (!pairs.is_empty()).then(|| format!("{field}: {{ {} }}", pairs.join(", ")))
}
