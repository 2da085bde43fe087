// The same as a hook of React.

import { useEffect, useState } from "react";
import { follow } from "./sse.js";

/**
 * Follows a stream while the component is there.
 *
 * @param {string} url
 * @param {object} options as for `follow`, and
 * @param {number} [options.keep] how many events are kept (50)
 * @returns {{state: string, events: {key: number, id: string, type: string, data: string}[], last: object | undefined}}
 *   the newest event first
 */
export function useSSE(url, options = {}) {
  const { events: names = [], withCredentials = false, idParameter, keep = 50 } = options;
  const [state, setState] = useState("connecting");
  const [events, setEvents] = useState([]);
  // a new array with the same names is no reason to open the stream anew
  const listed = JSON.stringify(names);

  useEffect(() => {
    let key = 0;
    setEvents([]);
    const stream = follow(url, {
      events: JSON.parse(listed),
      withCredentials,
      idParameter,
      onState: setState,
      onEvent(event) {
        key += 1;
        const keyed = { ...event, key };
        setEvents((before) => [keyed, ...before].slice(0, keep));
      },
    });
    return () => stream.close();
  }, [url, listed, withCredentials, idParameter, keep]);

  return { state, events, last: events[0] };
}
