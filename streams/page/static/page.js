"use strict";
// The live page: follows /ui/events and draws what it says.

const REASONS = {
  best: "best for its price", next_best: "next best: a better one had no room", warmup: "drawn while learning prices",
  explore: "drawn to learn", not_worth: "no model is worth its price now", no_budget: "no budget has room",
  seen_before: "sent before", not_allowed: "no model may take it", deadline_exceeded: "too late",
};
const BACKENDS = {
  up: ["● up", "good"], idle: ["○ nothing to do", ""], failing: ["▲ failing", "bad"], silent: ["■ no answers", "bad"],
};
const $ = (id) => document.getElementById(id);
const memory = {
  get: (name) => { try { return sessionStorage.getItem(name) || ""; } catch { return ""; } },
  set: (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* not kept */ } },
};

const charts = {
  burn: new Chart("chart-burn", { range: () => [0, 100], none: "no report of a router yet" }),
  flow: new Chart("chart-flow", { none: "no query yet" }),
  value: new Chart("chart-value", { none: "no answer yet" }),
  latency: new Chart("chart-latency", { none: "no answer yet" }),
};
const rows = new Map();
let state = null;
let held = false;
const openDecisions = new Set();

// ---- receiving

function authorized() {
  const key = memory.get("key");
  return key ? { authorization: "Bearer " + key } : {};
}

async function fetchJson(path) {
  const answer = await fetch(path, { headers: authorized() });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error.message);
  return body;
}

async function follow() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 5000)) {
    try {
      const answer = await fetch("/ui/events", { headers: authorized(), cache: "no-store" });
      if (answer.status === 401) {
        $("key").hidden = false;
        status("away", "a key is needed");
        await new Promise((go) => $("key").addEventListener("submit", (event) => {
          event.preventDefault();
          memory.set("key", $("key-value").value);
          $("key").hidden = true;
          go();
        }, { once: true }));
        continue;
      }
      await read(answer.body.getReader());
      wait = 250;
    } catch { /* told below */ }
    status("away", "no connection to sluice serve; trying again");
    await new Promise((go) => setTimeout(go, wait));
  }
}

async function read(reader) {
  const decoder = new TextDecoder();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) take(JSON.parse(data.slice(6)), event.includes("event: full"));
    }
  }
}

function take(body, full) {
  if (full) rows.clear();
  for (const row of body.rows) rows.set(row.t, row);
  state = body;
  if (body.failure) status("away", body.failure);
  else status("live", `live · ${body.owned} of ${body.partitions} partitions served`);
  if (body.owned < body.partitions && !body.failure) $("status").className = "away";
  draw();
}

function status(kind, words) {
  $("status").className = kind;
  const place = $("status").querySelector(".words");
  if (place.textContent !== words) place.textContent = words;
}

// ---- drawing

function draw() {
  if (!state) return;
  document.body.classList.toggle("orders", state.orders);
  const since = state.now - Number($("range").value);
  const steps = [...rows.values()].filter((row) => row.t >= since).sort((a, b) => a.t - b.t);
  drawTiles(steps);
  drawLimits();
  drawFloors();
  drawPools();
  drawCharts(steps);
  drawBackends();
  drawWaits();
  if (!held && !openDecisions.size) drawDecisions();
  window.sluiceDrawn = (window.sluiceDrawn || 0) + 1;
}

function tile(id, big, small, kind) {
  const place = $(id);
  place.className = "tile " + (kind || "");
  place.querySelector(".big").textContent = big;
  place.querySelector(".small").textContent = small;
}

function sum(steps, name) {
  return steps.reduce((total, row) => total + (row.sums[name] || 0), 0);
}

function drawTiles(steps) {
  const minute = state.minute.sums;
  const flow = Object.entries(minute).filter(([name]) => name.startsWith("flow:"));
  const count = flow.reduce((total, [, value]) => total + value, 0);
  const answered = (minute.answered || 0), failed = (minute.failed || 0);
  tile("tile-flow", `${whole(count)}/min`, answered + failed
    ? `${whole(answered)} answered, ${whole(failed)} without an answer` : "none answered in this minute",
    failed > answered * 0.05 ? "warn" : "");
  const ours = sum(steps, "estimated") / sum(steps, "estimated cost");
  const mix = sum(steps, "static") / sum(steps, "estimated cost");
  if (isFinite(ours) && mix > 0) {
    const gain = 100 * (ours / mix - 1);
    tile("tile-value", `${gain >= 0 ? "+" : "−"}${Math.abs(gain).toFixed(0)} %`, "against a static mix of the same money (estimated)", gain >= 0 ? "good" : "warn");
  } else tile("tile-value", "–", "no query yet");
  const tight = state.limits.filter((one) => one.limit > 0).map((one) => [used(one) - Math.max(pace(one) ?? 0, 0), one])
    .sort((a, b) => b[0] - a[0])[0];
  if (tight) {
    const left = 100 * Math.max(1 - used(tight[1]), 0);
    tile("tile-money", `${left.toFixed(0)} % left`, tight[1].name, left < 2 ? "bad" : left < 15 ? "warn" : "");
  } else tile("tile-money", "–", "no budget");
  const waiting = state.waits.deferred, undecided = state.backlog;
  tile("tile-waits", whole(waiting + undecided), waiting || undecided
    ? `${whole(waiting)} deferred, ${whole(undecided)} not decided yet` : "nothing", undecided > 1000 ? "warn" : "");
  const ill = state.models.filter((one) => ["failing", "silent"].includes(one.backend));
  tile("tile-backends", ill.length ? `${ill.length} away` : "all well",
    ill.length ? ill.map((one) => one.name).join(", ") : `${state.models.length} models`, ill.length ? "bad" : "good");
}

function used(one) { return one.limit > 0 ? (one.spent + one.reserved) / one.limit : 0; }
function pace(one) {
  if (!one.ends || !one.begins) return null;
  return Math.min(Math.max((state.now - one.begins) / (one.ends - one.begins), 0), 1);
}

function drawLimits() {
  const place = $("limits");
  keep(place, state.limits, (one) => one.key, () => {
    const line = make("div", "limit");
    const bar = make("div", "bar");
    bar.append(make("span", "spent"), make("span", "reserved"), make("span", "pace"));
    line.append(make("span", "name"), bar, make("span", "figures"));
    return line;
  }, (line, one) => {
    const [name, bar, figures] = line.children;
    const [spent, reserved, mark] = bar.children;
    const part = (value) => (one.limit > 0 ? Math.min((100 * value) / one.limit, 100) : 0);
    name.textContent = one.name;
    spent.style.width = part(one.spent) + "%";
    reserved.style.left = part(one.spent) + "%";
    reserved.style.width = Math.min(part(one.reserved), 100 - part(one.spent)) + "%";
    const time = pace(one);
    mark.hidden = time === null;
    if (time !== null) mark.style.left = `calc(${100 * time}% - 1px)`;
    const left = 1 - used(one);
    bar.className = "bar " + (left < 0.02 ? "bad" : left < 0.15 || (time !== null && used(one) > time + 0.15) ? "warn" : "");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `${Math.round(100 * used(one))} % of ${one.name} used`);
    const unit = one.unit === "currency" ? "" : " " + one.unit;
    figures.replaceChildren(make("b", "", `${Math.max(100 * left, 0).toFixed(0)} % left`),
      ` of ${short(one.limit)}${unit}` + (one.ends ? `, ${until(one.ends)} to go` : "") +
      (one.price == null ? "" : ` · price ${one.price < 1e-9 ? "0" : short(one.price)}`));
    if (state.orders) {
      const order = make("button", "", "Limit…");
      order.addEventListener("click", () => askOrder({ name: one.key.split("\t")[0], tenant: one.key.split("\t")[1], action: "limit" }, one));
      figures.append(" ", order);
    }
  });
}

function drawFloors() {
  $("floors-card").hidden = !state.floors.length;
  keep($("floors"), state.floors, (one) => one.value, () => {
    const line = make("div", "limit");
    const bar = make("div", "bar");
    bar.append(make("span", "spent"), make("span", "pace"));
    line.append(make("span", "name"), bar, make("span", "figures"));
    return line;
  }, (line, one) => {
    const [name, bar, figures] = line.children;
    const [reached, mark] = bar.children;
    const score = one.estimated == null ? "none sent" : one.estimated.toFixed(3);
    name.textContent = `${one.value}` + (one.whose.length ? ` · ${one.whose.join(", ")}` : "");
    reached.style.width = 100 * (one.estimated ?? 0) + "%";
    mark.style.left = `calc(${100 * one.value}% - 1px)`;
    bar.className = "bar " + (one.estimated != null && one.estimated < one.value - 0.01 ? "warn" : "");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `floor ${one.value}, estimated ${score}`);
    const gave = [[one.gave_way_floor, "below for want of money"], [one.gave_way_query, "wait for money"]]
      .filter(([count]) => count).map(([count, words]) => ` · ${count} ${words}`).join("");
    figures.replaceChildren(make("b", "", score), ` of ${one.sent} sent${gave}`);
  });
}

function drawPools() {
  $("pools-card").hidden = !state.pools.length;
  keep($("pools"), state.pools, (one) => one.name, () => {
    const line = make("div", "limit");
    const bar = make("div", "bar");
    bar.append(make("span", "spent"));
    line.append(make("span", "name"), bar, make("span", "figures"));
    return line;
  }, (line, one) => {
    const [name, bar, figures] = line.children;
    const full = Math.round((100 * one.in_flight) / one.capacity);
    name.textContent = one.name;
    bar.firstChild.style.width = Math.min(full, 100) + "%";
    bar.className = "bar " + (one.busy ? "warn" : "");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `${full} % of ${one.name} in use`);
    figures.replaceChildren(make("b", "", `${full} %`), ` of ${one.capacity}` + (one.busy ? " · busy, queries spill" : ""));
  });
}

function until(moment) {
  const left = Math.max(moment - state.now, 0);
  if (left > 172800) return Math.round(left / 86400) + " days";
  if (left > 7200) return Math.round(left / 3600) + " h";
  if (left > 120) return Math.round(left / 60) + " min";
  return Math.round(left) + " s";
}

function drawCharts(steps) {
  const x = steps.map((row) => row.t);
  const names = (group, prefix) => [...new Set(steps.flatMap((row) => Object.keys(row[group])))]
    .filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)).sort();
  const order = state.models.map((one) => one.name);
  const known = (list) => [...order.filter((name) => list.includes(name)), ...list.filter((name) => !order.includes(name))];
  const carried = (name, scale) => {
    let last = null;
    return steps.map((row) => (last = row.states[name] == null ? last : row.states[name] * scale));
  };
  charts.burn.show(x, known(names("states", "left:")).map((name) => ({
    name, label: name.replace("\t", " · "), values: carried("left:" + name, 100),
  })));
  const smooth = Math.max(1, Math.round(5 / state.width));
  charts.flow.show(x, known(names("sums", "flow:")).map((name) => ({
    name, values: rolling(steps, smooth, (part) => sum(part, "flow:" + name) / span(part)),
  })));
  const wide = Math.max(10, Math.round(steps.length / 20));
  const ratio = (above, below) => rolling(steps, wide, (part) => {
    const money = sum(part, below);
    return money > 0 ? sum(part, above) / money : null;
  });
  const value = [
    { name: "Sluice (estimated)", colour: "--accent", values: ratio("estimated", "estimated cost") },
    { name: "static mix (estimated)", colour: "--soft", dash: [6, 4], values: ratio("static", "estimated cost") },
  ];
  if (sum(steps, "judged cost") > 0) value.push({ name: "Sluice (judged)", colour: "--good", values: ratio("judged", "judged cost") });
  charts.value.show(sum(steps, "estimated cost") > 0 ? x : [], value);
  const times = (group) => steps.map((row) => row[group].answer ?? null);
  charts.latency.show(steps.some((row) => row.p50.answer != null) ? x : [], [
    { name: "half are faster", colour: "--accent", values: times("p50") },
    { name: "95 % are faster", colour: "--warn", dash: [6, 4], values: times("p95") },
  ]);
  drawReasons();
}

function span(part) { return Math.max(part[part.length - 1].t - part[0].t + state.width, 1); }

function rolling(steps, width, value) {
  return steps.map((_, i) => value(steps.slice(Math.max(0, i - width + 1), i + 1)));
}

function drawReasons() {
  const found = Object.entries(state.minute.sums).filter(([name]) => name.startsWith("reason:")).sort((a, b) => b[1] - a[1]);
  const total = found.reduce((all, [, count]) => all + count, 0);
  $("reasons").replaceChildren(...found.map(([name, count]) => make("li", "",
    `${Math.max(Math.round((100 * count) / total), 1)} % ${REASONS[name.slice(7)] || name.slice(7).replaceAll("_", " ")}`)));
}

function drawBackends() {
  keep($("backends").tBodies[0], state.models, (one) => one.name, () => {
    const line = make("tr");
    line.append(make("td", "name"), make("td"), make("td", "n"), make("td", "n"), make("td", "n"), make("td", "orders"));
    const button = make("button");
    line.lastChild.append(button);
    return line;
  }, (line, one) => {
    const [name, server, flying, answers, errors, orders] = line.children;
    name.textContent = one.name;
    const closed = one.status === "paused" || one.status === "removed";
    const [words, kind] = closed ? [`‖ ${one.status}`, "warn"] : BACKENDS[one.backend];
    server.replaceChildren(make("span", "word " + kind, words));
    if (one.backend === "silent" && !closed) server.append(make("span", "why", `none for ${Math.round(one.silent)} s`));
    if (one.why) server.append(make("span", "why", one.why));
    flying.textContent = whole(one.in_flight);
    answers.textContent = whole(one.answered);
    errors.textContent = whole(one.failed);
    const button = orders.firstChild;
    const action = one.status === "paused" ? "resume" : "pause";
    button.textContent = action === "resume" ? "Resume…" : "Pause…";
    button.disabled = one.status === "removed";
    button.onclick = () => askOrder({ name: one.name, action });
  });
  $("orders-off").textContent = state.orders ? "" : "Orders (pause a model, change a limit) are off here; see [serve] orders_key.";
}

function drawWaits() {
  const waits = state.waits, facts = [];
  facts.push([waits.open, "routed queries wait for an answer of their model"]);
  facts.push([state.backlog, "new queries wait for a router"]);
  facts.push([waits.deferred, "queries are deferred" + (waits.oldest == null ? "" : `, the oldest for ${until(state.now + waits.oldest)}`)]);
  for (const [reason, count] of Object.entries(waits.reasons)) facts.push([count, "of these: " + (REASONS[reason] || reason)]);
  for (const [name, count] of Object.entries(waits.short_of)) facts.push([count, `of these would go, had ${name} room`]);
  $("waits").replaceChildren(...facts.map(([count, words]) => {
    const line = make("li");
    line.append(make("b", "", whole(count)), " " + words);
    return line;
  }));
}

function drawDecisions() {
  keep($("decisions"), state.decisions.slice(0, 15), (one) => one.decision_id, (one) => {
    const line = make("details");
    const summary = make("summary");
    for (const name of ["time", "id", "went", "reason", "end"]) summary.append(make("span", name));
    line.append(summary, make("div", "opened"));
    line.addEventListener("toggle", () => {
      openDecisions[line.open ? "add" : "delete"](one.decision_id);
      if (!held) $("pause").textContent = openDecisions.size ? "Held while one is open" : "Hold the list";
      if (line.open && line.shown) explain(line.lastChild, line.shown);
    });
    return line;
  }, (line, one) => {
    const [time, id, went, reason, end] = line.firstChild.children;
    line.shown = one;
    time.textContent = clock(one.at);
    id.textContent = id.title = one.id;
    went.replaceChildren(make("span", "word " + (one.model ? "" : "warn"), one.model ? "→ " + one.model : one.decision));
    reason.textContent = REASONS[one.reason] || one.reason.replaceAll("_", " ");
    const result = one.result;
    end.textContent = !result ? (one.model ? "…" : "") : result.error ? `✕ ${result.status}` :
      `${result.cost == null ? "" : money(result.cost)}${result.score == null ? "" : ` · score ${short(result.score)}`}`;
    if (line.open) explain(line.lastChild, one);
  });
}

function whole(value) { return Math.round(value).toLocaleString("en"); }

function money(value) { return value >= 0.01 ? value.toFixed(4) : Number(value.toPrecision(3)).toString(); }

function explain(place, one) {
  const table = make("table");
  const head = make("tr");
  head.append(...["Model", "Quality", "Cost", "Price", "Worth = quality − price × cost", ""].map((name, i) => make("th", i && i < 5 ? "n" : "", name)));
  table.append(head, ...one.models.map((row) => {
    const line = make("tr", row.model === one.model ? "chosen" : "");
    line.append(make("td", "name", row.model), make("td", "n", short(row.quality)), make("td", "n", money(row.cost)),
      make("td", "n", row.price == null ? "?" : short(row.price)), make("td", "n", row.score == null ? "?" : short(row.score)),
      make("td", "", row.model === one.model ? "chosen" : row.short ? "no room" : ""));
    return line;
  }));
  const more = [`Query ${one.id}`, `decision ${one.decision_id}`, `prices ${one.price_version}`];
  if (one.reserved) more.push(`reserved ${money(one.reserved)} for ${one.max_tokens} output tokens`);
  if (one.tenant) more.push(`tenant ${one.tenant}`);
  if (one.neighbours.length) more.push(`like ${one.neighbours.slice(0, 4).join(", ")}`);
  const result = one.result;
  const end = !result ? "" : result.error ? `No answer (${result.status}): ${result.error}` :
    `Answered${result.seconds == null ? "" : ` in ${short(result.seconds)} s`}, charged ${result.cost == null ? "?" : money(result.cost)}` +
    (result.cut ? ", cut at the reserved length" : "") + (result.score == null ? "." : `, judged ${short(result.score)}.`);
  const scroll = make("div", "scroll");
  if (one.models.length) scroll.append(table);
  place.replaceChildren(make("p", "", one.why), ...(end ? [make("p", "", end)] : []), scroll, make("p", "hint", more.join(" · ")));
}

/** Show items by elements that are kept, so that focus and open details stay. */
function keep(place, items, key, create, update) {
  const old = new Map([...place.children].map((child) => [child.dataset.key, child]));
  const children = items.map((item) => {
    let child = old.get(key(item));
    if (!child) {
      child = create(item);
      child.dataset.key = key(item);
    }
    update(child, item);
    return child;
  });
  children.forEach((child, i) => { if (place.children[i] !== child) place.insertBefore(child, place.children[i] || null); });
  while (place.children.length > children.length) place.lastChild.remove();
}

// ---- orders

function askOrder(order, limit) {
  const dialog = $("order"), error = dialog.querySelector(".error"), input = $("order-limit").querySelector("input");
  $("order-title").textContent = limit ? `Change the limit of ${limit.name}` : `${order.action === "pause" ? "Pause" : "Resume"} ${order.name}`;
  $("order-limit").hidden = !limit;
  if (limit) input.value = limit.limit;
  $("order-key").value = memory.get("orders");
  error.textContent = "";
  dialog.onclose = null;
  dialog.querySelector("form").onsubmit = async (event) => {
    if (event.submitter.value !== "do") return;
    event.preventDefault();
    const body = { ...order };
    if (limit) body.limit = Math.round(Number(input.value) * (limit.unit === "currency" ? 1e9 : 1));
    memory.set("orders", $("order-key").value);
    const answer = await fetch("/ui/orders", {
      method: "POST", headers: { authorization: "Bearer " + $("order-key").value, "content-type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) dialog.close();
    else error.textContent = (await answer.json()).error.message;
  };
  dialog.showModal();
}

// ---- tabs, theme

const runs = new Runs(fetchJson);

function openTab(name) {
  for (const tab of ["live", "runs"]) {
    $(tab).hidden = tab !== name;
    $("tab-" + tab).setAttribute("aria-selected", String(tab === name));
    $("tab-" + tab).tabIndex = tab === name ? 0 : -1;
  }
  if (name === "runs") runs.opened();
  else draw();
  history.replaceState(null, "", name === "live" ? location.pathname : "#" + name);
}

document.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const other = document.activeElement.id === "tab-live" ? "runs" : "live";
  openTab(other);
  $("tab-" + other).focus();
});
for (const tab of ["live", "runs"]) $("tab-" + tab).addEventListener("click", () => openTab(tab));
$("range").addEventListener("change", draw);
$("pause").addEventListener("click", () => {
  held = !held;
  $("pause").setAttribute("aria-pressed", String(held));
  $("pause").textContent = held ? "Go on" : "Hold the list";
});

const dark = matchMedia("(prefers-color-scheme: dark)");
function applyTheme() {
  const wish = memory.get("theme") || "auto";
  document.documentElement.dataset.theme = wish === "auto" ? (dark.matches ? "dark" : "light") : wish;
  $("theme").textContent = "Theme: " + wish;
  for (const chart of [...Object.values(charts), runs.curve]) chart.again();
}
dark.addEventListener("change", applyTheme);
$("theme").addEventListener("click", () => {
  const wishes = ["auto", "light", "dark"];
  memory.set("theme", wishes[(wishes.indexOf(memory.get("theme") || "auto") + 1) % 3]);
  applyTheme();
});
applyTheme();
if (location.hash === "#runs") openTab("runs");
follow();
