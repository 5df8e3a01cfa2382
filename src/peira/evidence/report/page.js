"use strict";

const root = document.documentElement;
const prefers = matchMedia("(prefers-color-scheme: dark)");
// Where a finger scrolls the page, it does not draw boxes on charts.
const small = matchMedia("(pointer: coarse), (max-width: 36rem)");
const theme = () => root.dataset.theme ?? (prefers.matches ? "dark" : "light");
const button = document.getElementById("theme");
const figures = [...document.querySelectorAll("figure")].filter((one) =>
  one.querySelector(".chart"));

// Plotly reads a little HTML in its labels: names are shown as they are.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

function faded(hex, share) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${share})`;
}

function traces(one) {
  const common = { x: one.steps, type: "scatter", legendgroup: one.name };
  const quiet = { showlegend: false, hoverinfo: "skip", mode: "lines" };
  const found = [];
  if (one.seeds.length > 1) {
    for (const [i, earned] of one.returns.entries()) {
      found.push({ ...common, ...quiet, y: earned, meta: "seed",
        name: plain(`${one.name}, seed ${one.seeds[i]}`),
        line: { width: 1, color: faded(one.colour, 0.55) } });
    }
  }
  if (one.low) {
    found.push({ ...common, ...quiet, y: one.low, line: { width: 0 } });
    found.push({ ...common, ...quiet, y: one.high, line: { width: 0 },
      fill: "tonexty", fillcolor: faded(one.colour, 0.2) });
  }
  const spread = one.low
    ? { text: one.low.map((low, i) => `[${short(low)}, ${short(one.high[i])}]`) }
    : { text: one.steps.map(() => "") };
  const lone = one.steps.length === 1;
  found.push({ ...common, ...spread, y: one.middle, name: plain(one.name),
    mode: lone ? "markers" : "lines", line: { width: 2.5, color: one.colour },
    marker: { color: one.colour, size: 9 }, meta: "middle",
    hovertemplate: "%{y:.4~g} %{text}" });
  return found;
}

const short = (number) => Number(number.toPrecision(4)).toString();

// The axis spans what seeds earned.
function span(curves) {
  const all = curves.flatMap((one) => one.returns.flat()).filter((y) => y !== null);
  const [low, high] = all.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)],
    [Infinity, -Infinity]);
  const room = 0.08 * (high - low) || 1;
  return all.length ? [low - room, high + room] : undefined;
}

function layout(numbers) {
  const { color: ink, backgroundColor: paper, fontFamily: family } =
    getComputedStyle(document.body);
  const line = getComputedStyle(button).borderTopColor;
  const axis = { gridcolor: line, linecolor: line, zeroline: false, automargin: true };
  return {
    height: 400, margin: { l: 56, r: 12, t: 32, b: 72 },
    paper_bgcolor: paper, plot_bgcolor: paper,
    font: { color: ink, family, size: 13 },
    hovermode: "x unified", hoverlabel: { bgcolor: paper, bordercolor: line },
    dragmode: small.matches ? false : "zoom",
    xaxis: { ...axis, title: { text: plain(numbers.axis) }, hoverformat: ",d",
      exponentformat: "SI", showgrid: false },
    yaxis: { ...axis, title: { text: "return" }, range: span(numbers.curves) },
    showlegend: true, legend: { orientation: "h", x: 0, y: 0, yanchor: "bottom", yref: "container" },
  };
}

for (const figure of figures) {
  const numbers = JSON.parse(figure.querySelector("script").textContent);
  const chart = figure.querySelector(".chart");
  figure.numbers = numbers;
  Plotly.newPlot(chart, numbers.curves.flatMap(traces), layout(numbers), {
    responsive: true, displaylogo: false,
    ...(small.matches ? { displayModeBar: false } : {}),
    // Of Plotly's own choice one sends the numbers away.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  });
  figure.querySelector(".seeds").addEventListener("change", (event) => {
    const thin = chart.data.flatMap((one, i) => (one.meta === "seed" ? [i] : []));
    if (thin.length) Plotly.restyle(chart, { visible: event.target.checked }, thin);
  });
}

function paint() {
  for (const figure of figures) {
    const { numbers } = figure;
    Plotly.relayout(figure.querySelector(".chart"), layout(numbers));
  }
}

function named() {
  button.textContent = theme() === "dark" ? "Light" : "Dark";
}
button.hidden = false;
button.addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
  named();
  paint();
});
prefers.addEventListener("change", () => { named(); paint(); });
named();

// Paper is white, and nothing is folded away on it.
let before;
addEventListener("beforeprint", () => {
  before = root.dataset.theme;
  root.dataset.theme = "light";
  for (const one of document.querySelectorAll("details")) one.open = true;
  paint();
});
addEventListener("afterprint", () => {
  if (before === undefined) delete root.dataset.theme;
  else root.dataset.theme = before;
  paint();
});

function compare(a, b) {
  const [x, y] = [a, b].map((cell) => cell.dataset.key);
  if (x !== undefined && y !== undefined) return Number(x) - Number(y);
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

for (const table of document.querySelectorAll("table")) {
  const heads = [...table.querySelectorAll("th")];
  for (const [i, head] of heads.entries()) {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const empty = (row) => row.cells[i].textContent === "";
      body.append(...[...body.rows].sort((a, b) =>
        empty(a) - empty(b)
        || (down ? -1 : 1) * compare(a.cells[i], b.cells[i])));
    });
  }
}
