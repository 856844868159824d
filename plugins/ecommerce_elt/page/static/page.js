"use strict";
// Asks for the figures of the shop and of the pipeline, and draws them. format.js and panels.js come before it.

const REFRESH_SECONDS = 10;
const state = { from: "", to: "", feed: "all", currency: "", business: null, pipeline: null, asked: 0 };

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

// -- the shop
// Against the days before, where these are there whole; else what a day or an invoice has.
function change(now, before, days, otherwise) {
  if (!before || now == null) return [otherwise, ""];
  const ratio = (now - before) / Math.abs(before), size = Math.abs(ratio);
  const text = size >= 10 ? `${number.format(now / before)} times` : `${ratio < 0 ? "▼" : "▲"} ${(100 * size).toFixed(size < 0.1 ? 1 : 0)} %`;
  return [`${text} ${size >= 10 ? "" : "on "}the ${counted(days, "day")} before`, ratio < 0 ? "bad" : "good"];
}
function drawCurrencies({ currency, currencies }) {
  const select = byId("currency");
  select.replaceChildren(...currencies.map((code) => new Option(code, code, code === currency, code === currency)));
  select.parentElement.hidden = currencies.length < 2;
}
function drawTotals({ totals, before, currency, from, to }) {
  const days = daysBetween(from, to) + 1;
  const basket = (sums) => (sums?.invoices ? sums.gross_revenue / sums.invoices : null);
  const has = totals.invoices != null;
  const per = (value, of, format) => (has && of ? format(value / of) : "");
  const decimals = (value) => value.toFixed(value < 10 ? 1 : 0);
  const shown = (id, now, then, text, otherwise, exact) => total(id, text, ...change(now, then, days, has ? otherwise : "none in these days"), exact);
  shown("net_revenue", totals.net_revenue, before?.net_revenue, money(totals.net_revenue, currency), per(totals.net_revenue, days, (a) => `${money(a, currency)} a day`), exactly(totals.net_revenue, currency));
  shown("invoices", totals.invoices, before?.invoices, count(totals.invoices), per(totals.invoices, days, (a) => `${decimals(a)} a day`));
  shown("average_basket", basket(totals), basket(before), money(basket(totals), currency), per(totals.units, totals.invoices, (a) => `${decimals(a)} units an invoice`), exactly(basket(totals), currency));
  shown("customers", totals.customers, before?.customers, count(totals.customers), per(totals.invoices, totals.customers, (a) => `${decimals(a)} invoices each`));
  shown("units", totals.units, before?.units, count(totals.units), per(totals.units, days, (a) => `${number.format(a)} a day`));
}
async function drawTrend(data) {
  const starts = data.trend.map((row) => row.period_start), values = data.trend.map((row) => row.net_revenue);
  if (!starts.length) return none("trend", `No sales${data.feed === "all" ? "" : ` of ${data.feed}`} in these days. Load sales, or choose other days.`);
  const first = data.from < data.sales_from ? data.sales_from : data.from, last = data.to < data.span.last_day ? data.to : data.span.last_day;
  const parts = wholeness(starts, data.period, first, last), isPartial = parts.map(([there, all]) => there < all);
  const said = starts.map((start, index) => `${data.period === "day" ? "" : `${data.period} from `}${day(start)}<br>${exactly(values[index], data.currency)}${isPartial[index] ? `<br>${data.period === "day" ? "the day is not over" : `${parts[index][0]} of ${parts[index][1]} days`}` : ""}`);
  const end = starts.length - 1, [there, all] = parts[end];
  byId("trend-period").textContent = `by ${data.period}${!isPartial[end] ? "" : data.period === "day" ? "; dotted: today, not over yet" : `; dotted: the last ${data.period} has ${there} of ${all} days`}`;
  // The line is dotted on its way to and from a period that is not whole.
  const from = isPartial[0] ? 1 : 0, until = isPartial[end] ? end : end + 1;
  const line = (x, y, dash) => ({ type: "scatter", mode: "lines", x, y, line: { width: 2, color: colour("c1"), dash }, hoverinfo: "skip" });
  const dots = starts.map((_, index) => index).filter((index) => isPartial[index] || starts.length === 1);
  const traces = [
    { type: "scatter", mode: "lines", x: starts, y: values, line: { width: 0 }, fill: "tozeroy", fillcolor: colour("c1") + "22", customdata: said, hovertemplate: "%{customdata}<extra></extra>" },
    line(starts.slice(from, until), values.slice(from, until), "solid"),
    ...(from ? [line(starts.slice(0, 2), values.slice(0, 2), "dot")] : []), ...(end > 0 && until === end ? [line(starts.slice(-2), values.slice(-2), "dot")] : []),
    { type: "scatter", mode: "markers", x: dots.map((index) => starts[index]), y: dots.map((index) => values[index]), marker: { size: 7, color: colour("card"), line: { width: 2, color: colour("c1") } }, hoverinfo: "skip" },
  ];
  const left = starts[0] < data.from ? starts[0] : data.from, right = starts[end] > last ? starts[end] : last;
  await picture("trend", data.trend.map((row, index) => ({ ...row, currency: data.currency, days: parts[index][0], of_days: parts[index][1] })), `Net revenue by ${data.period} from ${data.from} to ${data.to}`, traces,
    { xaxis: { type: "date", range: [left, right] }, yaxis: { ...ticks(values, data.currency), rangemode: "tozero" }, showlegend: false });
}
function drawRankings({ best_sellers: products, countries, segments, currency }) {
  const drawn = [], sales = "Load sales, or choose other days.", amount = (row) => money(row.net_revenue, currency), paid = (row) => exactly(row.net_revenue, currency);
  const named = (rows) => rows.map((row) => ({ ...row, currency }));
  if (products.length) {
    const names = products.map((row) => cut(row.description ?? row.stock_code));
    // Two products may share a description; the plot needs different labels.
    const labels = names.map((name, index) => (names.indexOf(name) === index ? name : `${cut(name, 16)} ${products[index].stock_code} ${products[index].feed}`));
    const values = products.map((row) => row.net_revenue);
    drawn.push(picture("best-sellers", named(products), `Ten best sellers, first ${labels[0]}`, [ranking(labels, values, products.map(amount), products.map((row) => `${row.description ?? ""} (${row.stock_code})<br>${paid(row)}, ${counted(row.units, "unit")}<br>${row.feed}`), colour("c1"))], upsideDown(values)));
  } else none("best-sellers", `No products sold in these days. ${sales}`);
  const places = countries.filter((row) => row.net_revenue > 0);
  if (places.length) {
    const values = places.map((row) => row.net_revenue);
    drawn.push(picture("countries", named(countries), `Countries, first ${places[0].country}`, [ranking(places.map((row) => cut(row.country)), values, places.map(amount), places.map((row) => `${row.country}<br>${paid(row)}, ${counted(row.invoices, "invoice")}`), colour("c3"))], upsideDown(values)));
  } else none("countries", `No sales by country in these days. ${sales}`);
  if (segments.length) {
    const values = segments.map((row) => row.customers), names = segments.map((row) => row.segment.replaceAll("_", " "));
    drawn.push(picture("segments", named(segments), `Customers by segment, first ${names[0]}`, [ranking(names, values, values.map(count), segments.map((row, index) => `${names[index]}<br>${counted(row.customers, "customer")}<br>${paid(row)}`), colour("c4"))], upsideDown(values)));
  } else none("segments", "No known customers in these days. Sales with a customer's id fill it.");
  return drawn;
}
function drawDemographics({ demographics: rows, demographics_currency: currency }) {
  if (!rows.length) return none("demographics", "No purchases in these days. Events of the feed purchases fill it.");
  const ages = [...new Set(rows.map((row) => row.age_group))], genders = [...new Set(rows.map((row) => row.gender))];
  const spent = new Map(rows.map((row) => [`${row.age_group} ${row.gender}`, row]));
  const bars = genders.map((gender) => {
    const own = ages.map((age) => spent.get(`${age} ${gender}`));
    return { type: "bar", name: gender, x: ages, y: own.map((row) => row?.amount ?? 0), customdata: own.map((row) => (row ? `${gender}, ${row.age_group}<br>${exactly(row.amount, currency)}, ${counted(row.purchases, "purchase")}` : "")), hovertemplate: "%{customdata}<extra></extra>" };
  });
  return picture("demographics", rows.map((row) => ({ ...row, currency })), "Spent by age group and gender", bars, { barmode: "group", xaxis: { type: "category" }, yaxis: ticks(rows.map((row) => row.amount), currency), ...legend });
}
function drawStock({ stock, shortest_cover: cover }) {
  if (!stock.length) {
    byId("stock-day").textContent = "products by status";
    none("stock", "No stock is known. Events of the feed product_events fill it.");
    return none("cover", "No stock is known. Events of the feed product_events fill it.");
  }
  const colours = { out: colour("c5"), low: colour("c2"), good: colour("c3"), idle: colour("c6") };
  const means = { out: "nothing on hand", low: "less than 7 days", good: "7 days or more", idle: "nothing sold in 28 days" };
  const rows = Object.keys(colours).map((status) => stock.find((row) => row.status === status)).filter(Boolean), values = rows.map((row) => row.products);
  byId("stock-day").textContent = `products by status, ${day(rows[0].as_of_date)}`;
  if (!cover.length) none("cover", "Nothing was sold in 28 days. Sales in product_events fill it.");
  else table("cover", cover, [["Product"], ["Status"], ["On hand", "number"], ["Sold in 28 days", "number"], ["Trend", "number"], ["Days of cover", "number"]], (row) => [
    row.product_id, [row.status, { out: "bad", low: "warn" }[row.status]], number.format(row.on_hand), number.format(row.sold_last_28_days),
    row.sales_trend == null ? "–" : `${row.sales_trend < 0 ? "−" : "+"}${Math.abs(100 * row.sales_trend).toFixed(0)} %`, row.days_of_cover == null ? "–" : row.days_of_cover.toFixed(1),
  ]);
  return picture("stock", stock, "Products by stock status", [ranking(rows.map((row) => row.status), values, rows.map((row) => `${number.format(row.products)}, ${means[row.status]}`), rows.map((row) => `${row.status}: ${means[row.status]}<br>${counted(row.products, "product")}`), rows.map((row) => colours[row.status]))], { ...upsideDown(values), ...roomForWords(values) });
}
const roomForWords = (values) => ({ xaxis: { range: [0, Math.max(...values, 1) * 1.9], showgrid: false, showticklabels: false, zeroline: false, showline: false } });
async function drawBusiness(data) {
  drawTotals(data);
  await drawTrend(data); // the first picture is shown before the others are drawn
  await new Promise(requestAnimationFrame);
  if (state.business !== data) return; // other days were chosen meanwhile
  await Promise.all([...drawRankings(data), drawDemographics(data), drawStock(data), drawForecast(data.forecast)]);
  drawOrders(data.to_order);
}

// -- what will be asked for, and what to order
const NO_FORECAST = "No forecast yet. The DAG forecast_demand makes one a day, where make setup-forecast has installed its environment.";
function drawForecast(rows) {
  const choice = byId("forecast-product"), products = [...new Map(rows.map((row) => [row.product_id, row.description])).entries()];
  choice.hidden = !products.length;
  if (!products.length) return none("forecast", NO_FORECAST);
  const before = choice.value;
  choice.replaceChildren(...products.map(([id, description]) => new Option(cut(description ? `${description} (${id})` : id, 40), id)));
  if (products.some(([id]) => id === before)) choice.value = before;
  choice.onchange = () => drawForecast(rows);
  const own = rows.filter((row) => row.product_id === choice.value), { origin_date: origin, method } = own[0];
  byId("forecast-method").textContent = `units a day, from ${day(origin)} by the ${method}`;
  const sold = new Map(own.filter((row) => row.units != null).map((row) => [row.day, row.units]));
  const past = Array.from({ length: 56 }, (_, index) => plusDays(origin, index - 56));
  const ahead = own.filter((row) => row.units_p50 != null), days = ahead.map((row) => row.day);
  const edge = (name) => ({ type: "scatter", mode: "lines", x: days, y: ahead.map((row) => row[name]), line: { width: 0, shape: "hvh" }, hoverinfo: "skip", showlegend: false });
  const band = (low, high, name, strength) => [edge(low), { ...edge(high), name, showlegend: true, fill: "tonexty", fillcolor: colour("c2") + strength }];
  return picture("forecast", own, `Units a day of ${choice.value}: eight weeks, and the forecast from ${origin}`, [
    { type: "bar", name: "asked for", x: past, y: past.map((day) => sold.get(day) ?? 0), marker: { color: colour("c1") }, hovertemplate: "%{x|%a %d %b %Y}: %{y:,}<extra></extra>" },
    ...band("units_p05", "units_p95", "nine days of ten", "33"), ...band("units_p25", "units_p75", "every other day", "66"),
    { type: "scatter", mode: "lines", name: "median", x: days, y: ahead.map((row) => row.units_p50), line: { width: 2, color: colour("c2"), shape: "hvh" }, customdata: ahead.map((row) => `${number.format(row.units_p05)} to ${number.format(row.units_p95)}`), hovertemplate: "%{x|%a %d %b %Y}: %{y:,}, nine of ten times %{customdata}<extra></extra>" },
  ], { xaxis: { type: "date" }, yaxis: { rangemode: "tozero" }, ...legend });
}
function drawOrders(rows) {
  const note = byId("order-note");
  note.textContent = "";
  if (!rows.length) return none("to-order", byId("forecast-product").hidden ? NO_FORECAST : "Nothing is to be ordered.");
  note.textContent = rows[0].on_hand == null ? "stock is not known: no product movements" : "runs out first";
  const shown = (value, digits = 0) => (value == null ? "–" : digits ? value.toFixed(digits) : number.format(value));
  table("to-order", rows, [["Product"], ["Order", "number"], ["On hand", "number"], ["Days left", "number"], ["Order at", "number"], ["Expected", "number"], ["Lead time", "number"]], (row) => {
    const name = row.description ? `${row.description} (${row.product_id})` : row.product_id;
    return [
      [cut(name, 34), "", name], shown(row.order_quantity), shown(row.on_hand),
      [shown(row.days_until_stock_out, 1), row.days_until_stock_out != null && row.days_until_stock_out < row.lead_days ? "bad" : ""], shown(row.reorder_point), [shown(row.expected_units, 1), "", "units until the order arrives"], `${row.lead_days} days`,
    ];
  });
}

// -- the pipeline
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
function drawExported(tables) {
  byId("bigquery").hidden = !tables.length; // nothing is exported where no project is set
  if (!tables.length) return;
  const compared = tables.map((row) => row.compared_seconds).filter((seconds) => seconds != null);
  byId("bigquery-as-of").textContent = `${tables.length} tables, last export ${age(Math.min(...tables.map((row) => row.exported_seconds)))} ago, ${compared.length ? `rows and sums compared with the warehouse ${age(Math.max(...compared))} ago` : "not compared yet"}`;
  const differing = tables.filter((row) => row.difference || row.days);
  if (!differing.length) return none("exported", "✓ BigQuery has what the warehouse has.");
  table("exported", differing, [["Table"], ["Difference"], ["Days that wait"], ["Exported", "number"]], (row) => [
    row.table_name, [row.difference || "✓ none", row.difference ? "bad" : "good"], waits(row), `${age(row.exported_seconds)} ago`,
  ]);
}
// The pipeline in five words, each green where nothing is to be done.
function drawHealth({ conservation, waiting, marts, checks }) {
  const sums = (name) => conservation.reduce((sum, row) => sum + row[name], 0), has = conservation.length > 0;
  const broken = conservation.filter((row) => !row.holds), quarantined = sums("quarantined"), accepted = sums("accepted");
  total("conserved", has ? (broken.length ? "broken" : "holds") : "–", broken.length ? broken.map((row) => row.feed).join(", ") : has ? "for every feed" : "nothing loaded yet", broken.length ? "bad" : has ? "good" : "");
  const { objects, open_batches: open, oldest_seconds: oldest } = waiting;
  total("lag", open || objects ? age(oldest) : "none", open || objects ? `${counted(objects, "object")} waiting, ${counted(open, "open batch", "open batches")}` : "nothing waits", oldest > 300 ? "bad" : "good");
  total("rate", number.format(sums("last_minute")), has ? `last load ${age(Math.min(...conservation.map((row) => row.newest_seconds)))} ago` : "nothing loaded yet");
  total("quarantined", number.format(quarantined), accepted ? `${((100 * quarantined) / accepted).toFixed(2)} % of ${number.format(accepted)} events` : "", quarantined ? "warn" : has ? "good" : "");
  const failing = checks.filter((row) => row.severity === "fail").length, warning = checks.length - failing;
  total("marts", marts.behind ? `${marts.behind} behind` : marts.marts ? "up to date" : "–", marts.checks ? `${counted(marts.checks, "check")}: ${failing} failed, ${warning} warn` : "no mart built yet", failing ? "bad" : warning || marts.behind ? "warn" : marts.marts ? "good" : "");
}
function drawArrivals({ arrivals }) {
  if (!arrivals.length) return none("arrivals", "No events were loaded in the last hour. Events that are sent fill it.");
  const now = new Date(), isNow = (row) => now - utc(row.minute_start) < 60000; // the minute that goes on is not over: paler
  const bars = [...new Set(arrivals.map((row) => row.feed))].map((feed) => {
    const rows = arrivals.filter((row) => row.feed === feed);
    return { type: "bar", name: feed, x: rows.map((row) => utc(row.minute_start)), y: rows.map((row) => row.accepted), width: 54000, marker: { opacity: rows.map((row) => (isNow(row) ? 0.45 : 1)) }, customdata: rows.map((row) => `${feed}<br>${utc(row.minute_start).toLocaleTimeString("en-GB", { timeStyle: "short" })}: ${counted(row.accepted, "event")}${isNow(row) ? ", the minute is not over" : ""}`), hovertemplate: "%{customdata}<extra></extra>" };
  });
  return picture("arrivals", arrivals, "Events per minute in the last hour", bars, { barmode: "stack", showlegend: true, ...legend, xaxis: { type: "date", range: [new Date(now - 3600000), now], tickformat: "%H:%M", tick0: "2000-01-01", dtick: 900000 }, yaxis: { tickformat: ",d", rangemode: "tozero" } });
}
function drawPipeline(data) {
  drawHealth(data);
  drawStopped(data.checks);
  if (data.conservation.length) {
    table("conservation", data.conservation, [["Feed"], ["Accepted", "number"], ["Clean", "number"], ["Quarantined", "number"], ["Duplicates", "number"], ["In core", "number"], ["Last load", "number"], ["", "number"]], (row) => [
      row.feed, ...["accepted", "clean", "quarantined", "duplicates"].map((name) => number.format(row[name])), count(row.core), `${age(row.newest_seconds)} ago`, [row.holds ? "✓ holds" : "✗ differs", row.holds ? "good" : "bad"],
    ]);
    table("batches", data.batches, [["Committed"], ["Feed"], ["Batch"], ["Accepted", "number"], ["Clean", "number"], ["Quarantined", "number"], ["Duplicates", "number"]], (row) => [
      utc(row.committed_at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }), row.feed, row.batch_id, number.format(row.accepted), number.format(row.clean), [number.format(row.quarantined), row.quarantined ? "warn" : ""], number.format(row.duplicates),
    ]);
  } else {
    none("conservation", "No batch has been loaded yet. The first events that load_events loads fill it.");
    none("batches", "No batch has been loaded yet. The first events that load_events loads fill it.");
  }
  if (data.reconciliation.length) {
    table("reconciliation", data.reconciliation, [["Feed"], ["Difference"], ["Hours sealed until"], ["Objects waiting", "number"], ["Days compared", "number"], ["Compared", "number"]], (row) => [
      row.feed === "*" ? "the stream" : row.feed, [row.difference || "✓ none", row.difference ? "bad" : "good"], row.sealed_until ? moment(row.sealed_until) : "–", number.format(row.waiting), count(row.days), `${age(row.counted_seconds)} ago`,
    ]);
  } else none("reconciliation", "Not compared yet. The DAG reconcile_layers fills it, every 15 minutes or when it is triggered.");
  drawExported(data.exported);
  if (data.reasons.length) {
    table("reasons", data.reasons, [["Feed"], ["Column"], ["Rule that it broke"], ["Events", "number"]], (row) => [row.feed, row.column_name, row.rule.replaceAll("_", " "), number.format(row.events)]);
  } else none("reasons", "Nothing is in quarantine. Events that break their contract fill it.");
  if (data.checks.length) {
    table("checks", data.checks, [["Mart"], ["Check"], [""], ["Found"], ["Rows", "number"], ["Days that wait"], ["Shows its content of"]], (row) => [
      row.mart, row.check_name, [row.severity, row.severity === "fail" ? "bad" : "warn"], row.detail ?? "–", number.format(row.failed_rows), waits(row), row.published_at ? moment(row.published_at) : "nothing yet",
    ]);
  } else none("checks", data.marts.checks ? `✓ All ${number.format(data.marts.checks)} checks of the last builds passed.` : "No mart has been built yet. The DAG build_marts fills it after the first load.");

  const select = byId("feed");
  for (const feed of data.feeds) if (![...select.options].some((option) => option.value === feed)) select.append(new Option(feed, feed));
  return drawArrivals(data);
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
  const query = new URLSearchParams(Object.entries({ from: state.from, to: state.to, feed: state.feed, currency: state.currency }).filter(([, value]) => value));
  try {
    const data = await ask(`data/business?${query}`, window.early);
    window.early = null;
    if (asked !== state.asked) return; // the filters have changed meanwhile
    failed("business-error", null);
    const empty = !data.totals;
    byId("business-empty").hidden = !empty;
    document.querySelectorAll(".business").forEach((part) => (part.hidden = empty));
    if (empty) byId("as-of").textContent = "\u00a0";
    if (empty) return;
    byId("from").min = byId("to").min = data.span.first_day;
    byId("from").max = byId("to").max = data.span.last_day;
    byId("from").value = data.from;
    byId("to").value = data.to;
    drawCurrencies(data);
    const others = data.currencies.length > 1 ? `, one of ${data.currencies.length} currencies` : "";
    const compared = data.before || !data.sales_from ? "" : ` · no whole ${counted(daysBetween(data.from, data.to) + 1, "day")} before`;
    byId("as-of").textContent = `${day(data.from)} to ${day(data.to)} · ${data.feed === "all" ? "all feeds" : data.feed}${data.currency ? `, ${data.currency}${others}` : ""}${compared} · ${new Date().toLocaleTimeString("en-GB")}`;
    state.business = data;
    await drawBusiness(data);
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
    await drawPipeline(data);
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
  state.currency = "";
  loadBusiness().then(loadPipeline);
});
byId("currency").addEventListener("change", (event) => {
  state.currency = event.target.value;
  loadBusiness();
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
addEventListener("storage", applyTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();
// A warehouse that answers slower than the page asks is not asked again before it has answered.
let isAsking = true;
const answered = () => (isAsking = false);
loadBusiness().then(loadPipeline).finally(answered); // the shop is what one sees first
setInterval(() => {
  if (document.hidden || isAsking) return;
  isAsking = true;
  Promise.all([loadBusiness(), loadPipeline()]).finally(answered);
}, REFRESH_SECONDS * 1000);
