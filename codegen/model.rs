//! What each definition is: the eight or so shapes of the profile, free of JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    bundle::Bundle,
    catalogue::{entries, strings, text},
    fault::{Fault, Faults},
};

/// Every type by name. Variants of unions and inline enums have entries of their own.
#[derive(Default)]
pub struct Model {
    pub types: BTreeMap<String, Type>,
}

pub struct Type {
    pub description: String,
    /// It has a definition of its own: an inline enum has not.
    pub defined: bool,
    pub shape: Shape,
}

pub enum Shape {
    Text {
        min: Option<u64>,
        max: Option<u64>,
        pattern: Option<String>,
        /// It is not to be seen in a log.
        secret: bool,
    },
    /// Written by the server only.
    Uuid,
    DateTime,
    Enum(Vec<String>),
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: Option<f64>,
        max: Option<f64>,
    },
    List {
        item: Use,
        min: u64,
        max: u64,
        unique: bool,
    },
    Struct(Struct),
    Union {
        tag: String,
        variants: Vec<Variant>,
    },
    /// Null, or the named type.
    Patch(Use),
    Free,
    /// Server frames of these types.
    Frames,
}

pub struct Struct {
    /// Of a variant: the tag and its value.
    pub tag: Option<(String, String)>,
    pub fields: Vec<Field>,
}

pub struct Field {
    pub wire: String,
    pub description: String,
    pub used: Use,
    pub required: bool,
    pub default: Option<Value>,
}

/// When a field is in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is required, or has a default.
    Always,
    /// An `Option`.
    Optional,
    /// A `Patch`: it may be null, too.
    Patch,
}

pub struct Variant {
    pub value: String,
    /// The name of the variant's struct.
    pub name: String,
    pub description: String,
}

/// A type where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    Named(String),
    String,
    Bool,
    /// Nothing but `true`.
    True,
}

impl Shape {
    /// The names that it refers to.
    pub fn uses(&self) -> Vec<&str> {
        fn named(used: &Use) -> Option<&str> {
            if let Use::Named(name) = used { Some(name) } else { None }
        }
        match self {
            Self::List { item, .. } | Self::Patch(item) => named(item).into_iter().collect(),
            Self::Struct(object) => object.fields.iter().filter_map(|field| named(&field.used)).collect(),
            Self::Union { variants, .. } => variants.iter().map(|variant| variant.name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it becomes a Rust type of its own. The others are aliases.
    pub fn is_type(&self) -> bool {
        !matches!(self, Self::Uuid | Self::Patch(_) | Self::Free | Self::Frames)
    }
}

impl Model {
    pub fn new(bundle: &Bundle) -> Result<Self, Faults> {
        let mut model = Self::default();
        let mut faults = Faults::default();
        for (name, definition) in &bundle.definitions {
            let fault = |rule: String| Fault::new(definition.file.as_str(), definition.pointer.as_str(), rule, "");
            match model.shape(name, &definition.schema) {
                Ok(shape) => {
                    if let Err(rule) = model.insert(name, text(&definition.schema, "description"), shape, true) {
                        faults.0.push(fault(rule));
                    }
                }
                Err(rule) => faults.0.push(fault(rule)),
            }
        }
        faults.or(model)
    }

    /// What a use of a named definition really is in a field: a nullable one is a `Patch` of its target.
    pub fn patch_of(&self, used: &Use) -> Option<&Use> {
        let Use::Named(name) = used else { return None };
        match &self.types.get(name)?.shape {
            Shape::Patch(inner) => Some(inner),
            _ => None,
        }
    }

    pub fn presence(&self, field: &Field) -> Presence {
        if field.required || field.default.is_some() {
            Presence::Always
        } else if self.patch_of(&field.used).is_some() {
            Presence::Patch
        } else {
            Presence::Optional
        }
    }

    fn insert(&mut self, name: &str, description: &str, shape: Shape, defined: bool) -> Result<(), String> {
        let entry = Type { description: description.to_owned(), defined, shape };
        match self.types.insert(name.to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(format!("the name {name} is given twice")),
        }
    }

    fn shape(&mut self, name: &str, schema: &Value) -> Result<Shape, String> {
        if schema.get("x-frames").is_some() {
            return Ok(Shape::Frames);
        }
        if schema.get("anyOf").is_some() {
            return Ok(Shape::Patch(self.used(name, "", &schema["anyOf"][0])?));
        }
        if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
            return self.union(variants);
        }
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let limit = |key: &str| schema.get(key).and_then(Value::as_i64).ok_or_else(|| format!("{key} is no integer"));
        Ok(match text(schema, "type") {
            "string" if schema.get("enum").is_some() => Shape::Enum(strings(schema.get("enum"))),
            "string" if schema.get("const").is_some() => Shape::Enum(vec![text(schema, "const").to_owned()]),
            "string" => match text(schema, "format") {
                "uuid" => Shape::Uuid,
                "date-time" => Shape::DateTime,
                _ => Shape::Text {
                    min: count("minLength"),
                    max: count("maxLength"),
                    pattern: schema.get("pattern").and_then(Value::as_str).map(str::to_owned),
                    secret: schema.get("x-secret").is_some(),
                },
            },
            "integer" => Shape::Integer { min: limit("minimum")?, max: limit("maximum")? },
            "number" => Shape::Number { min: number("minimum"), max: number("maximum") },
            "array" => Shape::List {
                item: self.used(name, "Item", &schema["items"])?,
                min: count("minItems").unwrap_or(0),
                max: count("maxItems").unwrap_or(u64::from(u32::MAX)),
                unique: schema.get("uniqueItems") == Some(&Value::Bool(true)),
            },
            "object" if schema.get("properties").is_none() => Shape::Free,
            "object" => Shape::Struct(Struct { tag: None, fields: self.fields(name, schema, None)? }),
            other => return Err(format!("{name} is of no known shape (type {other:?})")),
        })
    }

    fn union(&mut self, schemas: &[Value]) -> Result<Shape, String> {
        let tag = ["type", "action"]
            .into_iter()
            .find(|tag| schemas.iter().all(|schema| schema["properties"][tag].get("const").is_some()))
            .ok_or("the variants share no tag")?;
        let mut variants = Vec::new();
        for schema in schemas {
            let name = text(schema, "title").to_owned();
            let description = text(schema, "description").to_owned();
            let value = text(&schema["properties"][tag], "const").to_owned();
            let fields = self.fields(&name, schema, Some(tag))?;
            self.insert(
                &name,
                &description,
                Shape::Struct(Struct { tag: Some((tag.to_owned(), value.clone())), fields }),
                true,
            )?;
            variants.push(Variant { value, name, description });
        }
        Ok(Shape::Union { tag: tag.to_owned(), variants })
    }

    fn fields(&mut self, name: &str, schema: &Value, tag: Option<&str>) -> Result<Vec<Field>, String> {
        let required = strings(schema.get("required"));
        entries(schema.get("properties"))
            .filter(|(wire, _)| Some(wire.as_str()) != tag)
            .map(|(wire, property)| {
                Ok(Field {
                    wire: wire.clone(),
                    description: text(property, "description").to_owned(),
                    used: self.used(name, &pascal(wire), property)?,
                    required: required.contains(wire),
                    default: property.get("default").cloned(),
                })
            })
            .collect()
    }

    /// An inline enum or constant becomes a type that is called after its owner and field.
    fn used(&mut self, owner: &str, field: &str, schema: &Value) -> Result<Use, String> {
        if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            return Ok(Use::Named(to.trim_start_matches("#/$defs/").to_owned()));
        }
        match (text(schema, "type"), schema.get("const"), schema.get("enum")) {
            ("boolean", None, None) => Ok(Use::Bool),
            ("boolean", Some(Value::Bool(true)), None) => Ok(Use::True),
            ("string", None, None) => Ok(Use::String),
            ("string", ..) => {
                let name = format!("{owner}{field}");
                let shape = self.shape(&name, schema)?;
                self.insert(&name, text(schema, "description"), shape, false)?;
                Ok(Use::Named(name))
            }
            _ => Err(format!("{owner}.{field} needs a definition of its own")),
        }
    }
}

/// `message_accepted`, `world-created`, `baseUrl`, `INVALID_MESSAGE` → `MessageAccepted`, `WorldCreated`, …
pub fn pascal(wire: &str) -> String {
    let shouting = wire.chars().all(|c| !c.is_ascii_lowercase());
    let mut out = String::new();
    for word in wire.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.extend(chars.map(|c| if shouting { c.to_ascii_lowercase() } else { c }));
    }
    out
}

/// `lastLLMCall` → `last_llm_call`, `Idempotency-Key` → `idempotency_key`.
pub fn snake(wire: &str) -> String {
    let chars: Vec<char> = wire.chars().collect();
    let mut out = String::new();
    for (at, c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            out.push('_');
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let ends_word = before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let ends_acronym =
            before.is_some_and(char::is_ascii_uppercase) && chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (ends_word || ends_acronym) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
