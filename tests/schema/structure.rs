//! typify reads the same bundle: the types that it finds, their fields, and which of those are optional, must be what is
//! generated here. It drops most constraints and says nothing about those; the differential test does.

use std::{collections::BTreeMap, path::Path};

use quote::ToTokens;
use serde_json::{Value, json};

use super::bundle::{folder, load};
use crate::codegen::model::{Model, Shape};

/// Struct → field's wire name → whether it may be absent.
type Structs = BTreeMap<String, BTreeMap<String, bool>>;

#[test]
fn typify_finds_the_same_structs() {
    let (_, bundle, _) = load();
    let model = Model::new(&bundle).expect("a model");
    let definitions: serde_json::Map<String, Value> = model
        .types
        .iter()
        .filter_map(|(name, entry)| match entry.shape {
            // Whole frames are kept as text here, so there is nothing to compare.
            Shape::Frames => Some((name.clone(), json!({"type": "object"}))),
            _ => Some((name.clone(), bundle.definitions.get(name)?.schema.clone())),
        })
        .collect();
    let root = json!({"$defs": definitions});
    let root: typify_schemars::schema::RootSchema = serde_json::from_value(root).expect("a schema");
    let mut space = typify_impl::TypeSpace::new(&typify_impl::TypeSpaceSettings::default());
    space.add_root_schema(root).expect("typify reads the bundle");
    let theirs = structs(&syn::parse2(space.to_stream()).expect("Rust"));

    let out = tempfile::tempdir().expect("a folder");
    crate::codegen::generate(&folder(), out.path()).expect("schema/ generates");
    let ours = parse(&out.path().join("protocol.rs"));

    let mut compared = 0;
    for (name, entry) in &model.types {
        let Shape::Struct(object) = &entry.shape else { continue };
        let mine = ours.get(name).unwrap_or_else(|| panic!("{name} is not generated"));
        if object.tag.is_some() {
            // typify makes a variant of it, and no struct of its own.
            continue;
        }
        let other = theirs.get(name).unwrap_or_else(|| panic!("typify has no {name}"));
        let fields = |of: &BTreeMap<String, bool>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(mine), fields(other), "the fields of {name}");
        for field in &object.fields {
            // A default fills in for absence, and a patch has a word for it, so neither is an `Option` here.
            let filled = field.default.is_some() || model.patch_of(&field.used).is_some();
            let optional = other[&field.wire] && !filled;
            assert_eq!(mine[&field.wire], optional, "{name}.{} may be absent", field.wire);
            assert_eq!(
                field.required,
                !other[&field.wire] && field.default.is_none(),
                "{name}.{} is required",
                field.wire
            );
        }
        compared += 1;
    }
    println!("{compared} structs");
    assert!(compared >= 40, "only {compared} structs were compared");
}

fn parse(file: &Path) -> Structs {
    structs(&syn::parse_file(&std::fs::read_to_string(file).expect("it was written")).expect("Rust"))
}

fn structs(file: &syn::File) -> Structs {
    let mut found = Structs::new();
    for item in &file.items {
        let syn::Item::Struct(item) = item else { continue };
        let syn::Fields::Named(fields) = &item.fields else { continue };
        let fields = fields.named.iter().map(|field| {
            let ident = field.ident.as_ref().expect("a name").to_string();
            let ident = ident.trim_start_matches("r#").trim_end_matches('_').to_owned();
            let optional = field.ty.to_token_stream().to_string().contains("Option <");
            (wire(&field.attrs).unwrap_or(ident), optional)
        });
        found.insert(item.ident.to_string(), fields.collect());
    }
    found
}

/// What `#[serde(rename = "…")]` says.
fn wire(attributes: &[syn::Attribute]) -> Option<String> {
    let text = attributes
        .iter()
        .map(|attribute| attribute.to_token_stream().to_string())
        .find(|text| text.contains("rename ="))?;
    Some(text.split("rename = \"").nth(1)?.split('"').next()?.to_owned())
}
