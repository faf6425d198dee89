'use strict';

const http = require('node:http');
const { clientError } = require('./errors');
const { log } = require('./log');

const TRANSACTION = /^\/transaction\/([^/]+)\/(commit|rollback)$/;
const METRICS = { counters: [], gauges: [], histograms: [] };

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return text ? JSON.parse(text) : {};
}

async function route(engine, request) {
  const { pathname } = new URL(request.url, 'http://engine');
  if (request.method === 'GET') {
    if (pathname === '/status') return { status: 'ok' };
    if (pathname === '/metrics') return METRICS;
  } else if (request.method === 'POST') {
    const body = await readBody(request);
    if (pathname === '/') return engine.answer(body, request.headers['x-transaction-id']);
    if (pathname === '/transaction/start') return engine.begin(body);
    const ending = TRANSACTION.exec(pathname);
    if (ending) return engine.end(decodeURIComponent(ending[1]), ending[2]);
  }
  return { errors: [clientError('P2009', `${request.method} ${pathname} is not served`)] };
}

function failure(error) {
  if (error instanceof SyntaxError) return clientError('P2009', `The request is not JSON: ${error.message}`);
  log('ERROR', error.stack ?? String(error));
  return clientError('P5000', `The query engine failed: ${error.message ?? error}`);
}

/**
 * Every request gets a JSON answer with status 200: the client reads errors from the body.
 *
 * @param {Engine} engine
 * @param {(error: Error) => void} onBroken called after the answer when the WebAssembly instance is unusable
 */
function createServer(engine, onBroken) {
  const server = http.createServer(async (request, response) => {
    let answer;
    let broken = null;
    try {
      answer = await route(engine, request);
    } catch (error) {
      answer = { errors: [failure(error)] };
      if (error instanceof WebAssembly.RuntimeError) broken = error;
    }
    const body = JSON.stringify(answer);
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    response.end(body, () => { if (broken) onBroken(broken); });
  });
  // The client pools connections; a close from this side would race with its next request.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  return server;
}

module.exports = { createServer };
