'use strict';
// Server-sent events read by hand: EventSource shows only the types one names
// beforehand and hides the reconnect delay; the inspector needs both.
// WHATWG HTML section 9.2 "Server-sent events".

/**
 * What this page shows to be let in, where the relay asks for it: kept for this tab
 * alone, and sent as a header, so that it stands in no address and no log.
 */
const credential = {
  token: sessionStorage.getItem('sse-relay.token') ?? '',
  set(token) {
    this.token = token;
    if (token === '') sessionStorage.removeItem('sse-relay.token');
    else sessionStorage.setItem('sse-relay.token', token);
  },
  headers(others) {
    return this.token === '' ? others : { ...others, Authorization: `Bearer ${this.token}` };
  },
};

/** Longest unfinished block kept, in characters; past it the stream is ended with an error. */
const MAX_BLOCK = 16 * 1024 * 1024;

/** Parses bytes of an event stream; calls back once per dispatched event. */
class EventStreamParser {
  #decoder = new TextDecoder('utf-8'); // strips one byte order mark, replaces what is not UTF-8
  #rest = '';
  #skipLineFeed = false;
  #type = '';
  #data = [];
  #size = 0;
  #idBuffer;

  /**
   * `lastEventId` is carried over a reconnect, as browsers do: a block without
   * an id must not make the client forget where it stands.
   */
  constructor({ onEvent, onRetry = () => {}, lastEventId = '' }) {
    this.onEvent = onEvent;
    this.onRetry = onRetry;
    this.lastEventId = lastEventId;
    this.#idBuffer = lastEventId;
  }

  push(bytes) {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    // The kept rest holds no line end, so the search starts behind it.
    const ends = /\r\n?|\n/g;
    ends.lastIndex = this.#rest.length;
    let start = 0;
    if (this.#skipLineFeed && text.length > 0) {
      // A CR ended the previous read and its line; this LF belongs to it.
      if (text[0] === '\n') start = ends.lastIndex = 1;
      this.#skipLineFeed = false;
    }
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      this.#line(text.slice(start, end.index));
      start = ends.lastIndex;
      this.#skipLineFeed = start === text.length && end[0] === '\r';
    }
    this.#rest = text.slice(start);
    if (this.#rest.length + this.#size > MAX_BLOCK) throw new Error('an event is longer than 16 MiB');
  }

  #line(line) {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      this.#data.push(value);
      this.#size += value.length + 1;
    } else if (field === 'event') {
      this.#type = value;
    } else if (field === 'id') {
      if (!value.includes('\0')) this.#idBuffer = value;
    } else if (field === 'retry') {
      if (/^[0-9]+$/.test(value)) this.onRetry(Number(value));
    }
  }

  #dispatch() {
    // The id counts only once its block is complete, even if the block dispatches nothing.
    this.lastEventId = this.#idBuffer;
    const event = { type: this.#type || 'message', data: this.#data.join('\n'), id: this.lastEventId };
    const complete = this.#data.length > 0;
    this.#type = '';
    this.#data = [];
    this.#size = 0;
    if (complete) this.onEvent(event);
  }
}

/**
 * How long to wait before attempt number `failures` (from 1), in ms: doubling,
 * never below what the relay asked for, with up to 30 % jitter so that many
 * readers do not return in step.
 */
function reconnectDelay(failures, retry, random) {
  const base = Math.max(retry, Math.min(15000, 500 * 2 ** failures));
  return Math.round(base * (1 + 0.3 * random()));
}

/** The text of a problem+json answer, or of any other failed one. */
async function problemText(response) {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const problem = JSON.parse(await response.text());
    if (typeof problem.title !== 'string') return fallback;
    return problem.detail ? `${problem.title}: ${problem.detail}` : problem.title;
  } catch {
    return fallback;
  }
}

/** A header can carry only bytes; an id goes out as its UTF-8 bytes, as EventSource sends it. */
function headerBytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/**
 * One stream kept open. `url(resuming)` gives the address; `onState(state, detail)`
 * gets connecting, live, reconnecting (detail.delay in ms, detail.reason) or closed
 * (detail.reason). Answers that say "do not come back" (204, 4xx) close it for good.
 */
class EventStream {
  #abort = null;
  #timer = 0;
  #failures = 0;
  #retry = 0;
  #lastEventId = '';
  #over = false;

  constructor({ url, onEvent, onState }) {
    this.url = url;
    this.onEvent = onEvent;
    this.onState = onState;
  }

  open() {
    this.onState('connecting', {});
    this.#connect();
  }

  close(reason = 'disconnected') {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.onState('closed', { reason });
  }

  async #connect() {
    this.#abort = new AbortController();
    let reason;
    try {
      reason = await this.#read();
    } catch (error) {
      reason = error instanceof TypeError ? 'the relay cannot be reached' : String(error.message ?? error);
    }
    this.#abort.abort(); // frees the connection if reading stopped half way
    if (this.#over) return;
    this.#failures += 1;
    const delay = reconnectDelay(this.#failures, this.#retry, Math.random);
    this.onState('reconnecting', { delay, reason });
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  /** Reads until the stream ends; returns why it did. */
  async #read() {
    const headers = credential.headers({ Accept: 'text/event-stream' });
    if (this.#lastEventId !== '') headers['Last-Event-ID'] = headerBytes(this.#lastEventId);
    const response = await fetch(this.url(this.#lastEventId !== ''), {
      headers, cache: 'no-store', signal: this.#abort.signal,
    });
    const refusal = await this.#refusal(response);
    if (refusal !== null) return refusal;
    this.onState('live', {});
    const parser = new EventStreamParser({
      lastEventId: this.#lastEventId,
      onRetry: (ms) => { this.#retry = ms; },
      onEvent: (event) => {
        this.#failures = 0;
        if (!this.#over) this.onEvent(event);
      },
    });
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#over) return 'the relay ended the stream';
      parser.push(value);
      this.#lastEventId = parser.lastEventId;
    }
  }

  async #refusal(response) {
    const type = response.headers.get('Content-Type') ?? '';
    if (response.status === 200 && type.startsWith('text/event-stream')) return null;
    const reason = response.status === 204 ? 'the relay says that nothing more will come (204)'
      : response.status === 200 ? `not an event stream but ${type || 'something unnamed'}`
        : await problemText(response);
    const wait = Number(response.headers.get('Retry-After'));
    if (wait > 0) this.#retry = wait * 1000;
    const again = response.status >= 500 || response.status === 408 || response.status === 429;
    if (!again) this.close(reason);
    return reason;
  }
}
