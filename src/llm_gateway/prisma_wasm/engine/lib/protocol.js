'use strict';

const { parseQuery, QueryTextError } = require('./graphql');
const { Tagger } = require('./tagging');

const RAW = new Set(['queryRaw', 'executeRaw']);
const FIELD = new RegExp(
  '^(findUnique|findFirst|findMany|createOne|createMany|updateOne|updateMany|upsertOne|deleteOne|deleteMany|' +
    'aggregate|groupBy)(.+)$',
);
const OR_THROW = 'OrThrow';

function splitField(field, models) {
  const found = FIELD.exec(field);
  if (!found) throw new QueryTextError(`the field ${field} is not known`);
  const [, action, name] = found;
  if (models.has(name)) return { action, modelName: name };
  const short = name.slice(0, -OR_THROW.length);
  if (name.endsWith(OR_THROW) && models.has(short)) return { action: action + OR_THROW, modelName: short };
  throw new QueryTextError(`the model ${name} is not in the schema`);
}

/**
 * One GraphQL query of the client as one query of Prisma's JSON protocol.
 *
 * @param {string} text the GraphQL query
 * @param {Map<string, Map<string, string>>} models of readSchema
 * @throws {QueryTextError}
 */
function toJsonProtocol(text, models) {
  const { field, arguments: args, selection } = parseQuery(text);
  // A raw query's parameters are a string that contains JSON; the engine decodes it.
  if (RAW.has(field)) return { action: field, query: { arguments: args, selection: {} } };
  const { action, modelName } = splitField(field, models);
  const tagger = new Tagger(models);
  return {
    modelName,
    action,
    query: {
      arguments: tagger.arguments(args, modelName),
      selection: tagger.selection(selection, modelName),
    },
  };
}

module.exports = { toJsonProtocol };
