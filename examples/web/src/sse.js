// A stream of the relay in a browser, in plain JavaScript: no dependency, no build.
//
// EventSource comes back by itself when a connection breaks, with the id of the last event, so that nothing
// is missed. It gives up for good after an answer other than 200. This opens it anew then, with growing
// waits, and with the id in the address where the server takes it there.

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30000;

/**
 * Follows a stream until `close()` is called on what is returned.
 *
 * @param {string} url
 * @param {object} options
 * @param {string[]} [options.events] names of events to hear besides those without a name
 * @param {(event: {id: string, type: string, data: string}) => void} [options.onEvent]
 * @param {(state: "connecting" | "open" | "waiting" | "closed") => void} [options.onState]
 * @param {boolean} [options.withCredentials] send cookies to another origin
 * @param {string} [options.idParameter] the parameter that takes an id: `lastEventId` at `/v1/events`
 */
export function follow(url, options = {}) {
  const { events = [], onEvent = () => {}, onState = () => {}, withCredentials = false, idParameter } = options;
  let source;
  let timer;
  let lastEventId = "";
  let failures = 0;
  let state;

  function become(next) {
    if (next === state) return;
    state = next;
    onState(next);
  }

  function heard(event) {
    lastEventId = event.lastEventId;
    onEvent({ id: event.lastEventId, type: event.type, data: event.data });
  }

  function open() {
    become("connecting");
    source = new EventSource(address(url, idParameter, lastEventId), { withCredentials });
    source.onopen = () => {
      failures = 0;
      become("open");
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        become("connecting");
        return;
      }
      become("waiting");
      timer = setTimeout(open, wait(failures, Math.random()));
      failures += 1;
    };
    for (const name of new Set(["message", ...events])) source.addEventListener(name, heard);
  }

  open();
  return {
    close() {
      clearTimeout(timer);
      source.close();
      become("closed");
    },
  };
}

function address(url, idParameter, id) {
  if (!idParameter || !id) return url;
  const whole = new URL(url, document.baseURI);
  whole.searchParams.set(idParameter, id);
  return whole.href;
}

// Doubles with each failure; between half of it and all, so that not all pages come back at once.
function wait(failures, random) {
  const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures);
  return longest * (0.5 + random / 2);
}
