//! `openapi.json`: the HTTP routes as OpenAPI 3.1.0. utoipa builds the shell; the schemas go in as they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{
    Content as Body, ContentBuilder, Header, HeaderBuilder, HttpMethod, InfoBuilder, License, ObjectBuilder,
    OpenApiBuilder, Paths, Ref, RefOr, Required, Response as Answer, ResponseBuilder, Schema, ServerBuilder, Tag, Type,
    example::ExampleBuilder,
    info::ContactBuilder,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    security::SecurityRequirement,
    tag::TagBuilder,
};

use super::{
    bundle,
    catalogue::{Catalogue, Code, Content, Parameter, Response, Route, entries, text},
    publish::{COMPONENTS, EMAIL, HOME, LICENSE, Published, TITLE, VERSION},
};

const SECURITY: &str = "sessionToken";

const DESCRIPTION: &str = "The HTTP side of Agent World, a server for worlds of LLM agents. \
A *template* is a world that everybody can read and nobody can write; a user's own worlds are cloned from templates. \
Live conversation goes over WebSocket at `/ws`, which `/asyncapi.json` describes; `POST /worlds/{worldName}/chat` is a \
whole conversation in one HTTP request.\n\n\
To begin, no account is needed: `POST /session` makes a user and returns its session token. Send it as \
`Authorization: Bearer <token>`. Where a token is optional, a request without one sees the templates only.\n\n\
Errors are problem documents (RFC 9457), whose `code` is the same as in the `error` messages of the WebSocket protocol. \
Unknown fields and query parameters are refused. Ignore fields of answers that you do not know: answers may grow.";

/// The tags in the order in which a reader meets them.
const TAGS: [(&str, &str); 7] = [
    ("session", "Who the caller is: an anonymous user, known by a session token."),
    ("worlds", "Templates, and the worlds that a user has made of them."),
    ("agents", "The agents of a world: their models, prompts and settings."),
    ("chat", "Saying something in a world, and following or stopping the answers."),
    ("events", "What has happened in a world, and what is happening now."),
    ("server", "The server itself: how it does, and its console."),
    ("documents", "The machine-readable and the readable descriptions of this server."),
];

pub fn openapi(published: &Published) -> Value {
    let mut paths = Paths::new();
    for route in &published.catalogue.routes {
        paths.add_path_operation(&route.path, vec![method(route)], operation(published, route));
    }
    let info = InfoBuilder::new()
        .title(TITLE)
        .version(VERSION)
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some(TITLE)).url(Some(HOME)).email(Some(EMAIL)).build()))
        .license(Some(License::builder().name(LICENSE).identifier(Some(LICENSE)).build()));
    let shell = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server.")).build()]))
        .tags(Some(TAGS.map(|(name, description)| tag(name, description))))
        .paths(paths)
        .build();
    let mut document = serde_json::to_value(shell).unwrap_or_default();
    document["components"] = json!({
        "schemas": published.components(references(&document)),
        "securitySchemes": {SECURITY: {
            "type": "http",
            "scheme": "bearer",
            "description": "The session token that `POST /session` returns, or the first frame of a WebSocket connection.",
        }},
    });
    for route in &published.catalogue.routes {
        complete(published, route, &mut document["paths"][&route.path][route.method.to_lowercase()]);
    }
    document
}

fn tag(name: &str, description: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(description)).build()
}

fn method(route: &Route) -> HttpMethod {
    match route.method.as_str() {
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        _ => HttpMethod::Get,
    }
}

fn operation(published: &Published, route: &Route) -> Operation {
    let source = &published.file("http", &route.id)["x-route"];
    let parameters = parameters(route).map(|(place, parameter)| {
        ParameterBuilder::new()
            .name(&parameter.name)
            .parameter_in(place.clone())
            .required(if parameter.required || place == ParameterIn::Path { Required::True } else { Required::False })
            .description(Some(described(published, parameter)))
            .schema(Some(schema_of(parameter)))
            .build()
    });
    let request = (!route.request.is_empty()).then(|| {
        let body = RequestBodyBuilder::new().required(Some(Required::True));
        let body = route.request.iter().fold(body, |body, (media, content)| {
            let examples = examples(published, route).map(|(name, example)| (name, example.get("request").cloned()));
            body.content(media, content_of(media, content, examples))
        });
        body.build()
    });
    let security = match route.auth.as_str() {
        "required" => vec![SecurityRequirement::new(SECURITY, [""; 0])],
        "optional" => vec![SecurityRequirement::new(SECURITY, [""; 0]), SecurityRequirement::default()],
        _ => Vec::new(),
    };
    let operation = OperationBuilder::new()
        .operation_id(Some(&route.id))
        .tag(text(source, "tag"))
        .summary(Some(text(source, "summary")))
        .description(Some(&route.description))
        .parameters(Some(parameters))
        .request_body(request)
        .securities(Some(security));
    let refusals = refusals(published.catalogue, route);
    let refusals = refusals.iter().map(|(status, codes)| (status.to_string(), refusal(*status, codes)));
    let responses = successes(published, route).into_iter().chain(refusals);
    responses.fold(operation, |operation, (status, response)| operation.response(status, response)).build()
}

fn successes(published: &Published, route: &Route) -> Vec<(String, Answer)> {
    let response = |response: &Response| {
        let answer = ResponseBuilder::new().description(&response.description);
        let answer = response.content.iter().fold(answer, |answer, (media, content)| {
            let examples = examples(published, route).map(|(name, example)| {
                // What is created the first time is there the second time: one body for both.
                let body = example["response"].get("body");
                (name, body.filter(|body| fits(media, content, body)).cloned())
            });
            answer.content(media, content_of(media, content, examples))
        });
        let headers = response.headers.iter().map(|parameter| (&parameter.name, header(published, parameter)));
        let answer = headers.fold(answer, |answer, (name, header)| answer.header(name, header));
        (response.status.to_string(), answer.build())
    };
    route.responses.iter().map(response).collect()
}

/// Whether an example's body is one of this media type, where a response has several.
fn fits(media: &str, content: &Content, body: &Value) -> bool {
    match content {
        Content::Json(_) => !body.is_string(),
        Content::Text => media.contains("json") || body.is_string(),
        Content::Stream | Content::Ndjson => body.is_string(),
    }
}

fn content_of<'e>(media: &str, content: &Content, examples: impl Iterator<Item = (&'e String, Option<Value>)>) -> Body {
    let schema: RefOr<Schema> = match content {
        Content::Json(name) => Ref::from_schema_name(name).into(),
        Content::Text if media.contains("json") => ObjectBuilder::new().schema_type(Type::Object).into(),
        _ => ObjectBuilder::new().schema_type(Type::String).into(),
    };
    let examples = examples.filter_map(|(name, value)| Some((name, ExampleBuilder::new().value(Some(value?)).build())));
    ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build()
}

fn header(published: &Published, parameter: &Parameter) -> Header {
    HeaderBuilder::new().description(Some(described(published, parameter))).schema(Some(schema_of(parameter))).build()
}

fn described<'p>(published: &'p Published, parameter: &'p Parameter) -> &'p str {
    match &parameter.definition {
        Some(name) if parameter.description.is_empty() => published.description(name),
        _ => &parameter.description,
    }
}

fn schema_of(parameter: &Parameter) -> RefOr<Schema> {
    match &parameter.definition {
        Some(name) => {
            let mut to = Ref::from_schema_name(name);
            to.default = parameter.default.clone();
            to.into()
        }
        None => ObjectBuilder::new().schema_type(Type::Boolean).default(parameter.default.clone()).into(),
    }
}

fn parameters(route: &Route) -> impl Iterator<Item = (ParameterIn, &Parameter)> {
    let path = route.path_parameters.iter().map(|parameter| (ParameterIn::Path, parameter));
    let query = route.query.iter().map(|parameter| (ParameterIn::Query, parameter));
    let headers = route.headers.iter().map(|parameter| (ParameterIn::Header, parameter));
    path.chain(query).chain(headers)
}

fn examples<'p>(published: &'p Published, route: &Route) -> impl Iterator<Item = (&'p String, &'p Value)> + use<'p> {
    entries(published.file("http", &route.id).get("x-examples"))
}

/// The error codes of a route by their status.
fn refusals<'c>(catalogue: &'c Catalogue, route: &Route) -> BTreeMap<u64, Vec<&'c Code>> {
    let mut refusals: BTreeMap<u64, Vec<&Code>> = BTreeMap::new();
    for code in catalogue.codes.iter().filter(|code| route.errors.contains(&code.name)) {
        refusals.entry(code.status).or_default().push(code);
    }
    refusals
}

fn refusal(status: u64, codes: &[&Code]) -> Answer {
    let bullet = if codes.len() > 1 { "- " } else { "" };
    let lines = codes.iter().map(|code| format!("{bullet}`{}`: {}", code.name, code.description));
    let description = lines.collect::<Vec<_>>().join("\n");
    let examples = codes.iter().map(|code| (&code.name, ExampleBuilder::new().value(Some(problem(code))).build()));
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples);
    let answer = ResponseBuilder::new().description(description).content("application/problem+json", body.build());
    let header = |of: Type, description: &str| {
        HeaderBuilder::new().description(Some(description)).schema(Some(ObjectBuilder::new().schema_type(of))).build()
    };
    match status {
        401 => answer.header("WWW-Authenticate", header(Type::String, "`Bearer`.")).build(),
        429 | 503 => answer.header("Retry-After", header(Type::Integer, "`retryAfterMs` in whole seconds.")).build(),
        _ => answer.build(),
    }
}

/// A problem document of a code.
fn problem(code: &Code) -> Value {
    let mut problem = json!({
        "type": code.docs(),
        "title": code.title(),
        "status": code.status,
        "detail": code.description,
        "code": code.name,
        "retryable": code.retryable == "yes",
        "docs": code.docs(),
    });
    match code.name.as_str() {
        "INVALID_MESSAGE" => {
            problem["errors"] = json!([{
                "pointer": "/query",
                "keyword": "additionalProperties",
                "message": "is not empty, but no parameters are known here",
            }]);
        }
        "UNRESUMABLE" => {
            problem["reason"] = json!("epoch");
            problem["cursor"] = json!("k3v9x2m7q4w8z1ab:12");
        }
        _ if code.retryable == "yes" => problem["retryAfterMs"] = json!(1000),
        _ => {}
    }
    problem
}

/// What utoipa's parameters have no room for: named examples.
fn complete(published: &Published, route: &Route, operation: &mut Value) {
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        let group = match text(parameter, "in") {
            "path" => "pathParameters",
            "query" => "query",
            _ => "headers",
        };
        for (name, example) in examples(published, route) {
            if let Some(value) = example[group].get(text(parameter, "name")) {
                parameter["examples"][name] = json!({"value": value});
            }
        }
    }
}

/// The components that a document refers to.
fn references(document: &Value) -> Vec<String> {
    bundle::references(document).into_iter().map(|to| to.trim_start_matches(COMPONENTS).to_owned()).collect()
}
