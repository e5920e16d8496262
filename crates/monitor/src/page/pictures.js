// Pictures in SVG, each in the size of its own view box.
"use strict";

import { counted } from "/tables.js";

const SVG = "http://www.w3.org/2000/svg";

function shape(kind, attributes) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Lines through the points whose values are numbers, from the least value to the largest; what that is, in words.
export function drawLines(picture, points, lines) {
  const values = points.flatMap((point) => lines.map((line) => point[line.key])).filter(Number.isFinite);
  picture.replaceChildren();
  if (values.length === 0) return "";
  const least = values.reduce((a, b) => Math.min(a, b)), most = values.reduce((a, b) => Math.max(a, b));
  const first = points[0].epoch, last = points[points.length - 1].epoch, across = Math.max(last - first, 1);
  for (const line of lines) {
    const places = points.filter((point) => Number.isFinite(point[line.key])).map((point) => {
      const x = 8 + 384 * (point.epoch - first) / across;
      const y = 152 - 144 * (most > least ? (point[line.key] - least) / (most - least) : 0.5);
      return x.toFixed(1) + "," + y.toFixed(1);
    });
    picture.append(shape("polyline", { class: line.name, points: places.join(" ") }));
  }
  return "from " + least.toPrecision(4) + " to " + most.toPrecision(4) + ", epochs " + first + " to " + last;
}

// A bar for each share from 0 to 1, in a picture of this height.
function bars(shares, height) {
  const width = 400 / Math.max(shares.length, 1), gap = width > 3 ? 1 : 0;
  return shares.map((share, at) => {
    const tall = share * height;
    return "M" + (at * width).toFixed(2) + " " + height + "v" + (-tall).toFixed(2) + "h" + (width - gap).toFixed(2) +
      "v" + tall.toFixed(2) + "z";
  }).join("");
}

// How often each bit is set.
export function drawBalance(name, balance) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const shares = balance.ones_per_mille.map((ones) => ones / 1000);
  const off = shares.map((share) => Math.abs(2 * share - 1));
  const mean = off.reduce((a, b) => a + b, 0) / Math.max(off.length, 1);
  caption.textContent = name + ": " + counted(shares.length, "bit") + ", " + counted(balance.records, "code") + "; mean imbalance " +
    (100 * mean).toFixed(1) + " %";
  const picture = shape("svg", { class: "bars", viewBox: "0 0 400 48", preserveAspectRatio: "none", role: "img",
    "aria-label": caption.textContent });
  picture.append(shape("path", { class: "bars", d: bars(shares, 48) }),
    shape("line", { class: "half", x1: 0, x2: 400, y1: 24, y2: 24 }));
  figure.append(caption, picture);
  return figure;
}

// The fraction of flagged records, minute by minute; what the largest is, in words.
export function drawFlags(picture, spans) {
  const shares = spans.map((span) => span.judged > 0 ? span.flagged / span.judged : 0);
  const most = shares.reduce((a, b) => Math.max(a, b), 0);
  picture.replaceChildren(shape("path", { class: "bars", d: bars(shares.map((share) => most > 0 ? share / most : 0), 80) }));
  const judged = spans.reduce((sum, span) => sum + span.judged, 0), flagged = spans.reduce((sum, span) => sum + span.flagged, 0);
  return flagged.toLocaleString("en") + " of " + judged.toLocaleString("en") + " checked records were flagged in " +
    counted(spans.length, "minute") + "; at most " + (100 * most).toFixed(1) + " % in one of them";
}
