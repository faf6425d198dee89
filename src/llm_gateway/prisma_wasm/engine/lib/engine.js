'use strict';

const { clientError, ErrorReader } = require('./errors');
const { QueryTextError } = require('./graphql');
const { log } = require('./log');
const { toJsonProtocol } = require('./protocol');
const { resultReader } = require('./results');
const { Transactions } = require('./transactions');
const { loadQueryEngine } = require('./wasm');

const NO_HEADERS = '{}';
const TRANSACTION_TIMEOUT_MS = 5000;
const TRANSACTION_MAX_WAIT_MS = 2000;

/** Prisma's engine behind the questions that prisma-client-py asks. Answers are the bodies of its HTTP replies. */
class Engine {
  /**
   * @param {{text: string, models: Map}} schema the schema and its models
   * @param {object} database of openDatabase
   * @param {{wrappedRows: boolean, logLevel: string, logQueries: boolean}} options
   */
  constructor(schema, database, { wrappedRows, logLevel, logQueries }) {
    this.models = schema.models;
    this.database = database;
    this.errors = new ErrorReader(database);
    this.transactions = new Transactions();
    this.readResult = resultReader(wrappedRows);
    this.requests = 0;
    const QueryEngine = loadQueryEngine();
    this.engine = new QueryEngine({
      datamodel: schema.text,
      configDir: '.',
      datasourceOverrides: {},
      env: {},
      ignoreEnvVarErrors: true,
      engineProtocol: 'json',
      logLevel,
      logQueries,
      enableTracing: false,
    }, (event) => process.stderr.write(`${event}\n`), database.adapter);
  }

  async connect() {
    await this.engine.connect(NO_HEADERS, this.#requestId());
  }

  async close() {
    await this.database.close();
  }

  /** `POST /`: one query or a batch. */
  async answer(body, transactionId) {
    const refusal = transactionId === undefined ? '' : this.transactions.refusal(transactionId);
    if (refusal) return { errors: [clientError('P2028', `Transaction API error: ${refusal}`, { error: refusal })] };
    try {
      return Array.isArray(body.batch) ? await this.#batch(body) : await this.#single(body, transactionId);
    } catch (error) {
      if (error instanceof QueryTextError || error instanceof RangeError) {
        return { errors: [clientError('P2009', `Failed to parse the query: ${error.message}`)] };
      }
      throw error;
    }
  }

  async #single(body, transactionId) {
    const reply = await this.#ask(toJsonProtocol(body.query, this.models), transactionId);
    return reply.errors ? { errors: reply.errors.map((e) => this.errors.fromEngine(e)) } : this.readResult(reply.data);
  }

  async #batch({ batch, transaction }) {
    const request = { batch: batch.map((item) => toJsonProtocol(item.query, this.models)) };
    if (transaction) request.transaction = {};
    const reply = await this.#ask(request, undefined);
    const failures = reply.errors ?? reply.batchResult.flatMap((item) => item.errors ?? []);
    if (failures.length > 0) {
      return { batchResult: [], errors: failures.slice(0, 1).map((e) => this.errors.fromEngine(e)) };
    }
    return { batchResult: reply.batchResult.map((item) => this.readResult(item.data)), errors: [] };
  }

  async #ask(request, transactionId) {
    const reply = await this.engine.query(JSON.stringify(request), NO_HEADERS, transactionId, this.#requestId());
    return JSON.parse(reply);
  }

  /** `POST /transaction/start`. */
  async begin({ timeout = TRANSACTION_TIMEOUT_MS, max_wait: maxWait = TRANSACTION_MAX_WAIT_MS }) {
    const options = JSON.stringify({ timeout, max_wait: maxWait });
    const reply = JSON.parse(await this.engine.startTransaction(options, NO_HEADERS, this.#requestId()));
    if (reply.error_code) return { errors: [this.errors.fromTransaction(reply)] };
    this.transactions.opened(reply.id, timeout);
    return { id: reply.id };
  }

  /** `POST /transaction/ID/commit` and `…/rollback`. */
  async end(id, how) {
    const refusal = this.transactions.refusal(id);
    if (refusal) return { errors: [clientError('P2028', `Transaction API error: ${refusal}`, { error: refusal })] };
    const method = how === 'commit' ? 'commitTransaction' : 'rollbackTransaction';
    const reply = JSON.parse(await this.engine[method](id, NO_HEADERS, this.#requestId()));
    if (reply.error_code) {
      log('WARN', `${how} failed: ${reply.message}`);
      return { errors: [this.errors.fromTransaction(reply)] };
    }
    this.transactions.closed(id, how === 'commit' ? 'committed' : 'rolled back');
    return {};
  }

  #requestId() {
    this.requests += 1;
    return String(this.requests);
  }
}

module.exports = { Engine };
