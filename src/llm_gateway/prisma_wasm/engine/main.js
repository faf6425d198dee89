'use strict';

/**
 * Prisma's query engine for prisma-client-py, without Prisma's native binary.
 *
 * Started by the client as `<launcher> -p PORT …`; speaks the HTTP interface of the native engine and runs
 * the WebAssembly build of the same engine that @prisma/client ships.
 */

const fs = require('node:fs');
const { log } = require('./lib/log');
const { stopWithOwner } = require('./lib/lifecycle');

function port(argv) {
  const at = argv.findIndex((word) => word === '-p' || word === '--port');
  const value = Number(argv[at + 1]);
  if (at < 0 || !Number.isInteger(value)) throw new Error('usage: main.js -p PORT');
  return value;
}

async function start() {
  const listenOn = port(process.argv);
  const schemaPath = process.env.PRISMA_DML_PATH;
  if (!schemaPath) throw new Error('PRISMA_DML_PATH does not name a schema.prisma');
  const { databaseUrl, readSchema } = require('./lib/schema');
  const { openDatabase } = require('./lib/database');
  const text = fs.readFileSync(schemaPath, 'utf8');
  const schema = readSchema(text);
  const connecting = openDatabase(databaseUrl(schema, process.env));
  // Loading the engine keeps the processor busy while the database answers.
  const { Engine } = require('./lib/engine');
  const { createServer } = require('./lib/server');
  const { wantsWrappedRows } = require('./lib/results');
  const database = await connecting;
  const engine = new Engine({ text, models: schema.models }, database, {
    wrappedRows: wantsWrappedRows(schemaPath),
    logLevel: process.env.RUST_LOG === 'info' ? 'info' : 'error',
    logQueries: process.env.LOG_QUERIES === 'y',
  });
  await engine.connect();
  const server = createServer(engine, () => process.exit(1));
  stopWithOwner(async () => {
    server.close();
    server.closeIdleConnections();
    await engine.close();
  });
  server.listen(listenOn, '127.0.0.1');
}

function die(error) {
  log('ERROR', `the query engine stops: ${error.message ?? error}`);
  process.exit(1);
}

// LiteLLM's supervisor finds orphaned engines by this prefix of the process name.
process.title = 'query-engine';
process.on('uncaughtException', die);
process.on('unhandledRejection', die);
start().catch(die);
