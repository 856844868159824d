"use strict";
// The parts that panels are made of: texts, tables, pictures, and what can be done with each panel.

const byId = (id) => document.getElementById(id);
const contents = new Map(); // id of a chart or list to its rows as they came, for the CSV

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function ready(place) {
  place.classList.remove("loading");
  place.closest(".card")?.classList.remove("blank");
  return place;
}
// A panel without figures is one line that says what would fill it, behind those that have some.
function none(id, text) {
  const place = ready(byId(id));
  if (place.data) window.Plotly?.purge(place);
  place.removeAttribute("role");
  place.removeAttribute("aria-label");
  place.replaceChildren(element("div", text, "none"));
  place.closest(".card").classList.add("blank");
  contents.delete(id);
}
function total(id, value, note, noteClass, exact) {
  const card = byId(id);
  card.dataset.state = noteClass ?? "";
  const strong = ready(card.querySelector("strong"));
  strong.textContent = value;
  strong.title = exact ?? "";
  const span = card.querySelector("span");
  span.textContent = note ?? "";
  span.className = noteClass ?? "";
}
function table(id, rows, heads, cells) {
  const place = byId(id), made = element("table");
  const head = made.createTHead().insertRow();
  for (const [title, kind] of heads) head.append(element("th", title, kind));
  const body = made.createTBody();
  for (const line of rows.map(cells)) {
    const row = body.insertRow();
    line.forEach((cell, index) => {
      const [text, className, title] = Array.isArray(cell) ? cell : [cell];
      const made = element("td", text, [heads[index][1], className].filter(Boolean).join(" "));
      if (title) made.title = title;
      row.append(made);
    });
  }
  ready(place).replaceChildren(made);
  contents.set(id, rows);
}

// -- pictures
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const palette = () => ["c1", "c2", "c3", "c4", "c5", "c6"].map(colour);
async function plotly() {
  while (!window.Plotly) await new Promise((done) => document.querySelector("script[src*=plotly-basic]").addEventListener("load", done, { once: true }));
  return window.Plotly;
}
async function picture(id, rows, describe, traces, layout) {
  const place = byId(id);
  const Plotly = await plotly();
  ready(place);
  contents.set(id, rows);
  place.querySelector(".none")?.remove();
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", describe);
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true, fixedrange: true };
  await Plotly.react(place, traces, {
    font: { family: "Inter, system-ui, sans-serif", size: 12, color: colour("text") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: palette(),
    margin: { l: 8, r: 16, t: 12, b: 8 }, bargap: 0.28, hovermode: "closest",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
    ...layout,
    xaxis: { ...axis, showgrid: false, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, { displayModeBar: false });
  if (!performance.getEntriesByName("first-picture").length) performance.mark("first-picture");
}
const ranking = (labels, values, shown, hover, bar) => ({ type: "bar", orientation: "h", y: labels, x: values, text: shown, textposition: "outside", cliponaxis: false, customdata: hover, hovertemplate: "%{customdata}<extra></extra>", marker: { color: bar } });
const upsideDown = (values) => ({
  yaxis: { autorange: "reversed", showgrid: false, ticksuffix: " " },
  // Room for the text beside the longest bar.
  xaxis: { range: [Math.min(0, ...values) * 1.3, (Math.max(0, ...values) || 1) * 1.3], showgrid: false, showticklabels: false, zeroline: false, showline: false },
  margin: { l: 8, r: 8, t: 4, b: 4 },
});
const legend = { margin: { l: 8, r: 16, t: 34, b: 8 } };

// -- each panel can be copied, enlarged, and says how it is defined
async function copy(figure, button) {
  const rows = contents.get(figure.querySelector(".chart, .list").id) ?? [];
  const text = rows.length ? csv(rows) : "";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Only pages of https and of this machine may write to the clipboard.
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${figure.dataset.query}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  button.classList.add("done");
  button.title = `${counted(rows.length, "row")} copied`;
  setTimeout(() => {
    button.classList.remove("done");
    button.title = "Copy as CSV";
  }, 2000);
}
// A chart follows its panel, also where the panel gets the room of one that is empty.
const follow = new ResizeObserver((entries) => entries.forEach(({ target }) => target.data && target.clientWidth && window.Plotly.Plots.resize(target)));
document.querySelectorAll(".chart").forEach((place) => follow.observe(place));
function enlarge(figure) {
  const dialog = byId("enlarged"), place = element("div", null, figure.className);
  if (dialog.open) return dialog.close();
  place.style.height = `${figure.offsetHeight}px`;
  figure.replaceWith(place);
  dialog.replaceChildren(figure);
  dialog.addEventListener("close", () => {
    place.replaceWith(figure);
    figure.querySelector("[data-tool=enlarge]").focus();
  }, { once: true });
  dialog.showModal();
}
byId("enlarged").addEventListener("click", (event) => event.target.id === "enlarged" && event.target.close());
for (const figure of document.querySelectorAll("figure[data-query]")) {
  const tools = byId("tools").content.cloneNode(true);
  tools.querySelector("[data-tool=copy]").addEventListener("click", (event) => copy(figure, event.currentTarget));
  tools.querySelector("[data-tool=enlarge]").addEventListener("click", () => enlarge(figure));
  tools.querySelector("[data-tool=definition]").href = `definitions#panel-${figure.dataset.query}`;
  figure.querySelector("figcaption").append(tools);
}
// Airflow's frame may not leave itself; a link of the page around it may.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || window.top === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outside = window.top.document.createElement("a");
  outside.href = link.href;
  window.top.document.body.append(outside);
  outside.click();
  outside.remove();
});
