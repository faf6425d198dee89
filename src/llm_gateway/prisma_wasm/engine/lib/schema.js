'use strict';

/**
 * What the engine has to know of a schema.prisma: the type of every model field (to find Json fields and
 * relations) and where the database's URL stands.
 */

const BLOCK = /^\s*(model|datasource)\s+(\w+)\s*\{([^]*?)^\s*\}/gm;
const FIELD = /^\s*(\w+)\s+(\w+)/;
const URL_LINE = /^\s*url\s*=\s*(?:env\(\s*"([^"]*)"\s*\)|"((?:[^"\\]|\\.)*)")/m;

function fieldTypes(body) {
  const types = new Map();
  for (const line of body.split('\n')) {
    const found = FIELD.exec(line.replace(/\/\/.*/, ''));
    if (found) types.set(found[1], found[2]);
  }
  return types;
}

/**
 * @param {string} text a schema.prisma
 * @returns {{models: Map<string, Map<string, string>>, url: {variable?: string, literal?: string}}}
 */
function readSchema(text) {
  const models = new Map();
  let url = {};
  for (const [, kind, name, body] of text.matchAll(BLOCK)) {
    if (kind === 'model') {
      models.set(name, fieldTypes(body));
    } else {
      const found = URL_LINE.exec(body);
      if (found) url = found[1] === undefined ? { literal: JSON.parse(`"${found[2]}"`) } : { variable: found[1] };
    }
  }
  return { models, url };
}

/** The database's URL: an override of the client's (read replica, fresh token) wins over the schema's. */
function databaseUrl(schema, environment) {
  if (environment.OVERWRITE_DATASOURCES) {
    const [override] = JSON.parse(environment.OVERWRITE_DATASOURCES);
    if (override?.url) return override.url;
  }
  const url = schema.url.literal ?? environment[schema.url.variable];
  if (!url) throw new Error(`the environment variable ${schema.url.variable ?? '(none)'} of the datasource is not set`);
  return url;
}

module.exports = { databaseUrl, readSchema };
