// Figures as texts, and the tables made of them.
"use strict";

export function count(value) {
  return value.toLocaleString("en");
}

// To four places; what would be a long row of digits has an exponent.
export function figure(value) {
  return Math.abs(value) < 1e6 ? value.toFixed(4) : value.toExponential(4);
}

export function bytes(value) {
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (value >= size) return (value / size).toPrecision(3) + " " + unit;
  }
  return value + " B";
}

export function seconds(value) {
  if (value < 1) return (1000 * value).toFixed(0) + " ms";
  if (value < 120) return value.toFixed(1) + " s";
  if (value < 7200) return (value / 60).toFixed(0) + " min";
  return (value / 3600).toFixed(1) + " h";
}

export function counted(value, one) {
  return count(value) + " " + one + (value === 1 ? "" : "s");
}

// How often something happened.
function times(value) {
  return value === 1 ? "once" : counted(value, "time");
}

// Until when something is valid, or since when it no longer is, in whole days.
export function validity(end, now) {
  if (!Number.isFinite(end)) return "";
  const days = counted(Math.floor(Math.abs(end - now) / 86400), "day");
  return end < now ? "expired " + days + " ago" : "valid for " + days;
}

// What an element shows, so that it is drawn anew where that has changed alone: a reader may have marked some of it.
const shown = new WeakMap();

function isNew(element, content) {
  const text = JSON.stringify(content);
  if (shown.get(element) === text) return false;
  shown.set(element, text);
  return true;
}

function cell(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function row(head, cells) {
  const made = document.createElement("tr"), first = cell("th", head);
  first.scope = "row";
  made.append(first, ...cells);
  return made;
}

export function fillList(list, figures) {
  if (!isNew(list, figures)) return;
  list.replaceChildren(...figures.map(([name, value]) => {
    const entry = document.createElement("div");
    entry.append(cell("dt", name), cell("dd", typeof value === "number" ? count(value) : value));
    return entry;
  }));
}

export function fillParties(table, status) {
  const labels = [...table.querySelectorAll("thead th")].slice(1).map((head) => head.textContent);
  table.querySelector("tbody").replaceChildren(...Object.entries(status.parties).map(([name, party]) => {
    const there = cell("td", party.connected ? "connected" : "away", party.connected ? "good" : "bad");
    if (party.returns > 0) there.textContent += ", reconnected " + times(party.returns);
    if (party.departures > 0) there.textContent += ", disconnected " + times(party.departures);
    const share = status.step_seconds > 0 ? " (" + (100 * party.answer_seconds / status.step_seconds).toFixed(0) + " %)" : "";
    const heard = party.heard_s === null ? "" : status.now_s - party.heard_s < 2 ? "now" : seconds(status.now_s - party.heard_s) + " ago";
    const released = party.run_released_bits === null ? count(party.released_bits) :
      count(party.run_released_bits) + (party.planned_bits === null ? "" : " of " + count(party.planned_bits));
    const texts = [party.address || "", heard,
      seconds(party.answer_seconds) + share, seconds(party.lag_seconds), bytes(party.received_bytes), bytes(party.sent_bytes),
      released, validity(party.certificate_end_s ?? NaN, status.now_s)];
    const cells = [there, ...texts.map((text) => cell("td", text))];
    cells.forEach((one, at) => { one.dataset.label = labels[at]; });
    return row(name, cells);
  }));
}

export function fillBudget(box, budget) {
  if (!isNew(box, budget)) return;
  const meters = [];
  for (const [name, of] of [["bits", budget.bits], ["codes", budget.encodings], ["epsilon", budget.epsilon]]) {
    if (of.used === 0 && of.allowed === null) continue;
    const part = document.createElement("div"), text = cell("p", "");
    text.textContent = "most released of any one record: " + count(of.used) + (of.allowed === null ? "" : " of " + count(of.allowed)) + " " + name +
      (of.allowed === null ? ", without a limit" : "");
    part.append(text);
    if (of.allowed !== null) {
      const meter = document.createElement("meter");
      meter.max = of.allowed;
      meter.high = 0.8 * of.allowed;
      meter.optimum = 0;
      meter.value = of.used;
      meter.setAttribute("aria-label", text.textContent);
      part.append(meter);
    }
    meters.push(part);
  }
  if (budget.without_epsilon > 0) meters.push(cell("p", "without a finite epsilon: " + counted(budget.without_epsilon, "record")));
  box.replaceChildren(...meters);
  box.hidden = meters.length === 0;
}

export function fillRuns(table, runs) {
  if (!isNew(table, runs)) return;
  table.querySelector("tbody").replaceChildren(...[...runs].reverse().map((run) => {
    const texts = [new Date(1000 * run.finished_s).toISOString().slice(0, 16).replace("T", " "),
      run.test === null ? "" : run.metric + " " + run.test.toFixed(4), run.test_loss === null ? "" : run.test_loss.toFixed(4),
      run.epochs + ", best " + run.best_epoch, count(run.records), String(run.parties.length), String(run.bits),
      count(run.released_bits_per_record), run.flagged_fraction === null ? "" : (100 * run.flagged_fraction).toFixed(1) + " %",
      bytes(run.received_bytes), bytes(run.sent_bytes), seconds(run.seconds)];
    return row(run.run_id, texts.map((text) => cell("td", text)));
  }));
}

export function fillAudit(list, lines, ownRun) {
  if (!isNew(list, [lines, ownRun])) return;
  list.replaceChildren(...lines.map((line) => {
    const entry = document.createElement("li"), time = cell("time", line.time.replace("T", " ").replace("Z", ""));
    time.dateTime = line.time;
    entry.append(time, " ");
    if (line.run && line.run !== ownRun) entry.append(cell("span", line.run + ":", "run"), " ");
    // The beginning of a digest is enough to tell it from others.
    entry.append(line.text.replace(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1\u2026"));
    return entry;
  }));
}
