'use strict';

/**
 * GraphQL parsed the strings of Json fields; the JSON protocol would store them as JSON strings. So every
 * string below a Json field is tagged as JSON text. The walk follows relations, because the type of a key
 * depends on the model it belongs to.
 */

// Below these keys stand plain strings or enums, whatever the field.
const PLAIN = new Set([
  'by', 'distinct', 'mode', 'orderBy', 'path', 'string_contains', 'string_ends_with', 'string_starts_with',
]);

function tagValue(models, value, model, insideJson) {
  if (typeof value === 'string') return insideJson ? { $type: 'Json', value } : value;
  if (Array.isArray(value)) return value.map((item) => tagValue(models, item, model, insideJson));
  if (value === null || typeof value !== 'object' || typeof value.$type === 'string') return value;
  return tagArguments(models, value, model, insideJson);
}

function tagArguments(models, args, model, insideJson = false) {
  const tagged = [];
  for (const [key, value] of Object.entries(args)) {
    const type = insideJson ? undefined : models.get(model)?.get(key);
    if (type === undefined && PLAIN.has(key)) tagged.push([key, value]);
    else if (models.has(type)) tagged.push([key, tagValue(models, value, type, false)]);
    else tagged.push([key, tagValue(models, value, model, insideJson || type === 'Json')]);
  }
  return Object.fromEntries(tagged);
}

/** `include: {relation: {where: …}}` arrives as arguments inside the selection. */
function tagSelection(models, selection, model) {
  const tagged = [];
  for (const [key, value] of Object.entries(selection)) {
    if (value === true) {
      tagged.push([key, true]);
      continue;
    }
    const type = models.get(model)?.get(key);
    const next = models.has(type) ? type : model;
    tagged.push([key, {
      arguments: tagArguments(models, value.arguments, next),
      selection: tagSelection(models, value.selection, next),
    }]);
  }
  return Object.fromEntries(tagged);
}

module.exports = { tagArguments, tagSelection };
