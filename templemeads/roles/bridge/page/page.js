// The page of a network: reads the interface below /v1/ with a key of scope "read", and changes nothing.
// Everything that comes from the network is put on the page as text, never as markup.

const MAX_JOBS = 500;
const HEALTH_SECONDS = 5;
const RETRY_SECONDS = 2;
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const base = new URL("../v1/", document.baseURI);

const jobs = new Map();
let key = sessionStorage.getItem("key");
let lastEvent = null;
let shown = null;
let life = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function drawing(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== null) made.textContent = text;
  return made;
}

function picture(width, height, label) {
  const made = drawing("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  return made;
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${key}`, ...(options.headers ?? {}) };
  const response = await fetch(new URL(path, base), { ...options, headers, cache: "no-store" });
  if (response.status === 401 || response.status === 403) throw new Error("This key is not taken.");
  if (!response.ok) throw new Error(`The bridge answered with status ${response.status}.`);
  return response;
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

function age(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

// -- the network ------------------------------------------------------------------------------------------------------

function flatten(health, depth = 0, found = [], parent = null, reachable = true) {
  const connected = reachable && health.connected !== false;
  const node = { health, depth, parent, connected, row: found.length };
  found.push(node);
  for (const name of Object.keys(health.peers ?? {}).sort()) flatten(health.peers[name], depth + 1, found, node, connected);
  return found;
}

function showNetwork(health) {
  const nodes = flatten(health);
  const deepest = Math.max(...nodes.map((node) => node.depth));
  const wide = 190, high = 62;
  const up = nodes.filter((node) => node.connected).length;
  const svg = picture(wide * (deepest + 1), high * nodes.length, `${nodes.length} agents, ${up} of them connected`);
  for (const node of nodes) {
    const x = node.depth * wide + 4, y = node.row * high + 6;
    const state = node.connected ? "connected" : "absent";
    if (node.parent) {
      const px = node.parent.depth * wide + 24, py = node.parent.row * high + 52;
      svg.append(drawing("path", { class: `wire ${state}`, d: `M${px} ${py} V${y + 23} H${x}` }));
    }
    svg.append(drawing("rect", { class: `node ${state}`, x, y, width: 150, height: 46, rx: 6 }));
    svg.append(drawing("text", { x: x + 9, y: y + 19 }, node.health.name));
    svg.append(drawing("text", { x: x + 9, y: y + 37, class: "quiet" }, `${node.health.agent_type}, ${state}`));
  }
  byId("network").replaceChildren(svg);
  const now = Date.now() / 1000;
  byId("agents").replaceChildren(...nodes.map((node) => {
    const state = node.connected ? "connected" : "absent";
    const seen = Date.parse(node.health.last_updated) / 1000;
    const number = (value) => element("td", { class: "number" }, String(value ?? ""));
    return element("tr", {},
      element("th", { scope: "row" }, node.health.name), element("td", {}, node.health.agent_type),
      element("td", { class: state }, state), element("td", {}, Number.isFinite(seen) ? age(now - seen) : ""),
      number(node.health.active_jobs), number(node.health.running_jobs),
      number(node.health.total_completed), number(node.health.total_failed));
  }));
}

// -- figures ------------------------------------------------------------------------------------------------------------

function showFigures() {
  const now = Date.now() / 1000;
  const all = [...jobs.values()];
  const ended = all.filter((job) => job.state === "Complete" || job.state === "Error").sort((a, b) => a.changed - b.changed);
  const minutes = new Array(60).fill(0);
  for (const job of all) {
    const minute = Math.floor((now - job.created) / 60);
    if (minute >= 0 && minute < 60) minutes[59 - minute] += 1;
  }
  const most = Math.max(1, ...minutes);
  const rates = picture(320, 110, `Jobs per minute: ${minutes[59]} in this minute, at most ${most} in the last hour`);
  minutes.forEach((count, index) => {
    const height = (count / most) * 80;
    rates.append(drawing("rect", { class: "bar", x: 10 + index * 5, y: 90 - height, width: 4, height }));
  });
  rates.append(drawing("text", { x: 10, y: 106, class: "quiet" }, "an hour ago"), drawing("text", { x: 282, y: 106, class: "quiet" }, "now"));
  rates.append(drawing("text", { x: 10, y: 12, class: "quiet" }, `most: ${most}`));
  byId("rates").replaceChildren(rates);

  const took = ended.slice(-100).map((job) => ({ seconds: job.changed - job.created, state: job.state }));
  const longest = Math.max(1, ...took.map((each) => each.seconds));
  const latencies = picture(320, 110, `${took.length} results, the slowest after ${longest} seconds`);
  took.forEach((each, index) => {
    latencies.append(drawing("circle", { class: `dot ${each.state}`, cx: 12 + index * 3, cy: 90 - (each.seconds / longest) * 75, r: 2.5 }));
  });
  latencies.append(drawing("text", { x: 10, y: 12, class: "quiet" }, `longest: ${longest} s`));
  byId("latencies").replaceChildren(latencies);

  const reasons = new Map();
  for (const job of ended) {
    if (job.state === "Error") {
      const reason = job.error?.kind ?? "error";
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  }
  const rows = [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 5);
  if (rows.length === 0) {
    byId("failures").replaceChildren(element("p", {}, "None."));
    return;
  }
  const failures = picture(320, 22 * rows.length + 4, rows.map(([reason, count]) => `${reason}: ${count}`).join(", "));
  rows.forEach(([reason, count], index) => {
    failures.append(drawing("rect", { class: "bar", x: 130, y: 22 * index + 4, width: (count / rows[0][1]) * 140, height: 14 }));
    failures.append(drawing("text", { x: 4, y: 22 * index + 16 }, reason.slice(0, 18)));
    failures.append(drawing("text", { x: 276, y: 22 * index + 16 }, String(count)));
  });
  byId("failures").replaceChildren(failures);
}

// -- jobs -----------------------------------------------------------------------------------------------------------------

function isWanted(job) {
  const text = byId("text").value, state = byId("state").value;
  return job.command.includes(text) && (state === "" || job.state === state);
}

function showJobs() {
  const wanted = [...jobs.values()].filter(isWanted).sort((a, b) => b.created - a.created || (a.id < b.id ? -1 : 1));
  byId("jobs-caption").textContent = `${wanted.length} jobs, newest first`;
  const focused = document.activeElement?.dataset?.job;
  byId("jobs").replaceChildren(...wanted.slice(0, 100).map((job) => {
    const open = element("button", { type: "button", "data-job": job.id }, job.command);
    open.addEventListener("click", () => { shown = job.id; showJob(true); });
    const ended = job.state === "Complete" || job.state === "Error";
    return element("tr", {},
      element("td", {}, clock(job.created)), element("td", { class: "command" }, open),
      element("td", { class: job.state }, job.state),
      element("td", { class: "number" }, ended ? `${job.changed - job.created} s` : ""));
  }));
  if (focused) byId("jobs").querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
}

function hopsOf(job) {
  const words = job.command.split(" ");
  const own = words[0].split(".");
  return words[1] === "submit" ? [own[0], ...words[2].split(".")] : own;
}

function showJob(takeFocus = false) {
  const job = jobs.get(shown);
  byId("job").hidden = job === undefined;
  if (job === undefined) return;
  const hops = hopsOf(job);
  const reached = job.state === "Pending" ? 0 : hops.length - 1;
  byId("hops").replaceChildren(...hops.map((name, index) => {
    let mark = "", word = index <= reached ? "passed" : "to come";
    if (job.state === "Complete") [mark, word] = ["done", "done"];
    else if (job.state === "Error" && (job.error?.origin ?? hops.at(-1)) === name) [mark, word] = ["failed", "failed here"];
    else if (index === reached) [mark, word] = ["here", job.state === "Running" ? "running" : "waiting"];
    return element("li", { class: mark }, name, element("small", {}, word));
  }));
  const facts = {
    Command: job.command, State: job.state, Result: job.result ?? "", "Put at": clock(job.created),
    "Changed at": clock(job.changed), "Expires at": clock(job.expires), Id: job.id,
  };
  byId("job-facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, String(value))]));
  if (takeFocus) byId("job").focus();
}

function takeJob(job) {
  if (job.deleted) jobs.delete(job.id);
  else jobs.set(job.id, job);
  while (jobs.size > MAX_JOBS) jobs.delete(jobs.keys().next().value);
}

let drawn = false;
function redraw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => { drawn = false; showJobs(); showFigures(); showJob(); });
}

// -- following -----------------------------------------------------------------------------------------------------------------

const pause = (seconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, seconds * 1000);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

async function loadJobs() {
  const { jobs: found } = await (await ask(`jobs?limit=${MAX_JOBS}`)).json();
  jobs.clear();
  for (const job of found.reverse()) takeJob(job);
  redraw();
}

function takeEvent(lines) {
  let kind = "message", data = "";
  for (const line of lines) {
    if (line.startsWith("id: ")) lastEvent = line.slice(4);
    else if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (kind === "job") { takeJob(JSON.parse(data)); redraw(); }
  return kind === "reset";
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      const response = await ask("events", { signal, headers: lastEvent === null ? {} : { "Last-Event-ID": lastEvent } });
      byId("connection").textContent = "Live";
      if (lastEvent === null) await loadJobs();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) if (takeEvent(part.split("\n"))) await loadJobs();
      }
    } catch (error) {
      if (signal.aborted) return;
    }
    byId("connection").textContent = "The bridge does not answer; trying again";
    await pause(RETRY_SECONDS, signal);
  }
}

async function watchHealth(signal) {
  while (!signal.aborted) {
    try {
      showNetwork(await (await ask("health", { signal })).json());
    } catch (error) {
      if (signal.aborted) return;
    }
    await pause(HEALTH_SECONDS, signal);
  }
}

// -- log in and out ---------------------------------------------------------------------------------------------------------------

async function begin() {
  const about = await (await ask("")).json();
  sessionStorage.setItem("key", key);
  byId("name").textContent = about.portal;
  document.title = `Network of ${about.portal}`;
  byId("login").hidden = true;
  byId("board").hidden = false;
  byId("logout").hidden = false;
  life = new AbortController();
  lastEvent = null;
  follow(life.signal);
  watchHealth(life.signal);
}

function leave() {
  life?.abort();
  sessionStorage.removeItem("key");
  location.reload();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  key = byId("key").value.trim().toLowerCase();
  byId("login-problem").textContent = "";
  try {
    await begin();
  } catch (error) {
    byId("login-problem").textContent = error.message;
  }
});
byId("logout").addEventListener("click", leave);
byId("close").addEventListener("click", () => {
  const last = shown;
  shown = null;
  byId("job").hidden = true;
  byId("jobs").querySelector(`[data-job="${CSS.escape(last)}"]`)?.focus();
});
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("text").addEventListener("input", redraw);
byId("state").addEventListener("change", redraw);
if (key !== null) begin().catch(() => sessionStorage.removeItem("key"));
