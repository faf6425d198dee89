'use strict';

const fs = require('node:fs');
const path = require('node:path');

/** DateTime, BigInt, Decimal, Bytes and Json arrive as {$type, value}; the client wants the bare value. */
function untag(value) {
  if (Array.isArray(value)) return value.map(untag);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$type === 'string') return value.value;
  for (const key of Object.keys(value)) value[key] = untag(value[key]);
  return value;
}

const ARRAY_TYPE = /-array$/;

function wrap(type, value) {
  if (value === null) return { prisma__type: 'null', prisma__value: null };
  if (!ARRAY_TYPE.test(type)) return { prisma__type: type, prisma__value: value };
  const element = type.replace(ARRAY_TYPE, '');
  return { prisma__type: 'array', prisma__value: value.map((item) => wrap(element, item)) };
}

/** Rows of raw queries as prisma-client-py before 0.14 reads them: every value carries its type. */
function wrapRows({ columns, types, rows }) {
  return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, wrap(types[i], row[i])])));
}

/**
 * Whether the client wants wrapped rows. Its version stands in the dist-info directory beside the package:
 * <site-packages>/prisma/schema.prisma, <site-packages>/prisma-0.11.0.dist-info.
 */
function wantsWrappedRows(schemaPath) {
  const sitePackages = path.dirname(path.dirname(schemaPath));
  for (const name of fs.readdirSync(sitePackages)) {
    const found = /^prisma-(\d+)\.(\d+)[.\d]*\.dist-info$/.exec(name);
    if (found) return Number(found[1]) === 0 && Number(found[2]) < 14;
  }
  return true;
}

/** @returns {(data: object) => {data: {result: unknown}}} from the engine's `data` to the client's answer */
function resultReader(wrapped) {
  return (data) => {
    const [key] = Object.keys(data);
    const value = data[key];
    if (key !== 'queryRaw') return { data: { result: untag(value) } };
    return { data: { result: wrapped ? wrapRows(value) : value } };
  };
}

module.exports = { resultReader, untag, wantsWrappedRows, wrapRows };
