//! `schemars::JsonSchema` for the generated types: the schema as it is published, not one guessed from the Rust type, so
//! that who embeds a type of the protocol in a documented type of their own gets every constraint.

use std::sync::LazyLock;

use schemars::Schema;
use serde_json::Value;

use super::schemas;

/// The published schema of the definition `name`; `known` are the references of its inner types, as the generator
/// writes them. What has no type of its own stands inline.
pub(crate) fn schema(name: &str, known: &[(&str, Schema)]) -> Schema {
    resolved(name, known).try_into().unwrap_or_default()
}

fn resolved(name: &str, known: &[(&str, Schema)]) -> Value {
    static BUNDLE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(schemas::BUNDLE).unwrap_or_default());
    let mut schema = BUNDLE["$defs"][name].clone();
    resolve(&mut schema, known);
    schema
}

/// Replaces every `$ref`; what stands beside one counts more than what it refers to. No definition holds itself.
fn resolve(schema: &mut Value, known: &[(&str, Schema)]) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(|inner| resolve(inner, known));
            let Some(Value::String(to)) = fields.remove("$ref") else { return };
            let name = to.trim_start_matches("#/$defs/");
            let target = match known.iter().find(|(other, _)| *other == name) {
                Some((_, reference)) => reference.clone().to_value(),
                None => resolved(name, known),
            };
            let Value::Object(target) = target else { return };
            for (key, value) in target {
                fields.entry(key).or_insert(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| resolve(inner, known)),
        _ => {}
    }
}

/// Implements `JsonSchema` for a generated type, given the types that its definition refers to.
macro_rules! json_schema {
    ($name:ident $(, $inner:ident)*) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                concat!("agent_world::protocol::", stringify!($name)).into()
            }

            fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let known = [$((stringify!($inner), _generator.subschema_for::<$inner>())),*];
                $crate::protocol::json_schema::schema(stringify!($name), &known)
            }
        }
    };
}

pub(crate) use json_schema;

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};
    use serde_json::Value;

    use super::*;
    use crate::protocol::*;

    /// Every reference followed, so that it does not matter where definitions stand.
    fn expanded(root: &Value, schema: &Value) -> Value {
        match schema {
            Value::Object(fields) => {
                let target = fields
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(|to| expanded(root, root.pointer(to.trim_start_matches('#')).expect("it leads somewhere")));
                let mut out =
                    target.map_or_else(Default::default, |target| target.as_object().expect("a schema").clone());
                for (key, value) in
                    fields.iter().filter(|(key, _)| !matches!(key.as_str(), "$ref" | "$defs" | "$schema"))
                {
                    out.insert(key.clone(), expanded(root, value));
                }
                Value::Object(out)
            }
            Value::Array(items) => items.iter().map(|item| expanded(root, item)).collect(),
            other => other.clone(),
        }
    }

    /// The name of `T`, after its schema was compared with the published one.
    fn compared<T: JsonSchema>() -> String {
        let bundle: Value = serde_json::from_str(schemas::BUNDLE).expect("JSON");
        let (name, ours) = (T::schema_name().into_owned(), schema_for!(T).to_value());
        assert_eq!(expanded(&ours, &ours), expanded(&bundle, &bundle["$defs"][&name]), "{name}");
        name
    }

    #[test]
    fn every_message_has_its_published_schema() {
        let names = [
            compared::<AgentUpdate>(),
            compared::<ChatCancel>(),
            compared::<ChatRetry>(),
            compared::<ChatSend>(),
            compared::<EventSubscribe>(),
            compared::<EventUnsubscribe>(),
            compared::<Ping>(),
            compared::<WorldReload>(),
            compared::<WorldSelect>(),
            compared::<AgentUpdated>(),
            compared::<ChatResponse>(),
            compared::<ErrorInfo>(),
            compared::<EventStream>(),
            compared::<Pong>(),
            compared::<Status>(),
            compared::<WorldReloaded>(),
            compared::<WorldSelected>(),
        ];
        assert_eq!(names.len(), MESSAGES.len(), "a message is missing here");
    }

    #[test]
    fn a_type_of_ones_own_can_hold_one_of_ours() {
        struct Ticket;
        impl JsonSchema for Ticket {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Ticket".into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
                let agent = generator.subschema_for::<AgentName>();
                schemars::json_schema!({"type": "object", "properties": {"agent": agent}})
            }
        }
        let schema = schema_for!(Ticket).to_value();
        assert_eq!(schema["properties"]["agent"]["$ref"], "#/$defs/AgentName");
        assert!(schema["$defs"]["AgentName"]["pattern"].is_string(), "{schema}");
    }
}
