"use strict";

const REFRESH_SECONDS = 10;
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 2 });
const money = (value) => (value == null ? "–" : (value < 0 ? "−" : "") + "£" + (Math.abs(value) < 10000 ? Math.abs(value).toFixed(2) : short.format(Math.abs(value))));
const state = { from: "", to: "", feed: "all", business: null, pipeline: null, asked: 0 };

// -- theme: Airflow's own choice, and its change while the page is open
function applyTheme() {
  const chosen = localStorage.getItem("theme");
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "dark" : "light";
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  if (state.business) drawBusiness(state.business);
  if (state.pipeline) drawPipeline(state.pipeline);
}
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const palette = () => ["c1", "c2", "c3", "c4", "c5", "c6"].map(colour);

// -- small parts
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function ready(place) {
  place.classList.remove("loading");
  return place;
}
function none(place, text) {
  ready(place).replaceChildren(element("div", text, "none"));
}
function total(id, value, note, noteClass) {
  const card = byId(id);
  ready(card.querySelector("strong")).textContent = value;
  const span = card.querySelector("span");
  span.textContent = note ?? "";
  span.className = noteClass ?? "";
}
function table(place, heads, rows) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const [title, kind] of heads) head.append(element("th", title, kind));
  const body = made.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    cells.forEach((cell, index) => {
      const [text, className] = Array.isArray(cell) ? cell : [cell];
      row.append(element("td", text, [heads[index][1], className].filter(Boolean).join(" ")));
    });
  }
  ready(place).replaceChildren(made);
}

// -- pictures
async function plotly() {
  while (!window.Plotly) await new Promise((done) => document.querySelector("script[src*=plotly-basic]").addEventListener("load", done, { once: true }));
  return window.Plotly;
}
async function picture(id, describe, traces, layout) {
  const place = byId(id);
  const Plotly = await plotly();
  ready(place);
  place.querySelector(".none")?.remove();
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", describe);
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true, fixedrange: true };
  await Plotly.react(place, traces, {
    font: { family: "Inter, system-ui, sans-serif", size: 12, color: colour("text") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: palette(),
    margin: { l: 8, r: 16, t: 12, b: 8 }, bargap: 0.28, hovermode: "closest",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") } },
    legend: { orientation: "h", y: 1.14, x: 0, bgcolor: "rgba(0,0,0,0)" },
    ...layout,
    xaxis: { ...axis, showgrid: false, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, { displayModeBar: false, responsive: true });
  if (!performance.getEntriesByName("first-picture").length) performance.mark("first-picture");
}
const ranking = (labels, values, shown, hover) => ({ type: "bar", orientation: "h", y: labels, x: values, text: shown, textposition: "outside", cliponaxis: false, customdata: hover, hovertemplate: "%{customdata}<extra></extra>" });
const upsideDown = { yaxis: { autorange: "reversed", showgrid: false, ticksuffix: " " }, xaxis: { showgrid: false, showticklabels: false, zeroline: false }, margin: { l: 8, r: 72, t: 12, b: 8 } };
const cut = (text, length = innerWidth < 760 ? 18 : 28) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

// -- the shop
function change(now, before) {
  if (now == null || !before) return ["nothing in the days before", ""];
  const ratio = (now - before) / Math.abs(before);
  const text = `${ratio < 0 ? "▼" : "▲"} ${Math.abs(100 * ratio).toFixed(Math.abs(ratio) < 0.1 ? 1 : 0)} % on the days before`;
  return [text, ratio < 0 ? "bad" : "good"];
}
async function drawBusiness(data) {
  const { totals, before } = data;
  const basket = (sums) => (sums.invoices ? sums.gross_revenue / sums.invoices : null);
  total("net_revenue", money(totals.net_revenue), ...change(totals.net_revenue, before.net_revenue));
  total("invoices", totals.invoices == null ? "–" : number.format(totals.invoices), ...change(totals.invoices, before.invoices));
  total("average_basket", money(basket(totals)), ...change(basket(totals), basket(before)));
  total("customers", number.format(totals.customers), ...change(totals.customers, before.customers));
  total("units", totals.units == null ? "–" : number.format(totals.units), ...change(totals.units, before.units));

  const word = `by ${data.period}`;
  byId("trend-period").textContent = word;
  const days = data.trend.map((row) => row.period_start);
  if (days.length) {
    // The first picture is shown before the others are drawn.
    await picture("trend", `Net revenue ${word} from ${data.from} to ${data.to}`, [{
      type: "scatter", mode: days.length > 1 ? "lines" : "markers", x: days, y: data.trend.map((row) => row.net_revenue), line: { width: 2, color: colour("c1") },
      fill: "tozeroy", fillcolor: colour("c1") + "22", hovertemplate: "%{x|%d %b %Y}<br>£%{y:,.2f}<extra></extra>",
    }], { xaxis: { type: "date", range: [days[0] < data.from ? days[0] : data.from, data.to] }, yaxis: { tickprefix: "£", rangemode: "tozero" }, showlegend: false });
    await new Promise(requestAnimationFrame);
    if (state.business !== data) return; // other days were chosen meanwhile
  } else none(byId("trend"), "No sales in these days.");

  if (data.best_sellers.length) {
    const rows = data.best_sellers;
    const names = rows.map((row) => cut(row.description ?? row.stock_code));
    // Two products may share a description; the plot needs different labels.
    const labels = names.map((name, index) => (names.indexOf(name) === index ? name : `${cut(name, 20)} ${rows[index].stock_code}`));
    picture("best-sellers", `Ten best sellers, first ${labels[0]}`, [ranking(labels, rows.map((row) => row.net_revenue), rows.map((row) => money(row.net_revenue)), rows.map((row) => `${row.description ?? ""} (${row.stock_code})<br>${money(row.net_revenue)}, ${number.format(row.units)} units`))], upsideDown);
  } else none(byId("best-sellers"), "No products sold in these days.");

  const countries = data.countries.filter((row) => row.net_revenue > 0);
  if (countries.length) {
    picture("countries", `Countries, first ${countries[0].country}`, [{ ...ranking(countries.map((row) => row.country), countries.map((row) => row.net_revenue), countries.map((row) => money(row.net_revenue)), countries.map((row) => `${row.country}<br>${money(row.net_revenue)}, ${number.format(row.invoices)} invoices`)), marker: { color: colour("c3") } }], upsideDown);
  } else none(byId("countries"), "No sales in these days.");

  const segments = data.segments;
  if (segments.length) {
    picture("segments", `Customers by segment, first ${segments[0].segment}`, [{
      ...ranking(segments.map((row) => row.segment.replace("_", " ")), segments.map((row) => row.customers), segments.map((row) => number.format(row.customers)), segments.map((row) => `${row.segment.replace("_", " ")}<br>${number.format(row.customers)} customers<br>${money(row.net_revenue)}`)), marker: { color: colour("c4") },
    }], upsideDown);
  } else none(byId("segments"), "No known customers in these days.");

  if (data.demographics.length) {
    const ages = [...new Set(data.demographics.map((row) => row.age_group))];
    const genders = [...new Set(data.demographics.map((row) => row.gender))];
    const spent = new Map(data.demographics.map((row) => [`${row.age_group} ${row.gender}`, row.amount]));
    picture("demographics", "Spent by age group and gender", genders.map((gender) => ({ type: "bar", name: gender, x: ages, y: ages.map((age) => spent.get(`${age} ${gender}`) ?? 0), hovertemplate: `${gender}, %{x}<br>%{y:,.2f}<extra></extra>` })), { barmode: "group", xaxis: { type: "category" }, margin: { l: 8, r: 16, t: 28, b: 8 } });
  } else none(byId("demographics"), "No purchases in these days. The feed purchases has its own days.");

  if (data.stock.length) {
    const order = ["out", "low", "good", "idle"];
    const colours = { out: colour("c5"), low: colour("c2"), good: colour("c3"), idle: colour("c6") };
    const rows = order.map((status) => data.stock.find((row) => row.status === status)).filter(Boolean);
    byId("stock-day").textContent = `as of ${rows[0].as_of_date}`;
    picture("stock", "Products by stock status", [{ type: "bar", x: rows.map((row) => row.status), y: rows.map((row) => row.products), marker: { color: rows.map((row) => colours[row.status]) }, text: rows.map((row) => number.format(row.products)), textposition: "outside", cliponaxis: false, hovertemplate: "%{x}: %{y} products<extra></extra>" }], { xaxis: { type: "category" }, margin: { l: 8, r: 16, t: 28, b: 8 } });
    table(byId("cover"), [["Product"], ["Status"], ["On hand", "number"], ["Sold in 28 days", "number"], ["Trend", "number"], ["Days of cover", "number"]], data.shortest_cover.map((row) => [
      row.product_id, [row.status, { out: "bad", low: "warn" }[row.status]], number.format(row.on_hand), number.format(row.sold_last_28_days),
      row.sales_trend == null ? "–" : `${row.sales_trend < 0 ? "−" : "+"}${Math.abs(100 * row.sales_trend).toFixed(0)} %`, row.days_of_cover == null ? "–" : row.days_of_cover.toFixed(1),
    ]));
  } else {
    none(byId("stock"), "No product movements yet.");
    none(byId("cover"), "No product movements yet.");
  }
}

// -- the pipeline
const age = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`);
const utc = (text) => new Date(text.replace(" ", "T") + "Z");
const moment = (text) => utc(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
const waits = (row) => (!row.days ? "–" : row.first_day === row.last_day ? row.first_day : `${number.format(row.days)} days, ${row.first_day} to ${row.last_day}`);
function drawStopped(checks) {
  const place = byId("stopped"), failed = checks.filter((row) => row.severity === "fail");
  place.hidden = !failed.length;
  place.replaceChildren(...[...new Set(failed.map((row) => row.mart))].map((mart) => {
    const own = failed.filter((row) => row.mart === mart), { published_at: at } = own[0], made = element("p");
    const link = element("a", "What to do");
    link.href = "runbooks/check-failed";
    made.append(
      element("strong", `${mart} was not published.`),
      ` ${at ? `Figures made of it are those of ${moment(at)}` : "It has no figures yet"}; new days wait: ${waits(own[0])}. ${own.map((row) => `Its check “${row.check_name}” found ${row.detail ?? `${row.failed_rows} rows`}.`).join(" ")} `,
      link, ", then run ", element("code", "build_marts"), " again.",
    );
    return made;
  }));
}
function drawPipeline(data) {
  const sums = (name) => data.conservation.reduce((sum, row) => sum + row[name], 0);
  const newest = data.conservation.length ? Math.min(...data.conservation.map((row) => row.newest_seconds)) : null;
  total("rate", number.format(sums("last_minute")), newest == null ? "nothing loaded yet" : `last load ${age(newest)} ago`);
  const { objects, open_batches: open, oldest_seconds: oldest } = data.waiting;
  total("lag", open || objects ? age(oldest) : "none", open || objects ? `${number.format(objects)} objects waiting, ${open} open batches` : "nothing waits", oldest > 300 ? "bad" : "");
  const quarantined = sums("quarantined"), accepted = sums("accepted");
  total("quarantined", number.format(quarantined), accepted ? `${((100 * quarantined) / accepted).toFixed(2)} % of ${number.format(accepted)} events` : "", quarantined ? "warn" : "");
  const broken = data.conservation.filter((row) => !row.holds);
  total("conserved", data.conservation.length ? (broken.length ? "broken" : "holds") : "–", broken.length ? broken.map((row) => row.feed).join(", ") : data.conservation.length ? "for every feed" : "nothing loaded yet", broken.length ? "bad" : "good");
  byId("conserved").querySelector("strong").className = broken.length ? "bad" : data.conservation.length ? "good" : "";
  drawStopped(data.checks);
  const failing = data.checks.filter((row) => row.severity === "fail").length;
  total("marts", data.marts.behind ? `${data.marts.behind} behind` : data.marts.marts ? "up to date" : "–", `${number.format(data.marts.checks)} checks, ${failing} failed, ${data.checks.length - failing} warn`, failing ? "bad" : data.checks.length ? "warn" : "good");

  const feeds = [...new Set(data.arrivals.map((row) => row.feed))];
  if (feeds.length) {
    const now = new Date();
    picture("arrivals", "Events per minute in the last hour", feeds.map((feed) => {
      const rows = data.arrivals.filter((row) => row.feed === feed);
      return { type: "bar", name: feed, x: rows.map((row) => utc(row.minute_start)), y: rows.map((row) => row.accepted), width: 54000, hovertemplate: `${feed}<br>%{x|%H:%M}: %{y:,} events<extra></extra>` };
    }), { barmode: "stack", showlegend: true, margin: { l: 8, r: 16, t: 28, b: 8 }, xaxis: { type: "date", range: [new Date(now - 3600000), now], tickformat: "%H:%M" } });
  } else none(byId("arrivals"), "No events in the last hour. The pipeline waits for the next one.");

  if (data.conservation.length) {
    table(byId("conservation"), [["Feed"], ["Accepted", "number"], ["Clean", "number"], ["Quarantined", "number"], ["Duplicates", "number"], ["In core", "number"], ["Last load", "number"], ["", "number"]], data.conservation.map((row) => [
      row.feed, ...["accepted", "clean", "quarantined", "duplicates"].map((name) => number.format(row[name])), row.core == null ? "–" : number.format(row.core), `${age(row.newest_seconds)} ago`, [row.holds ? "✓ holds" : "✗ differs", row.holds ? "good" : "bad"],
    ]));
    table(byId("batches"), [["Committed"], ["Feed"], ["Batch"], ["Accepted", "number"], ["Clean", "number"], ["Quarantined", "number"], ["Duplicates", "number"]], data.batches.map((row) => [
      utc(row.committed_at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }), row.feed, row.batch_id, number.format(row.accepted), number.format(row.clean), [number.format(row.quarantined), row.quarantined ? "warn" : ""], number.format(row.duplicates),
    ]));
  } else {
    none(byId("conservation"), "No batch has been loaded yet.");
    none(byId("batches"), "No batch has been loaded yet.");
  }
  if (data.reconciliation.length) {
    table(byId("reconciliation"), [["Feed"], ["Difference"], ["Hours sealed until"], ["Objects waiting", "number"], ["Days compared", "number"], ["Compared", "number"]], data.reconciliation.map((row) => [
      row.feed === "*" ? "the stream" : row.feed, [row.difference || "✓ none", row.difference ? "bad" : "good"], row.sealed_until ? utc(row.sealed_until).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "–", number.format(row.waiting), row.days == null ? "–" : number.format(row.days), `${age(row.counted_seconds)} ago`,
    ]));
  } else none(byId("reconciliation"), "reconcile_layers has not run yet.");
  if (data.reasons.length) {
    table(byId("reasons"), [["Feed"], ["Column"], ["Rule that it broke"], ["Events", "number"]], data.reasons.map((row) => [row.feed, row.column_name, row.rule.replaceAll("_", " "), number.format(row.events)]));
  } else none(byId("reasons"), "Nothing is in quarantine.");
  if (data.checks.length) {
    table(byId("checks"), [["Mart"], ["Check"], [""], ["Found"], ["Rows", "number"], ["Days that wait"], ["Shows its content of"]], data.checks.map((row) => [
      row.mart, row.check_name, [row.severity, row.severity === "fail" ? "bad" : "warn"], row.detail ?? "–", number.format(row.failed_rows), waits(row), row.published_at ? moment(row.published_at) : "nothing yet",
    ]));
  } else none(byId("checks"), data.marts.checks ? `All ${number.format(data.marts.checks)} checks of the last builds passed.` : "No mart has been built yet.");

  const select = byId("feed");
  for (const feed of data.feeds) if (![...select.options].some((option) => option.value === feed)) select.append(new Option(feed, feed));
}

// -- asking
async function ask(path, early) {
  const answer = await (early ?? fetch(path));
  if (answer.status === 401) throw new Error("You are signed out. Sign in to Airflow again, then reload.");
  if (answer.status === 403) throw new Error("Your role may not see this page.");
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof body.detail === "string" ? body.detail : `The page got ${answer.status}.`);
  return body;
}
function failed(id, error) {
  const place = byId(id);
  place.hidden = !error;
  place.textContent = error ? `No fresh figures. ${error.message}` : "";
}
async function loadBusiness() {
  const asked = ++state.asked;
  const query = new URLSearchParams(Object.entries({ from: state.from, to: state.to }).filter(([, value]) => value));
  try {
    const data = await ask(`data/business?${query}`, window.early);
    window.early = null;
    if (asked !== state.asked) return; // the filters have changed meanwhile
    failed("business-error", null);
    const empty = !data.totals;
    byId("business-empty").hidden = !empty;
    byId("business").hidden = empty;
    if (empty) return;
    byId("from").min = byId("to").min = data.span.first_day;
    byId("from").max = byId("to").max = data.span.last_day;
    byId("from").value = data.from;
    byId("to").value = data.to;
    byId("as-of").textContent = `${data.from} to ${data.to} · figures of ${new Date().toLocaleTimeString("en-GB")}`;
    state.business = data;
    drawBusiness(data);
  } catch (error) {
    if (asked === state.asked) failed("business-error", error);
  }
}
async function loadPipeline() {
  const feed = state.feed;
  try {
    const data = await ask(`data/pipeline?feed=${encodeURIComponent(feed)}`);
    if (feed !== state.feed) return;
    failed("pipeline-error", null);
    state.pipeline = data;
    drawPipeline(data);
  } catch (error) {
    failed("pipeline-error", error);
  }
}
function choose(from, to, button) {
  state.from = from;
  state.to = to;
  for (const other of document.querySelectorAll(".presets button")) other.setAttribute("aria-pressed", String(other === button));
  loadBusiness();
}
for (const button of document.querySelectorAll(".presets button")) {
  button.addEventListener("click", () => {
    const days = Number(button.dataset.days), last = state.business?.span.last_day;
    if (!last) return;
    if (!days) return choose(state.business.span.first_day, last, button);
    const first = new Date(last + "T00:00:00Z");
    first.setUTCDate(first.getUTCDate() - days + 1);
    choose(first.toISOString().slice(0, 10), last, button);
  });
}
for (const id of ["from", "to"]) byId(id).addEventListener("change", () => byId("from").value && byId("to").value && choose(byId("from").value, byId("to").value, null));
byId("feed").addEventListener("change", (event) => {
  state.feed = event.target.value;
  loadPipeline();
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
addEventListener("storage", applyTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();
loadBusiness().then(loadPipeline); // the shop is what one sees first
setInterval(() => {
  if (document.hidden) return;
  loadBusiness();
  loadPipeline();
}, REFRESH_SECONDS * 1000);
