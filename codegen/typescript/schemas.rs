//! `schemas.ts`: the published schemas, for those who want to validate what arrives.

use super::{
    super::publish::{Published, pretty},
    HEADER, docs, key, quoted,
};

pub fn schemas(published: &Published) -> String {
    let frames: String = published
        .frames
        .iter()
        .filter(|frame| published.catalogue.server.iter().any(|message| message.wire == frame.message.wire))
        .map(|frame| format!("  {}: {},\n", key(&frame.wire()), quoted(&frame.name)))
        .collect();
    format!(
        "{HEADER}\n{}export const BUNDLE: Readonly<Record<string, unknown>> = {};\n\n{}export const FRAMES: Readonly<Record<string, string>> = {{\n{frames}}};\n",
        docs("", "Every message, body and definition in one JSON Schema (2020-12), under `$defs`."),
        pretty(&published.bundle()).trim_end(),
        docs(
            "",
            "The definition of each server frame: by type, or by type and variant where the payload has variants."
        ),
    )
}
