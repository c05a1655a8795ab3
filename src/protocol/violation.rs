//! Why a text was refused: every violation, with pointer, keyword and limit, in words that never repeat what
//! the text says.

use std::sync::LazyLock;

use jsonschema::{ErrorIterator, ValidationError, error::ValidationErrorKind};
use serde_json::Value;

use super::{FrameId, Invalid, Violation, Violations};

/// No more than this many violations are named; the rest is `truncated`.
pub const MAX_VIOLATIONS: usize = 32;

/// A validator that was compiled from one bundled schema, with the schema for the wording.
pub struct Compiled {
    pub is_valid: fn(&Value) -> bool,
    pub errors: for<'i> fn(&'i Value) -> ErrorIterator<'i>,
    pub schema: LazyLock<Value>,
}

/// A frame, body or parameter that was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejection {
    /// The frame's `id`, when one could be read: what the `error` frame's `replyTo` names.
    pub id: Option<FrameId>,
    violations: Vec<Violation>,
    /// There were more violations than are listed.
    pub truncated: bool,
    /// The types that exist, when the frame's `type` does not.
    pub known: Vec<&'static str>,
}

impl Rejection {
    /// A rejection with one violation.
    pub fn new(pointer: &str, keyword: &str, limit: Option<&str>, message: &str) -> Self {
        let mut rejection = Self::default();
        rejection.add(pointer.to_owned(), keyword, limit.map(str::to_owned), message.to_owned());
        rejection
    }

    /// The same rejection, as one of the frame `id`.
    pub(crate) fn of(self, id: FrameId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// What is wrong, place by place; at most [`MAX_VIOLATIONS`].
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What is wrong, in one line.
    pub fn line(&self) -> String {
        let sentence = |one: &Violation| match one.pointer.as_str() {
            "" => one.message.clone(),
            pointer => format!("{pointer}: {}", one.message),
        };
        self.violations.iter().map(sentence).collect::<Vec<_>>().join("; ")
    }

    /// The violations as the error's `details` hold them.
    pub fn into_violations(self) -> Violations {
        // The bound holds by `add`; an empty list is the harmless answer if it ever did not.
        Violations::new(self.violations).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn add(&mut self, pointer: String, keyword: &str, limit: Option<String>, message: String) {
        if self.violations.len() == MAX_VIOLATIONS {
            self.truncated = true;
        } else {
            self.violations.push(Violation { pointer, keyword: keyword.to_owned(), limit, message });
        }
    }

    /// Adds what another rejection names.
    pub(crate) fn absorb(&mut self, other: Self) {
        for violation in other.violations {
            self.add(violation.pointer, &violation.keyword, violation.limit, violation.message);
        }
        self.truncated |= other.truncated;
    }

    pub(crate) fn add_duplicates(&mut self, pointers: Vec<String>) {
        for pointer in pointers {
            self.add(pointer, "duplicateKey", None, "names a key twice".to_owned());
        }
    }

    pub(crate) fn add_invalid(&mut self, pointer: String, invalid: Invalid) {
        let message = sentence(invalid.keyword, Some(&invalid.limit));
        self.add(pointer, invalid.keyword, short(&invalid.limit), message);
    }

    /// Adds everything that the compiled schema finds wrong with `instance`.
    pub(crate) fn explain(&mut self, compiled: &Compiled, instance: &Value) {
        if !(compiled.is_valid)(instance) {
            self.explain_with(&compiled.schema, || (compiled.errors)(instance));
        }
    }

    /// Adds the errors that a validator made from `schema` found.
    pub(crate) fn explain_with<'i>(&mut self, schema: &Value, errors: impl FnOnce() -> ErrorIterator<'i>) {
        for error in errors() {
            if self.truncated {
                return;
            }
            self.add_error(schema, &error);
        }
    }

    fn add_error(&mut self, schema: &Value, error: &ValidationError<'_>) {
        let pointer = error.instance_path().to_string();
        let keyword = error.kind().keyword();
        let limit = match error.kind() {
            // The branch that was meant explains more than that none fits.
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                if let Some(branch) = meant(context) {
                    for error in branch {
                        self.add_error(schema, error);
                    }
                    return;
                }
                None
            }
            ValidationErrorKind::Required { property } => property.as_str().map(str::to_owned),
            ValidationErrorKind::AdditionalProperties { .. } => None,
            _ => demanded(schema, &error.schema_path().to_string()),
        };
        let mut message = sentence(keyword, limit.as_deref());
        if matches!(error.kind(), ValidationErrorKind::AdditionalProperties { .. }) {
            message = unknown_fields(schema, &error.schema_path().to_string());
        }
        self.add(pointer, keyword, limit.as_deref().and_then(short), message);
    }
}

/// The fields that a closed schema does not know, with the pointers of the objects that hold them.
pub(crate) fn unknown_of(error: &ValidationError<'_>) -> Vec<(String, String)> {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|field| (error.instance_path().to_string(), field.clone())).collect()
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            meant(context).into_iter().flatten().flat_map(|error| unknown_of(error)).collect()
        }
        _ => Vec::new(),
    }
}

/// The branch of a union whose tag the instance has, or of a nullable the one that is not null.
fn meant<'e>(context: &'e [Vec<ValidationError<'static>>]) -> Option<&'e Vec<ValidationError<'static>>> {
    let is_tag = |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Constant { .. });
    let fits = |errors: &&Vec<ValidationError<'static>>| !errors.is_empty() && !errors.iter().any(is_tag);
    let mut fitting = context.iter().filter(fits);
    let first = fitting.next()?;
    // With several left, the tag itself is missing or unknown, except for a nullable: its second branch is null.
    (context.len() == 2 || fitting.next().is_none()).then_some(first)
}

/// The value of the keyword at `path`, as text.
fn demanded(schema: &Value, path: &str) -> Option<String> {
    Some(match lookup(schema, path)? {
        Value::String(text) => text.clone(),
        Value::Array(options) => options
            .iter()
            .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    })
}

fn unknown_fields(schema: &Value, path: &str) -> String {
    let object = path.rsplit_once('/').map_or("", |(object, _)| object);
    let known = lookup(schema, &format!("{object}/properties")).and_then(Value::as_object);
    let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if known.is_empty() {
        return "holds a field that does not exist here; there are none".to_owned();
    }
    format!("holds a field that does not exist here; known are {}", known.join(", "))
}

/// Follows a path of keywords, through `$ref`s too.
fn lookup<'s>(schema: &'s Value, path: &str) -> Option<&'s Value> {
    let mut at = schema;
    for token in path.split('/').skip(1).filter(|token| *token != "$ref") {
        let token = token.replace("~1", "/").replace("~0", "~");
        at = loop {
            let below = match at {
                Value::Array(items) => items.get(token.parse::<usize>().ok()?),
                other => other.get(&token),
            };
            match below {
                Some(below) => break below,
                None => at = schema.pointer(at.get("$ref")?.as_str()?.strip_prefix('#')?)?,
            }
        };
    }
    Some(at)
}

/// A limit is told when it fits in a few characters.
fn short(limit: &str) -> Option<String> {
    (limit.chars().count() <= 80).then(|| limit.to_owned())
}

fn sentence(keyword: &str, limit: Option<&str>) -> String {
    let Some(limit) = limit else {
        return match keyword {
            "oneOf" => "must be one of the listed variants".to_owned(),
            other => format!("does not satisfy {other}"),
        };
    };
    let plural = if limit == "1" { "" } else { "s" };
    match keyword {
        "required" => format!("lacks the field \"{limit}\""),
        "type" => format!("must be of type {limit}"),
        "const" => format!("must be {limit}"),
        "enum" => format!("must be one of {limit}"),
        "pattern" => format!("must match {limit}"),
        "minLength" => format!("must have at least {limit} character{plural}"),
        "maxLength" => format!("must have at most {limit} character{plural}"),
        "minItems" => format!("must have at least {limit} item{plural}"),
        "maxItems" => format!("must have at most {limit} item{plural}"),
        "uniqueItems" => "must not name an item twice".to_owned(),
        "minimum" => format!("must be at least {limit}"),
        "maximum" => format!("must be at most {limit}"),
        "format" => format!("must be a {limit}"),
        other => format!("does not satisfy {other}"),
    }
}
