'use strict';

/**
 * GraphQL parsed the strings of Json fields; the JSON protocol would store them as JSON strings. So every
 * string below a Json field is tagged as JSON text.
 *
 * What a key means depends on where it stands: `data` is an argument of createOne, and LiteLLM_Lens also has a
 * Json field of that name. So the walk knows three places: the arguments of a query, the fields of a model, and
 * the operations on a relation.
 */

// Arguments that hold fields of the model; the others (take, orderBy, distinct, …) never hold JSON text.
const ARGUMENTS = new Set(['create', 'cursor', 'data', 'having', 'update', 'where']);
const LOGIC = new Set(['AND', 'NOT', 'OR']);
// Below a relation: these hold fields of the related model …
const OF_FIELDS = new Set([
  'connect', 'create', 'delete', 'deleteMany', 'disconnect', 'every', 'is', 'isNot', 'none', 'set', 'some',
]);
// … and these hold arguments.
const OF_ARGUMENTS = new Set(['connectOrCreate', 'createMany', 'updateMany', 'upsert']);
// Filters on Json fields that hold plain strings.
const PLAIN_FILTERS = new Set(['mode', 'path', 'string_contains', 'string_ends_with', 'string_starts_with']);

const isObject = (value) => value !== null && typeof value === 'object' && typeof value.$type !== 'string';

/** Apply `change(key, value)` to every entry of an object, or of the objects in a list. */
function mapEntries(value, change) {
  if (Array.isArray(value)) return value.map((item) => mapEntries(item, change));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(key, item)]));
}

function tagJson(value) {
  if (typeof value === 'string') return { $type: 'Json', value };
  if (Array.isArray(value)) return value.map(tagJson);
  return mapEntries(value, (key, item) => (PLAIN_FILTERS.has(key) ? item : tagJson(item)));
}

class Tagger {
  /** @param {Map<string, Map<string, string>>} models of readSchema */
  constructor(models) {
    this.models = models;
  }

  arguments(args, model) {
    return mapEntries(args, (key, value) => (ARGUMENTS.has(key) ? this.#fields(value, model) : value));
  }

  /** `include: {relation: {where: …}}` arrives as arguments inside the selection. */
  selection(selection, model) {
    return mapEntries(selection, (key, value) => {
      if (value === true) return true;
      const related = this.models.get(model)?.get(key);
      return {
        arguments: this.arguments(value.arguments, related),
        selection: this.selection(value.selection, related),
      };
    });
  }

  #fields(value, model) {
    return mapEntries(value, (key, item) => {
      const type = this.models.get(model)?.get(key);
      if (type === 'Json') return tagJson(item);
      if (this.models.has(type)) return this.#relation(item, type);
      return type === undefined && LOGIC.has(key) ? this.#fields(item, model) : item;
    });
  }

  #relation(value, model) {
    return mapEntries(value, (key, item) => {
      if (OF_FIELDS.has(key)) return this.#fields(item, model);
      if (OF_ARGUMENTS.has(key)) return this.arguments(item, model);
      if (key === 'update') return this.#update(item, model);
      // A filter may name fields of the related model directly.
      return this.#fields({ [key]: item }, model)[key];
    });
  }

  /** A list relation is updated with {where, data}, a single one with its fields or with {data}. */
  #update(value, model) {
    if (Array.isArray(value)) return value.map((item) => this.#update(item, model));
    const keys = isObject(value) ? Object.keys(value) : [];
    const wraps = isObject(value?.data) && keys.every((key) => key === 'data' || key === 'where');
    return wraps ? this.arguments(value, model) : this.#fields(value, model);
  }
}

module.exports = { Tagger };
