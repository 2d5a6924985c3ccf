"use strict";
// The second tab: what `sluice evaluate --json` and `sluice replay --json` have written.

class Runs {
  constructor(fetchJson) {
    this.fetch = fetchJson;
    this.curve = new Chart("chart-curve", { time: false, points: true, height: 300, colours: new Colours(), none: "open a file first" });
    this.words = document.getElementById("run-words");
    this.list = document.getElementById("run-list");
    this.list.addEventListener("change", () => this.list.value && this.load(this.list.value));
    document.getElementById("run-file").addEventListener("change", async (event) => {
      const file = event.target.files[0];
      if (file) this.open(file.name, await file.text());
    });
  }
  async opened() {
    this.curve.show([], []);
    try {
      const names = await this.fetch("/ui/runs");
      this.list.replaceChildren(...["", ...names].map((name) => {
        const option = make("option", "", name || (names.length ? "–" : "none on this server"));
        option.value = name;
        return option;
      }));
      if (names.length && !this.shown) {
        this.list.value = names[0];
        await this.load(names[0]);
      }
    } catch (error) { this.words.textContent = error.message; }
  }
  async load(name) {
    try { this.show(name, await this.fetch("/ui/runs/" + encodeURIComponent(name))); }
    catch (error) { this.words.textContent = error.message; }
  }
  open(name, text) {
    try { this.show(name, JSON.parse(text)); }
    catch (error) { this.words.textContent = name + ": " + error.message; }
  }
  show(name, document_) {
    const rows = document_.rows ? this.evaluated(document_) : document_.policies ? this.replayed(document_) : null;
    if (!rows) throw new Error(name + " is neither an evaluation nor a replay");
    this.shown = true;
    this.draw(rows);
  }
  /** Means over orders and seeds, by policy and budget. */
  evaluated(file) {
    const groups = new Map();
    for (const row of file.rows) {
      const key = row.policy + "\t" + row.budget;
      (groups.get(key) || groups.set(key, []).get(key)).push(row);
    }
    this.words.textContent =
      `${file.rows[0].arrivals.toLocaleString("en")} queries, ${file.rows[0].models} models, ` +
      `${file.rows.length} runs. 100 % is the best that hindsight allows.`;
    document.getElementById("h-bars").textContent = "Score, % of the best in hindsight";
    return [...groups.values()].map((group) => {
      const mean = (field) => group.reduce((sum, row) => sum + row[field], 0) / group.length;
      return {
        policy: group[0].policy, budget: group[0].budget, money: mean("cost_usd"), score: mean("performance"),
        bar: mean("relative_performance"),
        figures: { "score": mean("performance"), "money": mean("cost_usd"), "score per money": mean("performance_per_usd"),
          "answered": mean("served"), "deferred": mean("deferred"), "lost": mean("lost") },
      };
    });
  }
  replayed(file) {
    this.words.textContent =
      `${file.queries.toLocaleString("en")} queries of the log, ${file.known_scores.toLocaleString("en")} with a known score; ` +
      "other outcomes are imputed from the nearest queries.";
    document.getElementById("h-bars").textContent = "Score a query (imputed)";
    const count = Math.max(file.queries, 1);
    return file.policies.map((one) => ({
      policy: one.policy, budget: one.budget, money: one.imputed_cost / 1e9, score: one.imputed_performance,
      bar: one.imputed_performance / count,
      figures: { "score": one.imputed_performance, "money": one.imputed_cost / 1e9, "sent": one.sent,
        "deferred": one.deferred, "lost": one.lost },
    }));
  }
  draw(rows) {
    rows.sort((a, b) => b.bar - a.bar);
    const budgets = [...new Set(rows.map((row) => row.budget))].sort((a, b) => a - b);
    const policies = [...new Set(rows.map((row) => row.policy))];
    const many = budgets.length > 1;
    const xs = many ? budgets : [...new Set(rows.map((row) => row.money))].sort((a, b) => a - b);
    document.getElementById("h-curve").textContent = many ? "Score against the budget" : "Score against money spent";
    this.curve.show(xs, policies.map((policy) => ({
      name: policy,
      values: xs.map((x) => {
        const found = rows.find((row) => row.policy === policy && (many ? row.budget : row.money) === x);
        return found ? found.score : null;
      }),
    })));
    const chosen = rows.filter((row) => row.budget === budgets[budgets.length >> 1]);
    const most = Math.max(...chosen.map((row) => row.bar), 1e-9);
    document.getElementById("run-bars").replaceChildren(...chosen.map((row) => {
      const line = make("div", "row");
      const bar = make("div", "bar");
      const filled = make("span", "spent");
      filled.style.width = (100 * Math.max(row.bar, 0)) / most + "%";
      bar.append(filled);
      line.append(make("span", "", row.policy + (many ? ` (budget ${row.budget})` : "")), bar, make("span", "n", short(row.bar)));
      return line;
    }));
    const heads = ["policy", "budget", ...Object.keys(rows[0].figures)];
    const table = document.getElementById("run-table");
    const head = make("tr");
    head.append(...heads.map((name, i) => make("th", i ? "n" : "", name)));
    table.tHead.replaceChildren(head);
    const sorted = [...rows].sort((a, b) => a.budget - b.budget || b.bar - a.bar);
    table.tBodies[0].replaceChildren(...sorted.map((row) => {
      const line = make("tr");
      line.append(make("td", "name", row.policy), make("td", "n", String(row.budget)),
        ...Object.values(row.figures).map((value) => make("td", "n", short(value))));
      return line;
    }));
  }
}
