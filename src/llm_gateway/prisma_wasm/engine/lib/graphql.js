'use strict';

/**
 * Parses the small part of GraphQL that prisma-client-py writes:
 *
 *   query|mutation { result: FIELD ( ARGUMENTS ) { SELECTION } }
 *
 * No variables, fragments or directives. Commas count as white space. Values become what Prisma's JSON
 * protocol expects: a bare name is an enum, an integer that a double cannot hold is a BigInt.
 */

const SPACE = /[\s,]*/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\n]|\\.)*"/y;
const INTEGER = /^-?\d+$/;
const LINE_BREAK = /[\u0085\u2028\u2029]/;
const SEGMENT = /[^\u0085\u2028\u2029]*[\u0085\u2028\u2029]?/g;

class QueryTextError extends Error {}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.at = pattern.lastIndex;
    return found[0];
  }

  /** The next character that means something, '' at the end. */
  peek() {
    this.match(SPACE);
    return this.text.charAt(this.at);
  }

  take(character) {
    if (this.peek() !== character) this.fail(`'${character}'`);
    this.at += 1;
  }

  skip(character) {
    if (this.peek() !== character) return false;
    this.at += 1;
    return true;
  }

  name() {
    this.peek();
    return this.match(NAME) ?? this.fail('a name');
  }

  fail(expected) {
    const found = this.at < this.text.length ? `'${this.text.charAt(this.at)}'` : 'the end';
    throw new QueryTextError(`expected ${expected} at position ${this.at}, found ${found}`);
  }
}

/**
 * The client indents its query line by line, and for Python these characters end a line even inside a string:
 * it puts the line's indentation into the text behind them (not where only white space follows). Take it out.
 */
function withoutIndentation(text, reader, start) {
  const line = reader.text.slice(reader.text.lastIndexOf('\n', start) + 1, start);
  const indentation = /^ */.exec(line)[0];
  const segments = text.match(SEGMENT).slice(0, -1);
  const last = segments.length - 1;
  return segments.map((segment, i) => {
    const indented = i > 0 && (i === last || segment.trim() !== '') && segment.startsWith(indentation);
    return indented ? segment.slice(indentation.length) : segment;
  }).join('');
}

function readString(reader) {
  const start = reader.at;
  const text = reader.match(STRING) ?? reader.fail('a closing quote');
  try {
    return JSON.parse(LINE_BREAK.test(text) ? withoutIndentation(text, reader, start) : text);
  } catch {
    throw new QueryTextError(`the string that ends at position ${reader.at} is not a JSON string`);
  }
}

function readNumber(reader) {
  const text = reader.match(NUMBER) ?? reader.fail('a value');
  const number = Number(text);
  if (!Number.isFinite(number)) throw new QueryTextError(`the number ${text} is too large`);
  if (INTEGER.test(text) && !Number.isSafeInteger(number)) return { $type: 'BigInt', value: text };
  return number;
}

const WORDS = new Map([['true', true], ['false', false], ['null', null]]);

function readWord(reader) {
  const word = reader.name();
  return WORDS.has(word) ? WORDS.get(word) : { $type: 'Enum', value: word };
}

function readValue(reader) {
  switch (reader.peek()) {
    case '{': return readObject(reader, '{', '}');
    case '[': return readList(reader);
    case '"': return readString(reader);
    default: break;
  }
  return /[A-Za-z_]/.test(reader.peek()) ? readWord(reader) : readNumber(reader);
}

function readList(reader) {
  const list = [];
  reader.take('[');
  while (!reader.skip(']')) list.push(readValue(reader));
  return list;
}

function readObject(reader, open, close) {
  // Entries, not assignment: a key named __proto__ stays a key.
  const entries = [];
  reader.take(open);
  while (!reader.skip(close)) {
    const key = reader.peek() === '"' ? readString(reader) : reader.name();
    reader.take(':');
    entries.push([key, readValue(reader)]);
  }
  return Object.fromEntries(entries);
}

function readSelection(reader) {
  const entries = [];
  reader.take('{');
  while (!reader.skip('}')) {
    const name = reader.name();
    const nested = readArgumentsAndSelection(reader);
    const plain = nested.selection === null && Object.keys(nested.arguments).length === 0;
    entries.push([name, plain ? true : { ...nested, selection: nested.selection ?? {} }]);
  }
  return Object.fromEntries(entries);
}

function readArgumentsAndSelection(reader) {
  const args = reader.peek() === '(' ? readObject(reader, '(', ')') : {};
  const selection = reader.peek() === '{' ? readSelection(reader) : null;
  return { arguments: args, selection };
}

/**
 * @param {string} text the query as the client wrote it
 * @returns {{field: string, arguments: object, selection: object}} for instance field `findManyLiteLLM_UserTable`
 * @throws {QueryTextError} anything outside the subset
 */
function parseQuery(text) {
  const reader = new Reader(text);
  const operation = reader.name();
  if (operation !== 'query' && operation !== 'mutation') {
    throw new QueryTextError(`expected 'query' or 'mutation', found '${operation}'`);
  }
  reader.take('{');
  reader.name();
  reader.take(':');
  const field = reader.name();
  const rest = readArgumentsAndSelection(reader);
  reader.take('}');
  if (reader.peek() !== '') reader.fail('the end');
  return { field, arguments: rest.arguments, selection: rest.selection ?? {} };
}

module.exports = { parseQuery, QueryTextError };
