// The inspector: any stream, event by event, and a form to publish one.

/** The newest events that the list holds, and that wait while paused or between two frames. */
const MAX_EVENTS = 500;
const CONTROL_TYPES = new Set(['connected', 'heartbeat', 'gap', 'degraded', 'expiring', 'end']);
const PREVIEW_CHARS = 160;

const inspector = {
  stream: null,
  state: 'closed',
  reason: '',
  retryAt: 0,
  reconnects: 0,
  gaps: 0,
  heartbeatAt: 0,
  received: 0,
  /** Events not drawn yet, oldest first; at most MAX_EVENTS. */
  waiting: [],
  /** Received while paused, and how many of those no longer fit. */
  held: 0,
  discarded: 0,
  paused: false,
  drawing: false,
  /** A publish waits for its answer; a second press must not publish twice. */
  publishing: false,
  /** What is listed, by list item. */
  events: new WeakMap(),
};

/** Words separated by spaces or commas; "quoted" where a name itself has one of these. */
function parseChannels(text) {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|[^\s,]+/g)]
    .map(([word, quoted]) => (quoted === undefined ? word : quoted.replace(/\\(.)/g, '$1')))
    .filter((name) => name !== '');
}

function quoteChannel(name) {
  return /^[^\s,"]+$/.test(name) ? name : `"${name.replace(/["\\]/g, '\\$&')}"`;
}

/** `name=value` lines to pairs; throws with the line that is none. */
function parsePairs(text) {
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '').map((line) => {
    const equals = line.indexOf('=');
    if (equals < 1) throw new Error(`“${line}” is not of the form name=value`);
    return [line.slice(0, equals).trim(), line.slice(equals + 1).trim()];
  });
}

/** The query of the stream that the form describes; throws with what is wrong in it. */
function inspectorQuery() {
  const channels = parseChannels(byId('inspector-channels').value);
  if (channels.length === 0) throw new Error('Name at least one channel or pattern');
  const query = new URLSearchParams(channels.map((name) => ['channel', name]));
  for (const [name, values] of parsePairs(byId('inspector-filters').value)) query.append(`filter.${name}`, values);
  query.set('heartbeat', 'event');
  return query;
}

function inspectorStart() {
  const from = byId('inspector-from').value;
  if (from === 'id') {
    const id = byId('inspector-id').value.trim();
    if (id === '') throw new Error('Name the id to start after');
    return ['lastEventId', id];
  }
  if (from === 'time') {
    const time = new Date(byId('inspector-time').value);
    if (Number.isNaN(time.getTime())) throw new Error('Name the time to start from');
    return ['from', time.toISOString()];
  }
  return ['from', from];
}

function connectInspector() {
  let query;
  let start;
  try {
    query = inspectorQuery();
    start = inspectorStart();
  } catch (error) {
    say(byId('inspector-problem'), error.message);
    byId('inspector-channels').setAttribute('aria-invalid', String(byId('inspector-channels').value.trim() === ''));
    return;
  }
  say(byId('inspector-problem'), '');
  byId('inspector-channels').removeAttribute('aria-invalid');
  inspector.stream?.close();
  Object.assign(inspector, { reconnects: 0, gaps: 0, heartbeatAt: 0 });
  clearEvents();
  const stream = new EventStream({
    // Once an id is known it is sent as a header, and says more than the start did.
    url: (resuming) => {
      const address = new URLSearchParams(query);
      address.set('connected', 'true');
      if (!resuming) address.set(...start);
      return `/v1/events?${address}`;
    },
    onEvent: (event) => { if (inspector.stream === stream) takeEvent(event); },
    onState: (state, detail) => { if (inspector.stream === stream) setInspector(state, detail); },
  });
  inspector.stream = stream;
  stream.open();
}

function setInspector(state, { reason = '', delay = 0 }) {
  if (state === 'live' && inspector.state === 'reconnecting') inspector.reconnects += 1;
  Object.assign(inspector, { state, reason, retryAt: Date.now() + delay });
  const target = byId('inspector-state');
  target.dataset.state = state;
  say(target, state);
  say(byId('inspector-reconnects'), String(inspector.reconnects));
  byId('inspector-disconnect').disabled = state === 'closed';
  showInspectorDetail();
}

function showInspectorDetail() {
  const details = {
    connecting: '',
    live: inspector.heartbeatAt > 0 ? `heartbeat ${clock(new Date(inspector.heartbeatAt))}` : '',
    reconnecting: `${countdown(inspector.retryAt - Date.now())}: ${inspector.reason}`,
    closed: inspector.reason,
  };
  say(byId('inspector-detail'), details[inspector.state]);
}

function takeEvent(event) {
  if (event.type === 'heartbeat') {
    inspector.heartbeatAt = Date.now();
    showInspectorDetail();
    return;
  }
  if (event.type === 'gap') {
    inspector.gaps += 1;
    say(byId('inspector-gaps'), String(inspector.gaps));
  }
  inspector.received += 1;
  inspector.waiting.push({ ...event, at: new Date() });
  if (inspector.paused) inspector.held += 1;
  if (inspector.waiting.length > MAX_EVENTS) {
    inspector.waiting.shift();
    inspector.discarded += 1;
  }
  scheduleEvents();
}

function scheduleEvents() {
  if (inspector.drawing) return;
  inspector.drawing = true;
  requestAnimationFrame(() => {
    inspector.drawing = false;
    if (!inspector.paused) drawEvents();
    showCount();
  });
}

/** One change of the document for all that arrived since the last frame. */
function drawEvents() {
  const list = byId('inspector-events');
  list.prepend(...inspector.waiting.splice(0).reverse().map(eventItem));
  while (list.childElementCount > MAX_EVENTS) list.lastElementChild.remove();
  byId('inspector-empty').hidden = list.childElementCount > 0;
}

function showCount() {
  const { received, held, discarded, paused } = inspector;
  const target = byId('inspector-count');
  const listed = byId('inspector-events').childElementCount;
  const lost = discarded > 0 ? `, ${whole.format(discarded)} not listed (only the newest ${MAX_EVENTS} wait)` : '';
  say(target, paused
    ? `paused, ${whole.format(held)} held${lost}`
    : `${plural(received, 'event')}${received > listed ? `, newest ${whole.format(listed)} listed` : ''}`);
  Object.assign(target.dataset, { received, held: paused ? held : 0, discarded });
}

function clearEvents() {
  byId('inspector-events').replaceChildren();
  byId('inspector-empty').hidden = false;
  Object.assign(inspector, { received: 0, waiting: [], held: 0, discarded: 0 });
  showCount();
}

function setPaused(paused) {
  inspector.paused = paused;
  if (paused) Object.assign(inspector, { held: 0, discarded: 0 });
  const button = byId('inspector-pause');
  button.setAttribute('aria-pressed', String(paused));
  say(button, paused ? 'Resume' : 'Pause');
  scheduleEvents();
}

function eventItem(event) {
  const kind = event.type === 'gap' ? 'gap' : CONTROL_TYPES.has(event.type) ? 'control' : 'event';
  const preview = kind === 'gap' ? gapText(event.data).text : event.data.slice(0, PREVIEW_CHARS);
  // A control event has no id of its own, only the cursor that the stream stands at.
  const item = element('li', { 'data-id': kind === 'event' ? event.id : '', 'data-type': event.type, 'data-kind': kind },
    element('details', {},
      element('summary', {},
        element('time', { datetime: event.at.toISOString() }, `${clock(event.at)}.${String(event.at.getMilliseconds()).padStart(3, '0')}`),
        element('span', { class: 'type' }, kind === 'gap' ? 'gap' : event.type),
        element('span', { class: 'preview' }, preview),
        element('span', { class: 'id' }, event.id || 'no id'))));
  inspector.events.set(item, event);
  return item;
}

/** What is shown of an event once it is opened; made only then. */
function eventDetail(event) {
  const detail = element('div', { class: 'detail' }, element('pre', { tabindex: '0', 'aria-label': 'data' }, pretty(event.data)));
  const line = element('div', { class: 'actions' },
    element('span', { class: 'muted' }, `${event.type}, ${plural(new TextEncoder().encode(event.data).length, 'byte')}, id `),
    element('code', {}, event.id || 'none'));
  if (event.id !== '') {
    const button = element('button', { type: 'button', class: 'resume' }, 'Resume from this id');
    button.addEventListener('click', () => resumeFrom(event.id));
    line.append(button);
  }
  detail.append(line);
  return detail;
}

function pretty(data) {
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}

function chooseStart(from) {
  byId('inspector-from').value = from;
  const id = byId('inspector-id');
  const time = byId('inspector-time');
  id.hidden = from === 'time';
  id.disabled = from !== 'id';
  id.placeholder = from === 'id' ? 'id' : 'no id needed';
  time.hidden = from !== 'time';
  if (from === 'time' && time.value === '') {
    const now = new Date(Date.now() - 60_000);
    time.value = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  }
}

function resumeFrom(id) {
  chooseStart('id');
  byId('inspector-id').value = id;
  setPaused(false);
  connectInspector();
  byId('inspector-connect').focus();
}

/** Opens one channel in the inspector, live. */
function inspect(name) {
  byId('inspector-channels').value = quoteChannel(name);
  byId('inspector-filters').value = '';
  if (byId('publish-channel').value === '') byId('publish-channel').value = name;
  chooseStart('latest');
  setPaused(false);
  connectInspector();
  byId('inspector').scrollIntoView();
  byId('inspector-title').focus({ preventScroll: true });
}

async function publish() {
  const result = (state, text) => {
    byId('publish-result').dataset.state = state;
    say(byId('publish-result'), text);
  };
  if (inspector.publishing) return;
  const channel = byId('publish-channel').value.trim();
  if (channel === '') return result('failed', 'Name the channel');
  // The data goes out exactly as typed: a string is never re-encoded by the relay.
  const event = { data: byId('publish-data').value };
  const type = byId('publish-type').value.trim();
  if (type !== '') event.event = type;
  try {
    const attributes = parsePairs(byId('publish-attributes').value);
    if (attributes.length > 0) event.attributes = Object.fromEntries(attributes);
  } catch (error) {
    return result('failed', error.message);
  }
  inspector.publishing = true;
  try {
    const response = await fetch(`/v1/channels/${encodeURIComponent(channel)}/events`, {
      method: 'POST',
      headers: credential.headers({ 'Content-Type': 'application/json' }),
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (response.ok) result('done', `Published as ${(await response.json()).id}`);
    else result('failed', await problemText(response));
  } catch (error) {
    result('failed', error.name === 'TimeoutError' ? 'No answer within 5 s: the event may be published or not' : 'The relay cannot be reached, or went away before it answered');
  } finally {
    inspector.publishing = false;
  }
}

function startInspector() {
  byId('inspector-form').addEventListener('submit', (submit) => {
    submit.preventDefault();
    connectInspector();
  });
  byId('publish-form').addEventListener('submit', (submit) => {
    submit.preventDefault();
    publish();
  });
  byId('inspector-disconnect').addEventListener('click', () => inspector.stream?.close());
  byId('inspector-pause').addEventListener('click', () => setPaused(!inspector.paused));
  byId('inspector-clear').addEventListener('click', clearEvents);
  byId('inspector-from').addEventListener('change', (change) => chooseStart(change.target.value));
  // "toggle" does not bubble; it is caught on its way down.
  byId('inspector-events').addEventListener('toggle', (toggle) => {
    const details = toggle.target;
    const event = inspector.events.get(details.parentElement);
    if (details.open && details.childElementCount === 1) details.append(eventDetail(event));
  }, true);
}
