//! From the schemas to the code: [`catalogue`] reads them, [`profile`] refuses what the rest could not express,
//! [`bundle`] puts them into one document, [`model`] says what each definition is, and one emitter for each
//! artifact writes it. Runs in `build.rs`, and in its own tests; never linked into the server.

pub mod asyncapi;
pub mod bundle;
pub mod catalogue;
pub mod catalogue_document;
pub mod example;
pub mod fault;
pub mod model;
pub mod openapi;
pub mod openapi30;
pub mod profile;
pub mod publish;
pub mod rust;
pub mod typescript;

use std::{fs, path::Path};

use asyncapi::Side;
use fault::{Fault, Faults};

/// Generates everything from the schemas in `schema` into the folder `out`.
pub fn generate(schema: &Path, out: &Path) -> Result<(), Faults> {
    let files = catalogue::read_files(schema)?;
    profile::check(&files)?;
    let bundle = bundle::bundle(&files)?;
    let catalogue = catalogue::Catalogue::new(&files)?;
    let model = model::Model::new(&bundle)?;
    let published = publish::Published::new(&files, &bundle, &catalogue);
    let openapi = openapi::openapi(&published);
    for (name, text) in [
        ("protocol.rs", rust::protocol(&model, &catalogue)),
        ("validators.rs", rust::validators(&bundle, &catalogue)),
        ("routes.rs", rust::routes(&model, &catalogue)),
        ("schemas.rs", rust::schemas(&published)),
        ("schema-bundle.json", publish::pretty(&published.bundle())),
        ("openapi.json", publish::pretty(&openapi)),
        ("openapi-3.0.json", publish::pretty(&openapi30::openapi30(&openapi))),
        ("asyncapi.json", publish::pretty(&asyncapi::asyncapi(&published, Side::Server))),
        ("asyncapi-client.json", publish::pretty(&asyncapi::asyncapi(&published, Side::Client))),
        ("protocol.ts", typescript::protocol(&model, &published)),
        ("routes.ts", typescript::routes(&model, &published)),
        ("schemas.ts", typescript::schemas(&published)),
        ("catalogue.json", publish::pretty(&catalogue_document::catalogue_document(&published))),
    ] {
        fs::write(out.join(name), text)
            .map_err(|error| Fault::new(name, "", format!("cannot be written: {error}"), ""))?;
    }
    Ok(())
}
