// Stands in for @asyncapi/parser and what comes with it (vite.config.ts): of all that, the component needs the models of
// a parsed document.

export { isAsyncAPIDocument, isStringifiedDocument, toAsyncAPIDocument } from "@asyncapi/parser/esm/document.js";
export { unstringify } from "@asyncapi/parser/esm/stringify.js";
export { Schema as SchemaV2 } from "@asyncapi/parser/esm/models/v2/schema.js";

export const isOldAsyncAPIDocument = (): boolean => false;
export { Parser, fromURL } from "./absent.js";
