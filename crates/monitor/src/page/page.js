// Keeps the page up to date: the status as it comes, once a second, and the history now and then.
"use strict";

import { drawBalance, drawFlags, drawLines } from "/pictures.js";
import { count, figure, fillAudit, fillBudget, fillList, fillParties, fillRuns, validity } from "/tables.js";

// Milliseconds between two looks at the history, and after an epoch.
const HISTORY = 5000, SOON = 1000;
const find = (id) => document.getElementById(id);
let epochs = -1, looked = -HISTORY, due = true, phase = "", run = "";

function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

async function showHistory() {
  const history = await (await fetch("/history")).json();
  find("curves").hidden = history.epochs.length === 0;
  say("loss-text", drawLines(find("loss"), history.epochs, [
    { key: "train_loss", name: "first" }, { key: "validation_loss", name: "second" }]));
  say("metric-text", drawLines(find("metric"), history.epochs, [{ key: "metric", name: "first" }]));
  const sides = Object.entries(history.balance);
  find("balance").hidden = sides.length === 0;
  find("balance").querySelector(".strips").replaceChildren(...sides.map(([name, balance]) => drawBalance(name, balance)));
  find("flags").hidden = history.flags.length === 0;
  if (history.flags.length > 0) say("flags-text", drawFlags(find("flags-picture"), history.flags));
  find("runs").hidden = !history.privacy_report && !(history.runs && history.runs.length > 0);
  fillRuns(find("runs").querySelector("table"), history.runs || []);
  find("report").hidden = !history.privacy_report;
  find("audit").hidden = history.audit.length === 0;
  fillAudit(find("audit").querySelector("ol"), history.audit, run);
}

function lookAtHistory(changed) {
  const now = performance.now();
  due ||= changed;
  if (now - looked < (due ? SOON : HISTORY)) return;
  looked = now;
  due = false;
  // Where nobody answers, the stream of events says so.
  showHistory().catch(() => {});
}

function showTraining(training) {
  find("training").hidden = !training;
  if (!training) return;
  const batches = training.batches * training.most;
  const done = training.batches * training.done + training.batches_done;
  find("progress").value = batches ? done / batches : 0;
  let text = "epoch " + count(training.done) + " of " + count(training.most) + " done, batch " + count(training.batches_done) + " of " +
    count(training.batches);
  if (training.train_loss !== null) text += ", training loss " + figure(training.train_loss);
  if (training.validation_loss !== null) text += ", validation loss " + figure(training.validation_loss);
  if (training.metric) {
    text += ", " + training.metric[0] + " " + figure(training.metric[1]);
    say("metric-name", training.metric[0]);
  }
  say("progress-text", text);
}

function showOwnSide(status) {
  const isParty = Object.keys(status.parties).length === 0;
  find("released").hidden = !isParty;
  if (isParty) {
    const left = [["codes released", status.released.codes], ["bits released", status.released.bits],
      ["records refused", status.released.refused]];
    if (status.epochs) left.push(["bits released in the run", status.run.released_bits]);
    fillList(find("released").querySelector("dl"), left);
    if (status.budget) fillBudget(find("budget"), status.budget);
  }
  const requests = Object.entries(status.requests);
  find("requests").hidden = requests.length === 0;
  fillList(find("requests").querySelector("dl"), requests);
  const gradients = status.gradient_monitor;
  find("gradients").hidden = !gradients;
  if (!gradients) return;
  say("gradients-text", (gradients.alarm ? "An alarm was raised" : "No alarm") + " in " + count(gradients.batches) +
    (gradients.batches === 1 ? " batch. " : " batches. ") + (100 * Math.max(gradients.explained, 0)).toFixed(0) + " % of the last gradient can be predicted from this party's own codes; suspicion " +
    gradients.suspicion.toFixed(1) + " (alarm at " + gradients.bound + "), correlation with earlier codes " +
    gradients.earlier_score.toFixed(1) + " (alarm at " + gradients.earlier_bound + ").");
  find("gradients-text").className = gradients.alarm ? "bad" : "";
  const meter = find("suspicion");
  meter.max = 1;
  meter.high = 0.5;
  meter.optimum = 0;
  meter.value = Math.max(gradients.suspicion / gradients.bound, gradients.earlier_score / gradients.earlier_bound);
}

function showFigures(status) {
  const figures = status.epochs ? [["steps of the run", status.run.steps], ["continued from a checkpoint", status.resumes]] : [];
  for (const [name, end] of [["own certificate", status.certificate_end_s], ["authority", status.authority_end_s],
    ["revocation list", status.revocation_list_end_s]]) {
    const until = validity(end ?? NaN, status.now_s);
    if (until) figures.push([name, until]);
  }
  // A coordinator has an entry for each party from the start.
  if (status.epochs && Object.keys(status.parties).length > 0) {
    figures.push(["bytes from parties in the run", status.run.received_bytes], ["bytes to parties in the run", status.run.sent_bytes]);
  }
  const predictions = status.predictions;
  if (predictions.requests > 0) {
    figures.push(["requests for predictions", predictions.requests], ["records predicted", predictions.predicted],
      ["records without a prediction", predictions.missing]);
  }
  if (predictions.judged > 0) {
    figures.push(["records checked by detectors", predictions.judged], ["records flagged", predictions.flagged],
      ["drift of the inputs", predictions.drifted ? "yes: flags are no longer valid" : "none"]);
  }
  for (const [why, times] of Object.entries(status.refusals)) figures.push(["refused: " + why, times]);
  fillList(find("figures").querySelector("dl"), figures);
}

function show(status) {
  run = status.run_id;
  document.title = status.side + ": " + status.phase;
  say("side", status.side);
  say("run", "run " + status.run_id);
  say("version", "HashVFL " + status.version);
  let text = status.phase;
  if (text === "serving") text += status.ready ? ", all parties are connected" : ", not all parties are connected";
  if (text === "halted") text += ": a gradient alarm waits for a person";
  find("phase").classList.toggle("gone", status.phase === "halted");
  say("phase", text);
  showTraining(status.epochs);
  find("parties").hidden = Object.keys(status.parties).length === 0;
  fillParties(find("parties").querySelector("table"), status);
  showOwnSide(status);
  showFigures(status);
  const done = status.epochs ? status.epochs.done : 0;
  lookAtHistory(done !== epochs || status.phase !== phase);
  epochs = done;
  phase = status.phase;
}

const events = new EventSource("/events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => {
  find("phase").classList.add("gone");
  say("phase", "the process does not answer");
};
