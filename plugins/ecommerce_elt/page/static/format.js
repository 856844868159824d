"use strict";
// How values are written, everywhere on the page.

const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const pence = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const threeDigits = new Intl.NumberFormat("en-GB", { notation: "compact", minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const fewDigits = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

// The sign of a currency, as people of several countries tell them apart: £, €, US$, CHF; ¤ where the source does not say which.
function signOf(currency) {
  try {
    const sign = new Intl.NumberFormat("en-GB", { style: "currency", currency }).formatToParts(0).find((part) => part.type === "currency").value;
    return /[A-Z]$/i.test(sign) ? `${sign}\u00a0` : sign;
  } catch {
    return "¤"; // no ISO 4217 code
  }
}
const signed = (value, text) => (value < 0 ? "−" : "") + text;
// An amount: below 1,000 with its two decimals, above with three digits and k, m or bn. £514.14, £37.0k, £1.55m.
function money(value, currency) {
  if (value == null) return "–";
  const size = Math.abs(value);
  return signed(value, signOf(currency) + (size < 999.995 ? pence : threeDigits).format(size));
}
// The same amount to the penny, for what is shown on demand.
const exactly = (value, currency) => (value == null ? "–" : signed(value, signOf(currency) + pence.format(Math.abs(value))));
// Round values from zero to the largest, and their texts: for an axis of amounts.
function ticks(values, currency) {
  const largest = Math.max(0, ...values), smallest = Math.min(0, ...values), span = largest - smallest || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => span / size <= 5);
  const at = [];
  for (let index = Math.ceil(smallest / step); index * step <= largest + step / 2; index++) at.push(index * step);
  return { tickvals: at, ticktext: at.map((value) => signed(value, signOf(currency) + fewDigits.format(Math.abs(value)))) };
}
const count = (value) => (value == null ? "–" : number.format(value));
const counted = (value, one, many = `${one}s`) => `${number.format(value)} ${value === 1 ? one : many}`;

const age = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`);
const utc = (text) => new Date(text.replace(" ", "T") + "Z");
const moment = (text) => utc(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
const day = (text) => new Date(`${text}T00:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const plusDays = (text, days) => new Date(Date.parse(text) + days * 86400000).toISOString().slice(0, 10);
const daysBetween = (first, last) => Math.round((Date.parse(last) - Date.parse(first)) / 86400000);
const cut = (text, length = innerWidth < 760 ? 18 : 24) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

// The day after a period: of a day, a week that begins on Monday, or a month.
function endOf(start, period) {
  if (period !== "month") return plusDays(start, period === "week" ? 7 : 1);
  const next = new Date(`${start}T00:00:00Z`);
  next.setUTCMonth(next.getUTCMonth() + 1);
  return next.toISOString().slice(0, 10);
}
// What the days of each period are of: [days that are there, days of the period]; the day that goes on is not over.
function wholeness(starts, period, first, last, today = new Date().toISOString().slice(0, 10)) {
  const over = last >= today ? plusDays(today, -1) : last;
  return starts.map((start) => {
    const end = endOf(start, period), from = start < first ? first : start, until = plusDays(over, 1) < end ? plusDays(over, 1) : end;
    return [Math.max(0, daysBetween(from, until)), daysBetween(start, end)];
  });
}

// RFC 4180. A text that a spreadsheet would take as a formula gets an apostrophe.
function csv(rows) {
  const heads = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value) => {
    if (value == null) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [heads, ...rows.map((row) => heads.map((head) => row[head]))].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}
