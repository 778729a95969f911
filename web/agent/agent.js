// The live card of an agent: which call he has, what is known of the caller, the form to fill in.
// Begins with card.live and goes on with the events after it, so nothing falls between. Holds no rule of its own:
// what an event says is asked for anew (card.show), what a form wants is checked by the server. All text comes
// from callers and tenants, so it is only ever set as text, never as HTML.

const KINDS = 'card.*,offer.accept,offer.answer,offer.end,form.save,agent.state';
const SAVE_AFTER_MS = 800;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15000;

const $ = (id) => document.getElementById(id);

class RpcError extends Error {
  constructor(error) {
    super(error.message);
    this.id = error.data?.error_id ?? '';
    this.details = error.data?.details ?? {};
  }
}

const session = {
  get token() { return sessionStorage.getItem('kalibri-token') ?? ''; },
  set token(value) {
    if (value) sessionStorage.setItem('kalibri-token', value);
    else sessionStorage.removeItem('kalibri-token');
  },
};

async function rpc(method, params = {}) {
  const headers = { 'Content-Type': 'application/json' };
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const answer = await (await fetch('/v1/rpc', { method: 'POST', headers, body })).json();
  if (answer.error) throw new RpcError(answer.error);
  return answer.result;
}

// ---------------------------------------------------------------------------------------------- state

const state = {
  agent: null,
  cards: new Map(), // offer id -> card
  shown: null, // offer id
  after: 0,
  source: null,
  retryMs: FIRST_RETRY_MS,
  generation: 0, // what was begun before the last log-in or log-out says nothing any more
};

const goesOn = (card) => card.state !== 'ended';
const byAge = () => [...state.cards.values()].sort((a, b) => b.offer_id - a.offer_id);

function current() {
  const cards = byAge();
  return cards.find(goesOn) ?? cards.find((card) => card.form && !card.finished_at) ?? null;
}

async function begin() {
  const generation = ++state.generation;
  const desk = await rpc('card.live');
  if (generation !== state.generation) return;
  state.agent = desk.agent;
  state.after = desk.after;
  state.cards = new Map(desk.cards.map((card) => [card.offer_id, card]));
  state.shown = current()?.offer_id ?? null;
  $('login').hidden = true;
  $('desk').hidden = false;
  draw();
  await listen(generation);
}

// --------------------------------------------------------------------------------------------- stream

async function listen(generation) {
  state.source?.close();
  let ticket;
  try {
    ticket = (await rpc('session.ticket')).token;
  } catch (error) {
    if (error.id === 'unauthorized') return leave('Logged out.');
    return again(generation);
  }
  if (generation !== state.generation) return;
  const query = new URLSearchParams({ ticket, after: state.after, kind: KINDS });
  const source = new EventSource(`/v1/events?${query}`);
  state.source = source;
  source.onopen = () => { state.retryMs = FIRST_RETRY_MS; told('connected'); };
  // The ticket is good for one beginning only, so the browser must not try again by itself.
  source.onerror = () => { source.close(); again(generation); };
  for (const kind of ['card.make', 'card.info', 'card.open', 'offer.accept', 'offer.answer', 'offer.end', 'form.save', 'agent.state']) {
    source.addEventListener(kind, (event) => {
      state.after = Number(event.lastEventId);
      heard(kind, JSON.parse(event.data)).catch(show);
    });
  }
  source.addEventListener('id', (event) => { state.after = Number(event.lastEventId) || state.after; });
  source.addEventListener('reset', () => { source.close(); begin().catch(show); });
  source.addEventListener('end', () => { source.close(); again(generation); });
}

function again(generation) {
  if (generation !== state.generation) return;
  told('connecting');
  setTimeout(() => { if (generation === state.generation) listen(generation); }, state.retryMs);
  state.retryMs = Math.min(state.retryMs * 2, LONGEST_RETRY_MS);
}

async function heard(kind, event) {
  if (kind === 'agent.state') {
    state.agent = await rpc('agent.state');
    return draw();
  }
  const offer = event.data.offer_id;
  let card;
  try {
    card = await rpc('card.show', { offer });
  } catch (error) {
    if (error.id === 'not-found') return; // an offer without a card
    throw error;
  }
  state.cards.set(offer, card);
  if (kind === 'card.open') open(event.data.url);
  if (kind === 'card.make' || state.shown === null) state.shown = current()?.offer_id ?? state.shown;
  if (card.state === 'ended' && card.outcome !== 'answered') {
    state.cards.delete(offer);
    if (state.shown === offer) state.shown = current()?.offer_id ?? null;
  }
  draw();
}

function open(url) {
  if (!/^https?:\/\//i.test(url)) return;
  window.open(url, '_blank', 'noopener,noreferrer'); // may be blocked; then there is the link
}

// ------------------------------------------------------------------------------------------------ draw

function told(text) { $('stream').textContent = text; }
function show(error) {
  if (error.id === 'unauthorized') leave('Logged out.');
  else $('problem').textContent = error.message;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function draw() {
  const agent = state.agent;
  $('agent-name').textContent = agent.display_name || agent.name;
  $('agent-state').textContent = agent.state + (agent.state_reason ? ` (${agent.state_reason})` : '');
  $('cards').replaceChildren(...byAge().map(line));
  const card = state.cards.get(state.shown);
  $('card').hidden = !card;
  $('idle').hidden = Boolean(card);
  if (card) drawCard(card);
}

function line(card) {
  const text = `${card.variables.caller || 'withheld'} · ${card.queue} · ${card.disposition ?? (goesOn(card) ? card.state : 'no disposition')}`;
  const button = element('button', { type: 'button', textContent: text, onclick: () => { state.shown = card.offer_id; draw(); } });
  if (card.offer_id === state.shown) button.setAttribute('aria-current', 'true');
  return element('li', {}, button);
}

function drawCard(card) {
  const variables = card.variables;
  $('caller').textContent = variables.caller || 'withheld';
  $('caller-name').textContent = card.info.name ?? variables.caller_name ?? '';
  $('call-state').textContent = card.preview_until ? 'preview' : card.state;
  $('preview').hidden = !card.preview_until;
  if ($('preview').dataset.offer !== String(card.offer_id)) {
    $('preview').dataset.offer = card.offer_id;
    $('skip-reason').value = '';
  }
  $('queue').textContent = variables.queue;
  $('called').textContent = variables.called;
  $('pop').hidden = !card.url;
  if (card.url) {
    $('pop-link').href = card.url;
    $('pop-link').textContent = card.url;
  }
  const facts = Object.entries(card.info).filter(([, value]) => typeof value !== 'object');
  if (card.variables.campaign) facts.unshift(['campaign', card.variables.campaign]);
  for (const [name, value] of Object.entries(card.variables.lead ?? {})) {
    if (typeof value !== 'object' && value !== '') facts.push([name, value]);
  }
  if (card.lookup === 'failed') facts.push(['look-up', card.lookup_error]);
  $('info').replaceChildren(...facts.flatMap(([name, value]) =>
    [element('dt', { textContent: name }), element('dd', { textContent: String(value) })]));
  const calls = card.history.calls ?? [];
  $('history').hidden = !calls.length;
  $('history').querySelector('ol').replaceChildren(...calls.map((call) => element('li', {
    textContent: [new Date(call.at).toLocaleString(), call.queue, call.agent, call.end, call.disposition].filter(Boolean).join(' · '),
  })));
  drawSheet(card);
}

// ------------------------------------------------------------------------------------------------ form

function drawSheet(card) {
  const sheet = $('sheet');
  const key = `${card.offer_id}/${card.form?.version ?? ''}`;
  if (sheet.dataset.key !== key) { // never while somebody fills it in
    sheet.dataset.key = key;
    sheet.replaceChildren(...(card.form ? sheetOf(card) : []));
  }
  const scripts = card.form?.fields.filter((field) => field.type === 'script') ?? [];
  for (const field of scripts) sheet.querySelector(`[data-script="${field.name}"]`).textContent = field.text;
  if (card.form) sheet.querySelector('.saved').textContent = card.finished_at ? 'finished' : card.saved_at ? 'saved' : '';
}

function sheetOf(card) {
  const finish = element('button', { type: 'submit', textContent: 'Finish' });
  return [
    element('h3', { textContent: card.form.title }),
    ...card.form.fields.map((field) => question(field, card.answers[field.name])),
    element('p', {}, finish, ' ', element('span', { className: 'saved' })),
  ];
}

function question(field, answer) {
  if (field.type === 'script') {
    const text = element('p', { className: 'script', textContent: field.text });
    text.dataset.script = field.name;
    return text;
  }
  const title = element('span', { textContent: field.label || field.name, className: field.required ? 'required' : '' });
  const problem = element('span', { className: 'error' });
  problem.dataset.problem = field.name;
  return element('label', {}, title, input(field, answer ?? ''), problem);
}

function input(field, answer) {
  const common = { name: field.name, required: field.required };
  if (field.type === 'choice') {
    const options = field.choices.map((choice) => element('option', { value: choice.value, textContent: choice.label }));
    return Object.assign(element('select', common, element('option', { value: '', textContent: '' }), ...options), { value: answer });
  }
  if (field.type === 'text' && field.lines > 1) {
    return element('textarea', { ...common, rows: field.lines, maxLength: field.max_length, value: answer });
  }
  const made = element('input', { ...common, type: field.type });
  if (field.type === 'text') made.maxLength = field.max_length;
  if (field.type === 'number') made.step = 'any';
  if (field.type === 'number' && field.minimum !== null) made.min = field.minimum;
  if (field.type === 'number' && field.maximum !== null) made.max = field.maximum;
  if (field.type === 'date' && field.earliest) made.min = field.earliest;
  if (field.type === 'date' && field.latest) made.max = field.latest;
  made.value = answer;
  return made;
}

function answers() {
  const found = {};
  for (const field of $('sheet').elements) {
    if (!field.name) continue;
    if (field.type === 'number' && field.value !== '') found[field.name] = Number(field.value);
    else if (field.validity.badInput) found[field.name] = 'no number';
    else found[field.name] = field.value;
  }
  return found;
}

let timer = 0;
let saving = Promise.resolve();

function save(finished) {
  clearTimeout(timer);
  const offer = state.shown;
  const told = answers();
  saving = saving.then(async () => { // one after the other, so an older draft never overtakes
    if (finished) for (const place of $('sheet').querySelectorAll('[data-problem]')) place.textContent = '';
    $('problem').textContent = '';
    try {
      await rpc('form.sheet.save', { offer, answers: told, finished });
      state.cards.set(offer, await rpc('card.show', { offer }));
    } catch (error) {
      if (error.id !== 'bad-answers') return show(error);
      for (const { field, problem } of error.details.problems) {
        const place = $('sheet').querySelector(`[data-problem="${CSS.escape(field)}"]`);
        if (place) place.textContent = problem;
      }
      if (finished) timer = setTimeout(() => save(false), SAVE_AFTER_MS); // what he has so far is not lost
    }
    draw();
  });
  return saving;
}

$('sheet').addEventListener('input', (event) => {
  const place = $('sheet').querySelector(`[data-problem="${CSS.escape(event.target.name)}"]`);
  if (place) place.textContent = '';
  clearTimeout(timer);
  if (!state.cards.get(state.shown)?.finished_at) timer = setTimeout(() => save(false), SAVE_AFTER_MS);
});
$('sheet').addEventListener('submit', (event) => { event.preventDefault(); save(true); });

// ---------------------------------------------------------------------------------------------- preview

// The offer goes with it: a second click never decides on the next lead.
async function decide(method, params) {
  const offer = Number($('preview').dataset.offer);
  $('accept').disabled = $('skip').disabled = true;
  try {
    await rpc(method, { offer, ...params });
    $('problem').textContent = '';
  } catch (error) { show(error); }
  $('accept').disabled = $('skip').disabled = false;
}

$('preview').addEventListener('submit', (event) => { event.preventDefault(); decide('agent.preview.accept', {}); });
$('skip').addEventListener('click', () => decide('agent.preview.skip', { reason: $('skip-reason').value || 'skipped' }));
$('skip-reason').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault(); // Enter in this field must not call
  $('skip').click();
});

// ----------------------------------------------------------------------------------------------- log-in

$('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  $('login-error').textContent = '';
  session.token = '';
  try {
    const made = await rpc('session.login', {
      place: $('place').value, username: $('username').value, password: $('password').value,
    });
    session.token = made.token;
    $('password').value = '';
    await begin();
  } catch (error) {
    $('login-error').textContent = error.message;
  }
});

$('leave').addEventListener('click', async () => {
  try { await rpc('session.end'); } catch { /* the token has ended already */ }
  leave('');
});

for (const button of document.querySelectorAll('[data-state]')) {
  button.addEventListener('click', async () => {
    try {
      await rpc('agent.setState', { state: button.dataset.state });
      $('problem').textContent = '';
    } catch (error) { show(error); }
  });
}

function leave(text) {
  state.generation += 1;
  state.source?.close();
  session.token = '';
  $('desk').hidden = true;
  $('login').hidden = false;
  $('login-error').textContent = text;
}

setInterval(() => {
  const agent = state.agent;
  if (!agent) return;
  const wrapup = agent.state === 'wrapup' && agent.wrapup_until;
  const ms = wrapup ? Date.parse(agent.wrapup_until) - Date.now() : Date.now() - Date.parse(agent.state_at);
  const seconds = Math.max(0, Math.round(ms / 1000));
  const until = state.cards.get(state.shown)?.preview_until;
  $('preview-clock').textContent = until ? `${Math.max(0, Math.round((Date.parse(until) - Date.now()) / 1000))} s` : '';
  $('agent-clock').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}, 500);

if (session.token) begin().catch((error) => leave(error.id === 'unauthorized' ? '' : error.message));
else $('login').hidden = false;
