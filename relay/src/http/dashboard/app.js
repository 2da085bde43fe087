// What the page shows and when it asks; everything from the relay becomes a text node.

const byId = (id) => document.getElementById(id);

/** Sets text only where it differs, so that screen readers hear changes and focus stays. */
function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// ---- how numbers read ----

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const hundredth = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

function count(number) {
  return Number.isFinite(number) ? whole.format(number) : '–';
}

function bytes(number) {
  if (!Number.isFinite(number)) return '–';
  const step = number < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(number) / 10));
  const scaled = number / 1024 ** step;
  return `${(scaled < 100 ? tenth : whole).format(scaled)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][step]}`;
}

function perSecond(number) {
  return Number.isFinite(number) ? `${number < 10 ? tenth.format(number) : whole.format(number)}/s` : '–';
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function clock(date) {
  const two = (number) => String(number).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function plural(number, one) {
  return `${whole.format(number)} ${one}${number === 1 ? '' : 's'}`;
}

/** What a gap event says, in words; `data` is its JSON text. */
function gapText(data) {
  let gap = {};
  try {
    gap = JSON.parse(data) ?? {};
  } catch {
    // An unreadable gap is still a gap.
  }
  const sure = gap.certain === true ? 'Events are missing' : 'Events may be missing';
  const after = gap.after ? ` after ${gap.after}` : '';
  const until = gap.until ? ` until ${gap.until}` : '';
  const reason = gap.reason ? ` (${gap.reason})` : '';
  return { certain: gap.certain === true, text: `${sure}${after}${until}${reason}` };
}

// ---- live charts ----

const percent = (number) => `${tenth.format(number)} %`;
const throughput = (number) => `${bytes(number)}/s`;

/** The demo's channels. `mark` is a field that only this channel's samples have. */
const FIGURES = [
  {
    name: 'cpu', title: 'CPU', mark: 'cores', format: percent, floor: 10,
    series: [{ label: 'busy', value: (sample) => sample.percent }],
    note: (sample) => `${plural(sample.cores?.length ?? 0, 'core')}, busiest ${percent(Math.max(0, ...(sample.cores ?? [])))}`,
  },
  {
    name: 'memory', title: 'Memory', mark: 'totalBytes', format: percent, fixed: 100,
    series: [{ label: 'used', value: (sample) => sample.percent }],
    note: (sample) => `${bytes(sample.usedBytes)} of ${bytes(sample.totalBytes)}, swap ${bytes(sample.swapUsedBytes)}`,
  },
  {
    name: 'load', title: 'Load', mark: 'one', format: (number) => hundredth.format(number), floor: 1,
    series: [
      { label: '1 min', value: (sample) => sample.one },
      { label: '5 min', value: (sample) => sample.five },
      { label: '15 min', value: (sample) => sample.fifteen },
    ],
    note: (sample) => `${count(sample.runnable)} runnable of ${plural(sample.tasks, 'task')}`,
  },
  {
    name: 'network', title: 'Network', mark: 'receivedBytesPerSecond', format: throughput, floor: 1024, binary: true,
    series: [
      { label: 'received', value: (sample) => sample.receivedBytesPerSecond },
      { label: 'sent', value: (sample) => sample.sentBytesPerSecond },
    ],
    note: (sample) => plural(Object.keys(sample.interfaces ?? {}).length, 'interface'),
  },
  {
    name: 'disk', title: 'Disk', mark: 'readBytesPerSecond', format: throughput, floor: 1024, binary: true,
    series: [
      { label: 'written', value: (sample) => sample.writtenBytesPerSecond },
      { label: 'read', value: (sample) => sample.readBytesPerSecond },
    ],
    note: () => 'all devices',
  },
];

const DEMO = FIGURES.map((figure) => `demo.${figure.name}`);
const SILENCE_MS = 10_000;

/**
 * The charts' stream, on the browser's own EventSource. It is reopened here rather
 * than by the browser, for two reasons: a browser gives up for good after any answer
 * but 200, and it does not tell when it will try again.
 */
const live = {
  charts: FIGURES.map((figure) => new Chart(figure)),
  source: null,
  timer: 0,
  lastEventId: '',
  state: 'connecting',
  failures: 0,
  reconnects: 0,
  retryAt: 0,
  heardAt: 0,
  /** What the relay's last word was, if it was that the stream ends. */
  ended: '',
  gaps: 0,
  uncertain: false,
  missed: 0,
  /** Charts whose next sample tells how many were missed. */
  counting: new Set(),
};

function liveAddress() {
  const query = new URLSearchParams(DEMO.map((channel) => ['channel', channel]));
  if (live.lastEventId === '') query.set('from', new Date(Date.now() - WINDOW_MS).toISOString());
  else query.set('lastEventId', live.lastEventId);
  return `/v1/events?${query}`;
}

function openLive() {
  clearTimeout(live.timer);
  if (credential.token !== '') return openLiveWithToken();
  const source = new EventSource(liveAddress());
  live.source = source;
  source.addEventListener('open', () => {
    if (live.state === 'reconnecting') live.reconnects += 1;
    live.heardAt = Date.now();
    setLive('live');
  });
  source.addEventListener('sample', (event) => heard(event, takeSample));
  source.addEventListener('gap', (event) => heard(event, takeGap));
  source.addEventListener('connected', (event) => heard(event));
  source.addEventListener('end', (event) => {
    heard(event);
    live.ended = 'the relay ended the stream';
  });
  source.addEventListener('error', () => {
    // An ended channel refuses the return (204); any other end is worth another try.
    const refused = source.readyState === EventSource.CLOSED;
    source.close();
    if (refused && live.ended !== '') return setLive('closed');
    live.failures += 1;
    const delay = reconnectDelay(live.failures, 0, Math.random);
    live.retryAt = Date.now() + delay;
    live.timer = setTimeout(openLive, delay);
    setLive('reconnecting');
  });
}

/** An EventSource cannot send a header; with a token the charts' stream is read by hand. */
function openLiveWithToken() {
  const takes = { sample: takeSample, gap: takeGap };
  const stream = new EventStream({
    url: liveAddress,
    onEvent: ({ type, data, id }) => heard({ data, lastEventId: id }, takes[type]),
    onState: (state, detail) => {
      if (live.source !== stream) return;
      if (state === 'live' && live.state === 'reconnecting') live.reconnects += 1;
      if (state === 'live') live.heardAt = Date.now();
      if (state === 'reconnecting') live.retryAt = Date.now() + detail.delay;
      if (state === 'closed') live.ended = detail.reason;
      setLive(state);
    },
  });
  live.source = stream;
  stream.open();
}

function heard(event, take = () => {}) {
  live.failures = 0;
  live.heardAt = Date.now();
  live.ended = '';
  if (event.lastEventId !== '') live.lastEventId = event.lastEventId;
  take(event.data);
}

function takeSample(data) {
  let sample;
  try {
    sample = JSON.parse(data);
  } catch {
    return;
  }
  if (sample === null || typeof sample !== 'object') return;
  const chart = live.charts.find((candidate) => candidate.spec.mark in sample);
  if (chart === undefined) return;
  const before = chart.last;
  chart.add(sample);
  // After a gap the samples' own times tell how many one-second samples are missing.
  if (live.counting.delete(chart) && before !== null) {
    live.missed += Math.max(0, Math.round((chart.last - before) / 1000) - 1);
    showMissed();
  }
}

function takeGap(data) {
  live.gaps += 1;
  live.uncertain ||= !gapText(data).certain;
  live.counting = new Set(live.charts);
  showMissed();
}

function showMissed() {
  const known = live.missed > 0 ? whole.format(live.missed) : 'unknown number';
  const text = live.gaps === 0 ? '0' : `${known} in ${plural(live.gaps, 'gap')}${live.uncertain ? ' (possibly)' : ''}`;
  const target = byId('missed');
  say(target, text);
  target.dataset.gaps = String(live.gaps);
}

function setLive(state) {
  live.state = state;
  const target = byId('connection-state');
  target.dataset.state = state;
  say(target, state);
  say(byId('reconnects'), String(live.reconnects));
  showLiveDetail();
}

/** The part that changes by the second; outside the live region, so that nobody is read a countdown. */
function showLiveDetail() {
  const now = Date.now();
  const details = {
    connecting: '',
    reconnecting: countdown(live.retryAt - now),
    live: now - live.heardAt > SILENCE_MS ? `no event for ${duration((now - live.heardAt) / 1000)}` : '',
    closed: live.ended,
  };
  say(byId('connection-detail'), details[live.state]);
}

function countdown(ms) {
  return ms > 0 ? `in ${Math.ceil(ms / 1000)} s` : 'now';
}

/** Says how to get figures where there are none. */
function showDemoHint(channels) {
  const present = live.charts.some((chart) => chart.last !== null)
    || channels.some((channel) => DEMO.includes(channel.name));
  const note = byId('live-note');
  if (present || note.dataset.hint === 'shown') {
    if (present && note.dataset.hint === 'shown') {
      note.dataset.hint = '';
      note.replaceChildren('This machine over the last two minutes, one event a second per channel.');
    }
    return;
  }
  note.dataset.hint = 'shown';
  note.replaceChildren('No demo channels here. Run ', element('code', {}, 'sse-relay demo'),
    ' to see this machine’s own figures stream into these charts.');
}

// ---- status and tables ----

const POLL_MS = 2_000;
const ANSWER_MS = 5_000;

async function ask(path, method = 'GET') {
  let response;
  try {
    response = await fetch(path, { method, headers: credential.headers({ Accept: 'application/json' }), cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) });
  } catch (error) {
    throw new Error(error.name === 'TimeoutError' ? 'no answer within 5 s' : 'the relay cannot be reached');
  }
  if (response.status === 401 || response.status === 403) askForToken();
  if (!response.ok) throw new Error(await problemText(response));
  return response.json();
}

let previousTotals = null;

function showStatus(status) {
  const { events, memory } = status;
  const state = byId('status-state');
  state.dataset.state = status.state;
  say(state, status.state);
  say(byId('status-replica'), replicasText(status));
  say(byId('status-version'), `version ${status.version}`);
  say(byId('status-uptime'), `up ${duration(status.uptimeSeconds)}`);
  say(byId('status-streams'), count(status.streams));
  say(byId('status-channels'), count(status.channels));
  const now = performance.now();
  const seconds = previousTotals === null ? 0 : (now - previousTotals.at) / 1000;
  for (const name of ['published', 'delivered']) {
    say(byId(`status-${name}`), count(events[name]));
    const more = previousTotals === null ? -1 : events[name] - previousTotals[name];
    say(byId(`status-${name}-rate`), more >= 0 && seconds > 0 ? perSecond(more / seconds) : '');
  }
  previousTotals = { ...events, at: now };
  say(byId('status-dropped'), count(events.dropped));
  say(byId('status-log'), bytes(memory.logBytes));
  say(byId('status-queues'), bytes(memory.queueBytes));
  say(byId('status-queues-limit'), `of ${bytes(memory.queueLimitBytes)}`);
  say(byId('status-problem'), '');
  streams.mayEnd = status.caller.rights.includes('disconnect');
}

/** This replica among the others. */
function replicasText({ replica, replicas, unanswered }) {
  if (unanswered.length > 0) return `${replica}; no answer from ${unanswered.join(', ')}`;
  return replicas.length > 1 ? `${replica}, one of ${replicas.length}` : replica;
}

function statusFailed(error) {
  const state = byId('status-state');
  state.dataset.state = 'unknown';
  say(state, 'no answer');
  say(byId('status-problem'), `Status not known: ${error.message}. The numbers are the last ones known.`);
  streams.mayEnd = false;
}

/**
 * Makes the table's body show `rows`: [{key, cells}], in order, keeping the rows that
 * stay (and so their focus). A cell is text, or {text, title, number, press, dim}.
 */
function fillTable(table, rows) {
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach(({ key, cells }, place) => {
    const row = old.get(key) ?? newRow(key, cells);
    old.delete(key);
    cells.forEach((cell, index) => fillCell(row.cells[index], cell));
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of old.values()) row.remove();
}

function newRow(key, cells) {
  const row = element('tr', { 'data-key': key });
  cells.forEach((cell, index) => {
    const made = index === 0 ? element('th', { scope: 'row' }) : element('td');
    const holder = cell.press ? element('button', { type: 'button', class: cell.act ? 'act' : 'link' }) : element('span');
    if (cell.press) holder.addEventListener('click', cell.press);
    if (cell.number) made.classList.add('number');
    if (cell.act) made.classList.add('act');
    made.append(holder);
    row.append(made);
  });
  return row;
}

function fillCell(target, cell) {
  const holder = target.firstElementChild;
  say(holder, cell.text ?? cell);
  if (cell.title && holder.title !== cell.title) holder.title = cell.title;
  if (cell.label) holder.setAttribute('aria-label', cell.label);
  if (cell.act) holder.disabled = cell.busy === true;
}

const numberCell = (text) => ({ text, number: true });

function showChannels({ channels, next }) {
  const now = Date.now();
  fillTable(byId('channels'), channels.map((channel) => ({
    key: channel.name,
    cells: [
      { text: channel.name, title: `Inspect ${channel.name}`, press: () => inspect(channel.name) },
      numberCell(channel.ended ? 'ended' : perSecond(channel.ratePerSecond)),
      numberCell(count(channel.streams)),
      numberCell(count(channel.events)),
      numberCell(bytes(channel.bytes)),
      numberCell(channel.lastEventAt ? `${duration((now - Date.parse(channel.lastEventAt)) / 1000)} ago` : '–'),
      channel.firstId ?? '–',
      channel.lastId ?? '–',
    ],
  })));
  say(byId('channels-note'), listNote(channels.length, next, 'channel'));
  showDemoHint(channels);
}

/** What is known of the streams: the last list, and which of them the user is about to end. */
const streams = { list: { connections: [], next: null, unanswered: [] }, mayEnd: false, armed: '', ending: new Set() };
const ARMED_MS = 5_000;

function showStreams(list) {
  streams.list = list;
  byId('streams-act').hidden = !streams.mayEnd;
  fillTable(byId('streams'), list.connections.map((stream) => ({
    // a row with a button is another one than a row without
    key: `${stream.id}${streams.mayEnd ? ' ' : ''}`,
    cells: streamCells(stream),
  })));
  const missing = list.unanswered.length > 0 ? `; no answer from ${list.unanswered.join(', ')}` : '';
  say(byId('streams-note'), listNote(list.connections.length, list.next, 'stream') + missing);
}

function streamCells(stream) {
  const id = String(stream.id);
  const cells = [
    { text: id, title: stream.client ? `client ${stream.client}` : '' },
    whoCell(stream),
    { text: `${stream.remoteAddr ?? '–'} ${stream.transport ?? ''}`, title: stream.userAgent ?? '' },
    { text: stream.channels.join(', '), title: stream.channels.join(', ') },
    filterText(stream.filter),
    { ...numberCell(since(stream)), title: `open for ${duration(stream.ageSeconds)}, since ${stream.openedAt}` },
    numberCell(count(stream.delivered)),
    numberCell(count(stream.filtered)),
    numberCell(count(stream.dropped)),
    numberCell(bytes(stream.queueBytes)),
    stream.cursor ?? '–',
  ];
  if (streams.mayEnd) {
    const armed = streams.armed === id;
    cells.push({
      text: armed ? 'Really?' : 'End',
      label: armed ? `Really end stream ${id}` : `End stream ${id}`,
      act: true,
      busy: streams.ending.has(id),
      press: () => pressEnd(id),
    });
  }
  return cells;
}

/** Whom a stream belongs to: a name, never what was shown for it. */
function whoCell(stream) {
  const name = stream.subject ?? stream.token ?? stream.credential;
  const shown = stream.token ? `${stream.credential} ${stream.token}` : stream.credential;
  return {
    text: stream.client ? `${name} · ${stream.client}` : name,
    title: `${stream.subject ? `subject ${stream.subject}, ` : ''}${shown}${stream.client ? `, client ${stream.client}` : ''}`,
  };
}

function since(stream) {
  const opened = new Date(stream.openedAt);
  return stream.ageSeconds < 86400 ? clock(opened) : opened.toISOString().slice(0, 10);
}

/** The first press asks, the second one ends. */
function pressEnd(id) {
  if (streams.armed !== id) {
    streams.armed = id;
    setTimeout(() => {
      if (streams.armed !== id) return;
      streams.armed = '';
      showStreams(streams.list);
    }, ARMED_MS);
    return showStreams(streams.list);
  }
  streams.armed = '';
  streams.ending.add(id);
  showStreams(streams.list);
  return endStream(id);
}

async function endStream(id) {
  const result = byId('streams-result');
  try {
    const { ended } = await ask(`/v1/connections/${encodeURIComponent(id)}`, 'DELETE');
    result.dataset.state = 'done';
    say(result, ended > 0 ? `Stream ${id} was ended.` : `Stream ${id} had ended already.`);
  } catch (error) {
    result.dataset.state = 'failed';
    say(result, `Stream ${id} was not ended: ${error.message}`);
  }
  streams.ending.delete(id);
  await refresh();
}

function filterText(filter) {
  const parts = Object.entries(filter ?? {}).map(([name, values]) => `${name}=${values.join(',')}`);
  return parts.length > 0 ? parts.join(' ') : '–';
}

function listNote(length, next, one) {
  if (next !== null && next !== undefined) return `the first ${plural(length, one)}; there are more`;
  return length === 0 ? `no ${one}s yet` : plural(length, one);
}

async function refresh() {
  const shown = [
    ask('/v1/status').then(showStatus).catch(statusFailed),
    ask('/v1/channels?limit=100').then(showChannels).catch((error) => say(byId('channels-note'), `not known: ${error.message}`)),
    ask('/v1/connections?limit=100').then(showStreams).catch((error) => {
      showStreams({ connections: [], next: null, unanswered: [] });
      say(byId('streams-note'), `not known: ${error.message}`);
    }),
  ];
  await Promise.all(shown);
}

/** Asks again two seconds after the last answer, and not while nobody looks. */
async function poll() {
  if (document.hidden) {
    document.addEventListener('visibilitychange', poll, { once: true });
    return;
  }
  await refresh();
  setTimeout(poll, POLL_MS);
}

// ---- the token ----

function askForToken() {
  byId('token-form').hidden = false;
}

function useToken(token) {
  credential.set(token);
  byId('token').value = '';
  say(byId('token-note'), token === '' ? 'No token is in use.' : 'A token is in use in this tab.');
  byId('token-forget').hidden = token === '';
  const before = live.source;
  live.source = null;
  before?.close();
  setLive('connecting');
  openLive();
  refresh();
}

byId('token-form').addEventListener('submit', (submit) => {
  submit.preventDefault();
  const token = byId('token').value.trim();
  if (token !== '') useToken(token);
});
byId('token-forget').addEventListener('click', () => useToken(''));
if (credential.token !== '') {
  askForToken();
  byId('token-forget').hidden = false;
  say(byId('token-note'), 'A token is in use in this tab.');
}

byId('charts').append(...live.charts.map((chart) => chart.figure));
setLive('connecting');
openLive();
poll();
startInspector();
setInterval(() => {
  if (document.hidden) return;
  showLiveDetail();
  showInspectorDetail();
}, 500);
