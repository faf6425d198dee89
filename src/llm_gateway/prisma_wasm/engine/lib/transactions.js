'use strict';

/**
 * The interactive transactions that this process handed out.
 *
 * The WebAssembly engine dies ("unreachable") when it is asked about a transaction it does not know, and a
 * client that outlived an engine restart still holds such ids. So only open ones reach the engine; all other
 * questions are answered here.
 */

const REMEMBERED = 1000;
// Until then the engine itself says that a transaction expired.
const GRACE_MS = 1000;

class Transactions {
  constructor(now = Date.now) {
    this.now = now;
    this.known = new Map();
  }

  opened(id, timeoutMs) {
    this.known.set(id, { expires: this.now() + timeoutMs + GRACE_MS, closed: '' });
    while (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
  }

  closed(id, how) {
    const entry = this.known.get(id);
    if (entry) entry.closed = how;
  }

  /** @returns {string} '' when the engine may be asked, else the client's error text */
  refusal(id) {
    const entry = this.known.get(id);
    if (!entry) return "Transaction not found. Transaction ID is invalid, or refers to an old closed transaction.";
    if (entry.closed) return `Transaction already closed: it was ${entry.closed}.`;
    if (this.now() > entry.expires) return 'Transaction already closed: its timeout has passed.';
    return '';
  }
}

module.exports = { Transactions };
