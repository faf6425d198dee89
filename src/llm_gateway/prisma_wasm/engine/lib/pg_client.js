'use strict';

const pg = require('pg');

/**
 * adapter-pg refuses result columns of types it does not know (OIDs below 16384). For these types the text
 * that PostgreSQL sends is what a person expects, so the client announces them as text.
 * A new unknown type shows up as P2010 "Unsupported column type": add its OID here.
 */

const TEXT = 25;
const TEXT_ARRAY = 1009;
const READ_AS = new Map([
  [18, TEXT], // "char"
  [19, TEXT], // name
  [22, TEXT], // int2vector
  [24, TEXT], // regproc
  [30, TEXT], // oidvector
  [705, TEXT], // unknown
  [1003, TEXT_ARRAY], // name[]: LiteLLM's view check runs array_agg(viewname)
  [1186, TEXT], // interval
  [2205, TEXT], // regclass
  [2206, TEXT], // regtype
  [2278, TEXT], // void
  [3220, TEXT], // pg_lsn
  [3614, TEXT], // tsvector
  [3615, TEXT], // tsquery
  [4089, TEXT], // regnamespace
]);

function readable(oid) {
  return READ_AS.get(oid) ?? oid;
}

function withReadableTypes(config) {
  const lookup = config.types?.getTypeParser;
  if (!lookup) return config;
  return { ...config, types: { getTypeParser: (oid, format) => lookup(readable(oid), format) } };
}

function relabel(result) {
  for (const field of result?.fields ?? []) field.dataTypeID = readable(field.dataTypeID);
  return result;
}

class Client extends pg.Client {
  query(config, values, callback) {
    if (config === null || typeof config !== 'object' || typeof config.text !== 'string') {
      return super.query(config, values, callback);
    }
    const readableConfig = withReadableTypes(config);
    if (typeof callback === 'function') {
      return super.query(readableConfig, values, (error, result) => callback(error, relabel(result)));
    }
    return super.query(readableConfig, values).then(relabel);
  }
}

module.exports = { Client };
