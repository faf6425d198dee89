'use strict';

/**
 * The engine's failures as prisma-client-py reads them:
 *
 *   {error: TEXT, user_facing_error: {is_panic: false, error_code: "P…", message: TEXT, meta: {…}}}
 *
 * `meta` is always an object: the client reads a field of it without asking.
 */

const DRIVER_THREW = 'P2036';
const CONNECTION_LOST = /ECONN|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT|EPIPE|terminated|Client has encountered a connection/;
const POOL_TIMEOUT = /timeout exceeded when trying to connect/;
const NOT_REACHABLE = /Database not reachable|Can't reach database server|Server has closed the connection/;
// PostgreSQL shuts down, crashed, or is not up yet.
const SERVER_GONE = new Set(['57P01', '57P02', '57P03']);

/** @param {Error} error of the driver */
function isOutage(error) {
  return SERVER_GONE.has(error?.code) || CONNECTION_LOST.test(`${error?.code} ${error?.message}`);
}

function clientError(code, message, { meta = {}, error = message, index } = {}) {
  const element = { error, user_facing_error: { is_panic: false, error_code: code, message, meta } };
  if (index !== undefined) element.user_facing_error.batch_request_idx = index;
  return element;
}

class ErrorReader {
  /** @param {{adapter: object, connections: () => number, address: string}} database of openDatabase */
  constructor(database) {
    this.database = database;
  }

  /** @param {object} failure an element of the engine's `errors` */
  fromEngine(failure) {
    const known = failure.user_facing_error ?? {};
    const { error_code: code = 'P5000', message = failure.error ?? 'unknown error' } = known;
    const meta = known.meta ?? {};
    const index = failure.batch_request_idx ?? known.batch_request_idx;
    if (code === DRIVER_THREW) return this.fromDriver(meta.id, index);
    if (this.#isOutage(code, message, meta)) return this.#unreachable(index);
    return clientError(code, message, { meta, error: failure.error ?? message, index });
  }

  /**
   * Transactions fail with a bare {error_code, message, meta}. The client tells an expired transaction from
   * other failures by how `error` starts, and `meta.error` lacks the prefix that `message` has.
   */
  fromTransaction({ error_code: code, message, meta }) {
    if (code === DRIVER_THREW) return this.fromDriver(meta?.id);
    if (this.#isOutage(code, message, meta ?? {})) return this.#unreachable();
    return clientError(code, message, { meta: meta ?? {}, error: meta?.error ?? message });
  }

  /** The JavaScript driver threw; the engine only knows the number of the error. */
  fromDriver(id, index) {
    const { registeredErrors } = this.database.adapter.errorRegistry;
    const error = registeredErrors[id]?.error;
    // The registry never forgets by itself.
    registeredErrors[id] = undefined;
    const message = error?.message ?? 'the database driver failed';
    if (POOL_TIMEOUT.test(message) && this.database.connections() > 0) {
      return clientError('P2024', 'Timed out fetching a new connection from the connection pool.', { index });
    }
    if (isOutage(error) || POOL_TIMEOUT.test(message)) {
      return this.#unreachable(index);
    }
    const meta = { code: error?.code ?? 'N/A', message };
    return clientError('P2010', `Raw query failed. Code: \`${meta.code}\`. Message: \`${message}\``, { meta, index });
  }

  #isOutage(code, message, meta) {
    return code === 'P1001' || code === 'P1017' || NOT_REACHABLE.test(message) || SERVER_GONE.has(meta.code);
  }

  /** LiteLLM reconnects when it reads exactly this text. */
  #unreachable(index) {
    return clientError('P1001', `Can't reach database server at ${this.database.address}`, { index });
  }
}

module.exports = { clientError, ErrorReader, isOutage };
