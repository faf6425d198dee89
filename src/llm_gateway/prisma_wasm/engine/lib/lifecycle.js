'use strict';

const { log } = require('./log');

// The launcher's view: the parent may already have died when this line runs.
const PARENT = Number(process.env.LLM_GATEWAY_ENGINE_PARENT ?? process.ppid);
const PARENT_POLL_MS = 1000;
const STOP_WITHIN_MS = 1500;

/** Run `stop` once, at SIGINT, SIGTERM or the death of the parent, then exit 0 within two seconds. */
function stopWithOwner(stop) {
  let stopping = false;
  const finish = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(0), STOP_WITHIN_MS);
    await stop().catch((error) => log('WARN', `while stopping: ${error.message}`));
    process.exit(0);
  };
  process.on('SIGINT', finish);
  process.on('SIGTERM', finish);
  // Nothing tells the engine that a worker was killed with SIGKILL.
  setInterval(() => { if (process.ppid !== PARENT) finish(); }, PARENT_POLL_MS).unref();
}

module.exports = { stopWithOwner };
