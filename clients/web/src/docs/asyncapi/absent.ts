// Stands in for packages that only the parser would use. Whoever calls one of these finds out.

const absent = (name: string) => () => {
  throw new Error(`${name} is not part of these documents`);
};

export const Parser = absent("Parser");
export const fromURL = absent("fromURL");
export const OpenAPISchemaParser = absent("OpenAPISchemaParser");
export const AvroSchemaParser = absent("AvroSchemaParser");
export const ProtoBuffSchemaParser = absent("ProtoBuffSchemaParser");
export class Document {}
export const DiagnosticSeverity = {};
