"use strict";
// Everything that comes from the cluster is put into the page by textContent: it is text, whatever it says.

const ROW = 30, SPARE = 8, SVG = "http://www.w3.org/2000/svg";
const asked = new URLSearchParams(location.search).get("node");
const byId = (id) => document.getElementById(id);
const pods = new Map();
let shown = [], chosen = -1, points = [], shot = null, since = "", isDirty = true;

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function put(id, text) {
  const there = byId(id);
  if (there.textContent !== text) there.textContent = text;
}

function fill(id, made) { byId(id).replaceChildren(...made); }

function age(since, until) {
  const seconds = Math.max(0, (until - Date.parse(since)) / 1000);
  if (!since || Number.isNaN(seconds)) return "";
  if (seconds < 120) return Math.floor(seconds) + "s";
  if (seconds < 7200) return Math.floor(seconds / 60) + "m";
  if (seconds < 172800) return Math.floor(seconds / 3600) + "h";
  return Math.floor(seconds / 86400) + "d";
}

const money = (amount) => amount.toFixed(amount >= 10 ? 2 : amount >= 0.01 || !amount ? 4 : 6);

// --- charts: a few lines of SVG ---

function bar(label, count, whole, tone, words) {
  const line = element("div", undefined, "bar");
  const track = drawn("svg", { viewBox: "0 0 100 5", preserveAspectRatio: "none", "aria-hidden": "true" });
  track.append(drawn("rect", { class: "fill " + tone, width: whole ? 100 * Math.min(1, count / whole) : 0, height: 5 }));
  line.append(element("span", label), element("span", words), track);
  line.title = label;
  return line;
}

function parts(id, counts, whole) {
  const track = element("div", undefined, "parts");
  const keys = element("p", undefined, "keys");
  for (const [name, count] of Object.entries(counts)) {
    const piece = drawn("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    piece.style.flex = count + " 1 0";
    piece.append(drawn("rect", { class: "fill " + (TONES[name] || ""), width: 1, height: 1 }));
    track.append(piece);
    keys.append(element("span", name + " " + count, "key " + (TONES[name] || "")));
  }
  fill(id, whole ? [track, keys] : []);
}

function path(values, most, high, close) {
  const step = values.length > 1 ? 300 / (values.length - 1) : 300;
  const at = values.map((value, number) => (number * step).toFixed(1) + "," + (high - (high - 3) * value / (most || 1)).toFixed(1));
  if (at.length === 1) at.push("300," + at[0].split(",")[1]);
  return "M" + at.join("L") + (close ? "L300," + high + "L0," + high + "Z" : "");
}

const rounded = (value) => value >= 100 ? String(Math.round(value)) : String(Math.round(value * 1000) / 1000);

// lines: { name, values, look: classes of the line, fills: whether what is below it is filled }
function chart(id, lines, unit, { high = 48, marks = [1] } = {}) {
  const most = Math.max(...lines.flatMap((line) => line.values), 0);
  const svg = drawn("svg", { viewBox: "0 0 300 " + high, preserveAspectRatio: "none", role: "img" });
  svg.append(drawn("title", {}));
  svg.firstChild.textContent = "The last hour: " + lines.map((line) => line.name + " " + rounded(line.values.at(-1) ?? 0) + unit).join(", ");
  for (const mark of marks.slice(1)) {
    const y = high - (high - 3) * mark;
    svg.append(drawn("path", { class: "grid", d: "M0," + y + "L300," + y }));
  }
  for (const line of lines) {
    if (!line.values.length) continue;
    if (line.fills) svg.append(drawn("path", { class: "area " + line.look, d: path(line.values, most, high, true) }));
    svg.append(drawn("path", { class: "line " + line.look, d: path(line.values, most, high, false) }));
  }
  const graph = element("div", undefined, "graph");
  graph.append(svg);
  if (high > 48) {
    for (const mark of marks) {
      const label = element("span", rounded(most * mark) + unit);
      label.style.top = 100 * (1 - mark) + "%";
      graph.append(label);
    }
  }
  const words = element("p");
  words.append(element("span", since + " ago"), element("span", high > 48 ? "" : "at most " + rounded(most) + unit), element("span", "now"));
  fill(id, [graph, words]);
}

const IDLE = [
  { key: "quota", name: "quota", look: "dashed" },
  { key: "forecast", name: "forecast of all others", look: "two" },
  { key: "published", name: "published", look: "", fills: true },
  { key: "running", name: "running", look: "good", fills: true },
];

function current() {
  const phases = shot.podCounts.byPhase, idle = shot.idle || {};
  return {
    at: shot.at, running: phases.Running || 0, pending: phases.Pending || 0, instances: shot.instances.total, queue: shot.queue.depth,
    perHour: shot.costs.reduce((sum, each) => sum + each.perHour, 0), calls: shot.budgets.reduce((sum, each) => sum + each.used, 0),
    quota: idle.quota || 0, idleForecast: idle.forecast || 0, idlePublished: idle.published || 0, idleRunning: idle.running || 0,
  };
}

// What was written down, and what is now.
function drawHistory() {
  const known = shot ? points.concat(current()) : points;
  const of = (key) => known.map((point) => point[key]);
  since = known.length ? age(known[0].at, Date.parse(known.at(-1).at)) : "";
  chart("spark-pods", [{ name: "running", values: of("running"), look: "good", fills: true }, { name: "pending", values: of("pending"), look: "warn" }], "");
  chart("spark-instances", [{ name: "instances", values: of("instances"), look: "", fills: true }], "");
  chart("spark-cost", [{ name: "an hour", values: of("perHour"), look: "", fills: true }], "");
  chart("spark-calls", [{ name: "calls a minute", values: of("calls"), look: "", fills: true }, { name: "queue", values: of("queue"), look: "two" }], "");
  if (shot && shot.idle) {
    const past = { quota: "quota", forecast: "idleForecast", published: "idlePublished", running: "idleRunning" };
    const lines = IDLE.map((line) => ({ ...line, values: of(past[line.key]) }));
    chart("idle-chart", lines, " vCPU", { high: 200, marks: [1, 0.75, 0.5, 0.25] });
  }
}

// --- the snapshot ---

const TONES = { Running: "good", Succeeded: "plain", Failed: "bad", ScheduleFailed: "bad", Pending: "warn", Scheduling: "warn" };

function amounts(id, costs, value, unit) {
  const made = costs.flatMap((cost, number) => [...(number ? [document.createTextNode(", ")] : []), document.createTextNode(money(value(cost))), element("small", " " + cost.currency + unit)]);
  fill(id, made.length ? made : [document.createTextNode("–")]);
}

function onSnapshot(found) {
  shot = found;
  const failing = found.checks.filter((check) => !check.isHealthy);
  put("node", found.node);
  document.title = found.node + " · vk-provider";
  state(found.isReady ? "ready" : "not ready", found.isReady ? "good" : "bad");
  put("about", "version " + found.build.version + ", up " + age(found.build.startedAt, Date.parse(found.at)));
  const strip = [];
  const add = (text, isBad) => strip.push(element("li", text, isBad ? "bad" : ""));
  add(found.leadership.lease ? (found.leadership.isLeader ? "leads" : "does not lead") : "alone", !found.leadership.isLeader);
  add(found.cloud.name + " " + found.cloud.region + (found.cloud.isHealthy === false ? " fails: " + found.cloud.message : ""), found.cloud.isHealthy === false);
  failing.forEach((check) => add(check.name + ": " + check.message, true));
  add(found.checks.length - failing.length + " of " + found.checks.length + " checks pass", failing.length > 0);
  if (found.instances.orphansTotal) add(found.instances.orphansTotal + " orphans", true);
  fill("health", strip);
  put("pods-total", String(found.podCounts.total));
  parts("phases", found.podCounts.byPhase, found.podCounts.total);
  put("instances-total", String(found.instances.total));
  parts("statuses", found.instances.byStatus, found.instances.total);
  amounts("cost-now", found.costs, (cost) => cost.perHour, "/h");
  amounts("cost-total", found.costs, (cost) => cost.sinceStart, "");
  put("queue-depth", String(found.queue.depth));
  put("queue-more", "oldest " + found.queue.oldestS.toFixed(1) + " s, " + found.queue.delayed + " due later" + (found.queue.failing ? ", " + found.queue.failing + " failing" : ""));
  const budgets = found.budgets.filter((each) => each.used).sort((a, b) => b.used / b.allowed - a.used / a.allowed).slice(0, 5);
  fill("budgets", budgets.map((each) => bar(each.action, each.used, each.allowed, each.used > 0.9 * each.allowed ? "bad" : "", each.used + " of " + each.allowed)));
  fill("waiting", found.podCounts.waiting.slice(0, 30).map((group) => {
    const line = element("li");
    const choice = element("button", group.reason);
    choice.type = "button";
    choice.title = "Show these pods";
    choice.addEventListener("click", () => only(group.reason));
    line.append(element("b", String(group.count)), choice, element("span", [group.message, group.examples.slice(0, 2).join(", ")].filter(Boolean).join(" – "), "quiet"));
    return line;
  }));
  if (!found.podCounts.waiting.length) fill("waiting", [element("li", "every pod runs or has ended well", "all")]);
  fill("events", found.events.slice(0, 60).map((each) => {
    const line = element("li");
    line.append(element("span", each.at.slice(11, 19), "quiet"), element("span", each.reason, each.type === "Warning" ? "warn" : ""), element("span", each.object + ": " + each.message));
    return line;
  }));
  byId("idle").hidden = !found.idle;
  if (found.idle) {
    fill("idle-legend", IDLE.map((line) => element("span", line.name + " " + rounded(found.idle[line.key]) + " vCPU", "key " + line.look)));
  }
  drawHistory();
  drawRows();
}

function state(text, tone) {
  put("state", text);
  byId("state").className = "badge " + tone;
}

// --- the table: as many rows as fit are there, however many pods there are ---

function onPods(change) {
  if (change.reset) pods.clear();
  for (const row of change.rows) {
    row.words = [row.namespace + "/" + row.name, row.phase, row.reason, row.message, row.instance, row.instanceStatus, row.sku, row.zone, row.controller, row.isOrphan ? "orphan" : ""].join(" ").toLowerCase();
    pods.set(row.uid, row);
  }
  for (const uid of change.gone) pods.delete(uid);
  isDirty = true;
  requestAnimationFrame(refilter);
}

function only(words) {
  byId("filter").value = words;
  isDirty = true;
  byId("table").scrollTop = 0;
  refilter();
  byId("pods-title").scrollIntoView({ block: "start" });
}

function refilter() {
  if (!isDirty) return;
  isDirty = false;
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = chosen >= 0 && shown[chosen] ? shown[chosen].uid : "";
  shown = [];
  for (const row of pods.values()) if (words.every((word) => row.words.includes(word))) shown.push(row);
  chosen = kept ? shown.findIndex((row) => row.uid === kept) : -1;
  put("shown", shown.length + " of " + pods.size);
  byId("table").setAttribute("aria-rowcount", String(shown.length + 1));
  byId("rows").style.height = shown.length * ROW + "px";
  drawRows();
}

const live = [];

function drawRows() {
  const table = byId("table"), now = shot ? Date.parse(shot.at) : Date.now();
  const first = Math.max(0, Math.floor(table.scrollTop / ROW) - SPARE);
  const last = Math.min(shown.length, first + Math.ceil(table.clientHeight / ROW) + 2 * SPARE);
  while (live.length < last - first) {
    const line = element("div", undefined, "row");
    line.setAttribute("role", "row");
    for (let number = 0; number < 6; number++) {
      const cell = element("span");
      cell.setAttribute("role", "cell");
      line.append(cell);
    }
    live.push(line);
    byId("rows").append(line);
  }
  live.forEach((line, number) => {
    const place = first + number, row = place < last ? shown[place] : null;
    line.hidden = !row;
    line.style.display = row ? "" : "none";
    if (!row) return;
    line.style.transform = "translateY(" + place * ROW + "px)";
    line.setAttribute("aria-rowindex", String(place + 2));
    line.classList.toggle("chosen", place === chosen);
    line.dataset.place = String(place);
    const texts = [row.namespace + "/" + row.name, (row.isOrphan ? "Orphan" : row.phase) + (row.reason ? " · " + row.reason : ""), row.instance, row.sku, age(row.placedAt || row.createdAt, now), row.currency ? money(row.perHour) + " " + row.currency : ""];
    texts.forEach((text, at) => {
      const cell = line.children[at];
      if (cell.textContent !== text) { cell.textContent = text; cell.title = text; }
    });
    line.children[1].className = row.isOrphan ? "bad" : row.reason ? "warn" : TONES[row.phase] || "";
  });
}

function choose(place) {
  if (!shown.length) return;
  chosen = Math.min(shown.length - 1, Math.max(0, place));
  const table = byId("table"), top = chosen * ROW, room = table.clientHeight - ROW;
  if (top < table.scrollTop) table.scrollTop = top;
  else if (top + ROW > table.scrollTop + room) table.scrollTop = top + ROW - room;
  drawRows();
}

async function explain(place) {
  const row = shown[place];
  if (!row) return;
  choose(place);
  put("detail-title", row.namespace + "/" + row.name);
  const list = [["state", row.phase + (row.reason ? " · " + row.reason : "")], ["message", row.message], ["decision", row.action + ": " + row.decision], ["instance", row.instance + " " + row.instanceStatus], ["size", row.sku], ["zone", row.zone], ["price", row.currency ? row.perHour + " " + row.currency + "/h" : ""], ["controller", row.controller]];
  const write = () => fill("detail-list", list.filter((each) => each[1].trim()).flatMap((each) => [element("dt", each[0]), element("dd", each[1])]));
  write();
  if (!byId("detail").open) byId("detail").showModal();
  const answer = await fetch("/explain?" + new URLSearchParams({ ...(asked ? { node: asked } : {}), namespace: row.namespace, name: row.name }));
  if (!answer.ok) return;
  const found = await answer.json();
  if (found.problem) list.push(["cloud says", found.problem]);
  if (found.nextTryS !== null) list.push(["next try", "in " + Math.round(found.nextTryS) + " s"]);
  for (const each of found.cloudEvents.slice(-6)) list.push([each.reason, each.message]);
  write();
}

// --- hands ---

addEventListener("DOMContentLoaded", () => {
  const table = byId("table");
  table.addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  addEventListener("resize", () => requestAnimationFrame(drawRows));
  byId("filter").addEventListener("input", () => { isDirty = true; table.scrollTop = 0; refilter(); });
  byId("rows").addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (line) explain(Number(line.dataset.place));
  });
  table.addEventListener("keydown", (event) => {
    const page = Math.floor(table.clientHeight / ROW) - 1;
    const to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + page, PageUp: chosen - page, Home: 0, End: shown.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); choose(to); }
    // Else the same Enter would press the button of the dialog that it opens.
    if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); explain(chosen); }
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, dialog")) { event.preventDefault(); byId("filter").focus(); }
    if (event.key === "Escape" && event.target.id === "filter") { event.target.value = ""; isDirty = true; refilter(); }
  });
  byId("theme").addEventListener("click", () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const classes = document.documentElement.classList;
    const becomes = (classes.contains("dark") || (isDark && !classes.contains("light"))) ? "light" : "dark";
    classes.remove("light", "dark");
    classes.add(becomes);
  });
  fetch("/nodes").then((answer) => answer.json()).then((names) => {
    byId("nodes").hidden = names.length < 2 && !asked;
    fill("nodes", names.map((name) => {
      const link = element("a", name);
      link.href = "/?" + new URLSearchParams({ node: name });
      return link;
    }));
  }).catch(() => {});
  const stream = new EventSource("/stream" + (asked ? "?" + new URLSearchParams({ node: asked }) : ""));
  stream.addEventListener("snapshot", (event) => onSnapshot(JSON.parse(event.data)));
  stream.addEventListener("pods", (event) => onPods(JSON.parse(event.data)));
  stream.addEventListener("history", (event) => {
    const found = JSON.parse(event.data);
    points = (found.reset ? [] : points).concat(found.points).slice(-120);
    drawHistory();
  });
  stream.addEventListener("error", () => state("no connection", "bad"));
});
