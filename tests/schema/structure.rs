//! typify reads the same bundle: the types that it finds, their fields, which of those are optional, the variants of
//! unions with their tags, and the values of enums must be what is generated here. It drops most constraints and says
//! nothing about those; the differential test does.

use std::collections::BTreeMap;

use quote::ToTokens;
use serde_json::{Value, json};
use syn::{Attribute, Fields, File, ImplItem, Item, Lit, Stmt};

use super::bundle::{folder, load};
use crate::codegen::model::{Model, Shape, Struct};

/// Field's wire name → whether it may be absent.
type FieldsByName = BTreeMap<String, bool>;

/// Tag's value → the variant's name and fields.
type VariantsByValue = BTreeMap<String, (String, FieldsByName)>;

/// Everything that is compared, as one generator wrote it.
#[derive(Default)]
struct Types {
    /// Structs with their fields.
    structs: BTreeMap<String, FieldsByName>,
    /// Tagged unions: the tag and the variants.
    unions: BTreeMap<String, (String, VariantsByValue)>,
    /// String enums: of each value the variant's name.
    enums: BTreeMap<String, BTreeMap<String, String>>,
}

#[test]
fn typify_finds_the_same_types() {
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
    let theirs = theirs(&syn::parse2(space.to_stream()).expect("Rust"));

    let out = tempfile::tempdir().expect("a folder");
    crate::codegen::generate(&folder(), out.path()).expect("schema/ generates");
    let source = std::fs::read_to_string(out.path().join("protocol.rs")).expect("it was written");
    let ours = ours(&syn::parse_file(&source).expect("Rust"));

    let mut compared = [0; 3];
    for (name, entry) in &model.types {
        match &entry.shape {
            // typify makes variants of these, and no structs of their own.
            Shape::Struct(object) if object.tag.is_some() => {}
            Shape::Struct(object) => {
                let mine = ours.structs.get(name).unwrap_or_else(|| panic!("{name} is not generated"));
                let other = theirs.structs.get(name).unwrap_or_else(|| panic!("typify has no {name}"));
                same_fields(&model, name, object, mine, other);
                compared[0] += 1;
            }
            Shape::Union { variants, .. } => {
                let (tag, mine) = ours.unions.get(name).unwrap_or_else(|| panic!("{name} is not generated"));
                let (other_tag, other) = theirs.unions.get(name).unwrap_or_else(|| panic!("typify has no {name}"));
                assert_eq!(tag, other_tag, "the tag of {name}");
                assert_eq!(names(mine), names(other), "the variants of {name}");
                for variant in variants {
                    let Shape::Struct(object) = &model.types[&variant.name].shape else { panic!("{}", variant.name) };
                    same_fields(&model, &variant.name, object, &mine[&variant.value].1, &other[&variant.value].1);
                }
                compared[1] += 1;
            }
            // Close codes are constants here; an enum that stands inline has another name there.
            Shape::Enum(_) if name == "CloseCode" || !entry.defined => {}
            Shape::Enum(_) => {
                assert_eq!(ours.enums.get(name), theirs.enums.get(name), "{name}");
                assert!(ours.enums.contains_key(name), "{name} is not generated");
                compared[2] += 1;
            }
            _ => {}
        }
    }
    println!("{compared:?} structs, unions, enums");
    let [structs, unions, enums] = compared;
    assert!(structs >= 40 && unions >= 5 && enums >= 12, "only {compared:?} structs, unions, enums were compared");
}

fn names(variants: &VariantsByValue) -> BTreeMap<&String, &String> {
    variants.iter().map(|(value, (name, _))| (value, name)).collect()
}

#[track_caller]
fn same_fields(model: &Model, name: &str, object: &Struct, mine: &FieldsByName, other: &FieldsByName) {
    let keys = |of: &FieldsByName| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(mine), keys(other), "the fields of {name}");
    for field in &object.fields {
        // A default fills in for absence, and a patch has a word for it, so neither is an `Option` here.
        let filled = field.default.is_some() || model.patch_of(&field.used).is_some();
        let absent = other[&field.wire];
        assert_eq!(mine[&field.wire], absent && !filled, "{name}.{} may be absent", field.wire);
        assert_eq!(field.required, !absent && field.default.is_none(), "{name}.{} is required", field.wire);
    }
}

/// What typify wrote: a union holds its variants' fields, and values are renamed variants.
fn theirs(file: &File) -> Types {
    let mut found = Types::default();
    for item in &file.items {
        match item {
            Item::Struct(item) => {
                found.structs.insert(item.ident.to_string(), fields(&item.fields));
            }
            Item::Enum(item) => {
                let variants = item.variants.iter().map(|variant| {
                    let name = variant.ident.to_string();
                    let value = said(&variant.attrs, "rename").unwrap_or_else(|| name.clone());
                    (value, (name, fields(&variant.fields)))
                });
                let name = item.ident.to_string();
                match said(&item.attrs, "tag") {
                    Some(tag) => drop(found.unions.insert(name, (tag, variants.collect()))),
                    None => {
                        let values = variants.map(|(value, (name, _))| (value, name));
                        found.enums.insert(name, values.collect());
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// What is generated here: a variant is a struct that knows its tag, and `as_str` knows the values.
fn ours(file: &File) -> Types {
    let mut found = Types::default();
    let mut tags = BTreeMap::new();
    for item in &file.items {
        match item {
            Item::Struct(item) => {
                let name = item.ident.to_string();
                if let (Some(tag), Some(value)) = (said(&item.attrs, "tag"), said(&item.attrs, "rename")) {
                    tags.insert(name.clone(), (tag, value));
                }
                found.structs.insert(name, fields(&item.fields));
            }
            Item::Impl(item) if item.trait_.is_none() => {
                let values = item.items.iter().find_map(|item| match item {
                    ImplItem::Fn(function) if function.sig.ident == "as_str" => values(&function.block.stmts),
                    _ => None,
                });
                if let Some(values) = values {
                    found.enums.insert(item.self_ty.to_token_stream().to_string(), values);
                }
            }
            _ => {}
        }
    }
    for item in &file.items {
        let Item::Enum(item) = item else { continue };
        let variants = item.variants.iter().filter_map(|variant| {
            let Fields::Unnamed(inner) = &variant.fields else { return None };
            let inner = inner.unnamed.first()?.ty.to_token_stream().to_string();
            let (tag, value) = tags.get(&inner)?;
            Some((tag.clone(), value.clone(), (variant.ident.to_string(), found.structs[&inner].clone())))
        });
        for (tag, value, variant) in variants.collect::<Vec<_>>() {
            let union = found.unions.entry(item.ident.to_string()).or_insert_with(|| (tag.clone(), BTreeMap::new()));
            assert_eq!(union.0, tag, "{} has two tags", item.ident);
            union.1.insert(value, variant);
        }
    }
    found
}

fn fields(fields: &Fields) -> FieldsByName {
    let fields = fields.iter().filter_map(|field| {
        let ident = field.ident.as_ref()?.to_string();
        let ident = ident.trim_start_matches("r#").trim_end_matches('_').to_owned();
        let optional = field.ty.to_token_stream().to_string().contains("Option <");
        Some((said(&field.attrs, "rename").unwrap_or(ident), optional))
    });
    fields.collect()
}

/// `match self { Self::A => "a" }` as `a` → `A`.
fn values(body: &[Stmt]) -> Option<BTreeMap<String, String>> {
    let [Stmt::Expr(syn::Expr::Match(matched), None)] = body else { return None };
    let values = matched.arms.iter().map(|arm| {
        let syn::Expr::Lit(syn::ExprLit { lit: Lit::Str(value), .. }) = &*arm.body else { return None };
        let name = arm.pat.to_token_stream().to_string();
        Some((value.value(), name.rsplit(' ').next()?.to_owned()))
    });
    values.collect()
}

/// What `#[serde(key = "…")]` says.
fn said(attributes: &[Attribute], key: &str) -> Option<String> {
    let start = format!("{key} = \"");
    let texts = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let text = texts.map(|attribute| attribute.to_token_stream().to_string()).find(|text| text.contains(&start))?;
    Some(text.split(&start).nth(1)?.split('"').next()?.to_owned())
}
