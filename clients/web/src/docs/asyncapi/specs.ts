// Stands in for @asyncapi/specs: of the schemas of every version, the models need the names of the versions.

export default { schemas: { "3.0.0": {} } };
