// Keeps the page up to date: the status once a second, and the curve whenever an epoch is done.
"use strict";

const find = (id) => document.getElementById(id);
let epochs = -1;

function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

// A line through the points whose `y` is a number, in a picture of its own scale.
function draw(id, points, lines) {
  const picture = find(id);
  const values = points.flatMap((point) => lines.map((line) => point[line.key])).filter(Number.isFinite);
  const least = Math.min(...values), most = Math.max(...values);
  const across = Math.max(points.length ? points[points.length - 1].epoch : 1, 2) - 1;
  picture.replaceChildren();
  if (values.length === 0) return "";
  for (const line of lines) {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const places = points.filter((point) => Number.isFinite(point[line.key])).map((point) => {
      const x = 8 + 384 * (point.epoch - 1) / across;
      const y = 152 - 144 * (most > least ? (point[line.key] - least) / (most - least) : 0.5);
      return x.toFixed(1) + "," + y.toFixed(1);
    });
    shape.setAttribute("class", line.name);
    shape.setAttribute("points", places.join(" "));
    picture.append(shape);
  }
  return "from " + least.toPrecision(4) + " to " + most.toPrecision(4);
}

async function drawCurves() {
  const points = await (await fetch("/curve")).json();
  say("loss-text", draw("loss", points, [
    { key: "train_loss", name: "first" }, { key: "validation_loss", name: "second" }]));
  say("metric-text", draw("metric", points, [{ key: "metric", name: "first" }]));
}

function showTraining(training) {
  find("training").hidden = !training;
  if (!training) return;
  const batches = training.batches * training.most;
  const done = training.batches * training.done + training.batches_done;
  find("progress").value = batches ? done / batches : 0;
  let text = "epoch " + training.done + " of " + training.most + " done";
  if (training.metric) {
    text += ", " + training.metric[0] + " " + training.metric[1].toFixed(4);
    say("metric-name", training.metric[0]);
  }
  say("progress-text", text);
  if (training.done !== epochs) {
    epochs = training.done;
    drawCurves();
  }
}

function showParties(parties) {
  const names = Object.keys(parties);
  find("parties").hidden = names.length === 0;
  const all = names.reduce((sum, name) => sum + parties[name].answer_seconds, 0);
  const rows = names.map((name) => {
    const party = parties[name], row = document.createElement("tr");
    const share = all > 0 ? (100 * party.answer_seconds / all).toFixed(0) + " %" : "";
    const cells = [party.connected ? "there" : "away", String(party.departures), party.answer_seconds.toFixed(1), share];
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head, ...cells.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }));
    return row;
  });
  find("parties").querySelector("tbody").replaceChildren(...rows);
}

function showFigures(status) {
  const figures = [["steps", status.steps]];
  // A coordinator has an entry for each party from the start.
  if (Object.keys(status.parties).length > 0) {
    figures.push(["bytes from parties", status.traffic.received_bytes], ["bytes to parties", status.traffic.sent_bytes],
      ["requests for predictions", status.predictions.requests], ["records predicted", status.predictions.predicted],
      ["records without a prediction", status.predictions.missing]);
  } else {
    figures.push(["codes that left", status.released.codes], ["bits that left", status.released.bits],
      ["records refused", status.released.refused]);
  }
  find("figures").querySelector("dl").replaceChildren(...figures.map(([name, value]) => {
    const entry = document.createElement("div"), term = document.createElement("dt"), figure = document.createElement("dd");
    term.textContent = name;
    figure.textContent = value.toLocaleString("en");
    entry.append(term, figure);
    return entry;
  }));
}

function show(status) {
  document.title = status.side + ": " + status.phase;
  say("side", status.side);
  say("run", "run " + status.run_id);
  say("version", "HashVFL " + status.version);
  let phase = status.phase;
  if (phase === "serving") phase += status.ready ? ", all are there" : ", not all are there";
  find("phase").classList.remove("gone");
  say("phase", phase);
  showTraining(status.epochs);
  showParties(status.parties);
  showFigures(status);
}

const events = new EventSource("/events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => {
  find("phase").classList.add("gone");
  say("phase", "the process does not answer");
};
