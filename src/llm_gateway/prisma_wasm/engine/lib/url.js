'use strict';

const fs = require('node:fs');

/**
 * A Prisma database URL as settings of a node-postgres pool.
 *
 * The parameters are Prisma's; their defaults too. `tls` is a list of attempts, as in libpq: `prefer` tries
 * with TLS first, `allow` without.
 */

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const APPLICATION = 'llm-gateway-prisma-engine';

function seconds(parameters, name, fallback) {
  const value = Number(parameters.get(name) ?? fallback);
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}

function certificates(parameters) {
  const file = (name) => {
    const value = parameters.get(name);
    return value && value !== 'system' ? fs.readFileSync(value) : undefined;
  };
  // For Prisma `sslcert` is the CA; with a key beside it, it is libpq's client certificate.
  const key = file('sslkey');
  const client = file('sslcert');
  const found = { ca: file('sslrootcert') ?? (key ? undefined : client), cert: key && client, key };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function tlsSettings(parameters, host) {
  const mode = parameters.get('sslmode');
  const strict = parameters.get('sslaccept') === 'strict' || mode === 'verify-full';
  const chainOnly = !strict && (mode === 'verify-ca' || (mode === 'require' && parameters.has('sslrootcert')));
  return {
    // Without `host` node compares the certificate of an IP address with "localhost".
    host,
    rejectUnauthorized: strict || chainOnly,
    ...(strict ? {} : { checkServerIdentity: () => undefined }),
    ...certificates(parameters),
  };
}

/** TLS settings to try in turn; false means without TLS. */
function tlsAttempts(parameters, host) {
  if (host.startsWith('/')) return [false];
  const mode = parameters.get('sslmode') ?? (LOOPBACK.has(host) ? 'allow' : 'prefer');
  if (mode === 'disable') return [false];
  const tls = tlsSettings(parameters, host);
  if (mode === 'prefer') return [tls, false];
  if (mode === 'allow') return [false, tls];
  return [tls];
}

function sessionOptions(parameters, schema) {
  // adapter-pg cuts the offset from timestamps and takes them for UTC.
  const options = ['-c TimeZone=UTC'];
  if (schema !== 'public') {
    const quoted = `"${schema.replaceAll('"', '""')}"`;
    options.push(`-c search_path=${quoted.replace(/[\\ ]/g, '\\$&')}`);
  }
  if (parameters.has('options')) options.push(parameters.get('options'));
  return options.join(' ');
}

/**
 * @param {string} text a postgres(ql):// URL
 * @returns {{pool: object, schema: string, tls: (object|false)[]}}
 */
function readUrl(text) {
  const url = new URL(text);
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw new Error(`not a PostgreSQL URL: ${url.protocol}//…`);
  const parameters = url.searchParams;
  const host = parameters.get('host') ?? decodeURIComponent(url.hostname.replace(/^\[|\]$/g, ''));
  const schema = parameters.get('schema') || 'public';
  const connectSeconds = Math.max(seconds(parameters, 'pool_timeout', 10), seconds(parameters, 'connect_timeout', 5));
  const socketTimeout = seconds(parameters, 'socket_timeout', 0);
  const pool = {
    host,
    port: Number(parameters.get('port') ?? (url.port || 5432)),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    max: Math.max(1, seconds(parameters, 'connection_limit', 10)),
    connectionTimeoutMillis: connectSeconds * 1000,
    idleTimeoutMillis: seconds(parameters, 'max_idle_connection_lifetime', 300) * 1000,
    maxLifetimeSeconds: seconds(parameters, 'max_connection_lifetime', 0),
    ...(socketTimeout > 0 ? { query_timeout: socketTimeout * 1000 } : {}),
    application_name: parameters.get('application_name') ?? APPLICATION,
    options: sessionOptions(parameters, schema),
    keepAlive: true,
  };
  return { pool, schema, tls: tlsAttempts(parameters, host) };
}

module.exports = { readUrl };
