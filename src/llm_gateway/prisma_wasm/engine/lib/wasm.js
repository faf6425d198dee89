'use strict';

const fs = require('node:fs');
const path = require('node:path');

const RUNTIME = path.join(__dirname, '..', 'runtime');
const GLUE = './query_engine_bg.js';

/** Prisma's query engine as a class; the installer put its two files into runtime/ and checked their hashes. */
function loadQueryEngine() {
  const glue = require(path.join(RUNTIME, 'query_engine_bg.postgresql.js'));
  const module_ = new WebAssembly.Module(fs.readFileSync(path.join(RUNTIME, 'query_engine_bg.postgresql.wasm')));
  const instance = new WebAssembly.Instance(module_, { [GLUE]: glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return glue.QueryEngine;
}

module.exports = { loadQueryEngine };
