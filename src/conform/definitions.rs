//! [`Definitions`]: the definitions of a schema for files that people write, each as a validator of its own, so that what
//! is wrong is said of the part where it stands.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Value, json};

pub struct Definitions(BTreeMap<String, Validator>);

impl Definitions {
    /// Those under `$defs` of `schema`. What is no schema has none, which its tests find out.
    pub fn of(schema: &str) -> Self {
        let schema: Value = serde_json::from_str(schema).unwrap_or_default();
        let names: Vec<_> = schema["$defs"].as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
        let build = |name: String| {
            let root =
                json!({"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": format!("#/$defs/{name}")});
            Some((name, jsonschema::options().offline().build(&root).ok()?))
        };
        Self(names.into_iter().filter_map(build).collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Holds `value`, which stands at `at`, against one of them.
    pub fn check(&self, definition: &str, value: &Value, at: &str) -> Result<(), String> {
        let Some(validator) = self.0.get(definition) else { return Err(format!("{at}: no definition {definition}")) };
        match validator.iter_errors(value).next() {
            None => Ok(()),
            Some(error) => Err(format!("{at}{}: {error}", error.instance_path())),
        }
    }
}
