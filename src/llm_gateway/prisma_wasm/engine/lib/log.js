'use strict';

/** One JSON line on stderr: LiteLLM's log collectors read the engine's stderr line by line. */
function log(level, message, fields = {}) {
  process.stderr.write(`${JSON.stringify({ timestamp: new Date().toISOString(), level, message, fields })}\n`);
}

module.exports = { log };
