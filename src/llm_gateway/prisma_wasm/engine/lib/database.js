'use strict';

const pg = require('pg');
const { PrismaPg } = require('@prisma/adapter-pg');
const { bindAdapter } = require('@prisma/driver-adapter-utils');
const { Client } = require('./pg_client');
const { isOutage } = require('./errors');
const { readUrl } = require('./url');
const { log } = require('./log');

const NO_TLS_HERE = /does not support SSL/;
const TLS_WANTED = /no encryption|SSL off/;

async function connectedPool(settings, ssl) {
  const pool = new pg.Pool({ ...settings, ssl, Client });
  pool.on('error', (error) => log('WARN', `idle database connection lost: ${error.message}`));
  try {
    await pool.query('SELECT 1');
    return pool;
  } catch (error) {
    await pool.end();
    throw error;
  }
}

// The client waits ten seconds for a new engine and LiteLLM replaces the engine during an outage: an engine that
// gave up at once would cost another round when the database is back a moment later.
const LONGEST_PATIENCE_MS = 9000;
const RETRY_MS = 200;

/** Keep trying while the server is not there or starts up; any other refusal is final. */
async function connectPatiently(settings) {
  const patience = Math.min(settings.pool.connectionTimeoutMillis, LONGEST_PATIENCE_MS);
  const end = Date.now() + patience;
  for (;;) {
    try {
      return await firstThatConnects(settings);
    } catch (error) {
      if (!isOutage(error) || Date.now() + RETRY_MS > end) throw error;
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}

async function firstThatConnects({ pool: settings, tls }) {
  const [first, second] = tls;
  try {
    return await connectedPool(settings, first);
  } catch (error) {
    const other = first === false ? TLS_WANTED : NO_TLS_HERE;
    if (second === undefined || !other.test(error.message)) throw error;
    return connectedPool(settings, second);
  }
}

/**
 * Connect to the database and wrap the pool as Prisma's driver adapter.
 *
 * @param {string} url a Prisma database URL
 * @returns {Promise<{adapter: object, close: () => Promise<void>, connections: () => number, address: string}>}
 *   `connections` counts the open ones; `address` is host:port for error texts.
 * @throws the driver's error when `SELECT 1` fails, or keeps failing while the server is away
 */
async function openDatabase(url) {
  const settings = readUrl(url);
  const pool = await connectPatiently(settings);
  let open = pool.totalCount;
  pool.on('connect', () => { open += 1; });
  pool.on('remove', () => { open -= 1; });
  const factory = new PrismaPg(pool, {
    schema: settings.schema,
    onConnectionError: (error) => log('WARN', `database connection lost: ${error.message}`),
  });
  return {
    adapter: bindAdapter(await factory.connect()),
    close: () => pool.end(),
    connections: () => open,
    address: `${settings.pool.host}:${settings.pool.port}`,
  };
}

module.exports = { openDatabase };
