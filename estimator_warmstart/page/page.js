"use strict";
// Shows the contents of the page as text and drawings. It decides nothing, and makes no markup from names.
const contents = JSON.parse(document.getElementById("contents").textContent);
const isPlan = contents.kind === "plan";
const WORDS = {
  restored: "restored", adapted: "adapted", initialized: "as initialized", same: "same", renamed: "renamed?",
  "shape changed": "shape changed", "dtype changed": "dtype changed", "only new": "only new", "only old": "only old",
};
const ACTIONS = Object.keys(WORDS);
const ROWS_AT_ONCE = 200, LEAST_CELL = 130, SCOPE_BAR = 17, MOST_SCOPES = 40;
const collator = new Intl.Collator(undefined, { numeric: true });

// Small helpers

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
}

// A name may be broken after a scope.
function named(name) {
  const parts = name.split("/").map((part, at, all) => (at < all.length - 1 ? `${part}/` : part));
  return make("span", { class: "name" }, ...parts.flatMap((part, at) => (at ? [make("wbr"), part] : [part])));
}

const count = (number) => number.toLocaleString("en-US");
const several = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
const classOf = (action) => action.replace(" ", "-");
const shapeText = (shape) => (shape ? `[${shape.join(", ")}]` : shape === null ? "[?]" : "");

function percent(share) {
  const text = (100 * share).toFixed(1);
  if (text === "100.0" && share < 1) return "> 99.9 %";
  return text === "0.0" && share > 0 ? "< 0.1 %" : `${text} %`;
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (bytes >= 1000 && power < units.length - 1) { bytes /= 1000; power += 1; }
  return power ? `${bytes.toPrecision(3)} ${units[power]}` : `${count(bytes)} bytes`;
}

// What Python has packed: see packed.py.
function unpack(packed) {
  const texts = [];
  let before = "";
  for (let at = 0; at < packed.texts.length; at += 2) {
    before = before.slice(0, packed.texts[at]) + packed.texts[at + 1];
    texts.push(before);
  }
  const values = texts.map((text) => JSON.parse(text));
  const names = Object.keys(packed.columns), keys = new Set(packed.keys), records = [];
  for (let row = 0; names.length && row < packed.columns[names[0]].length; row += 1) {
    const record = {};
    for (const name of names) {
      const value = packed.columns[name][row];
      record[name] = keys.has(name) && value !== null ? values[value] : value;
    }
    records.push(record);
  }
  return records;
}

// One report: its variables, and what of them is chosen

let report, rows, unused, state, mapRoot;

function choose(number) {
  report = contents.reports[number];
  rows = unpack(report.variables);
  unused = report.unused ? unpack(report.unused) : [];
  rows.forEach((row, at) => {
    row.at = at;
    row.name = row.new === null ? row.old : row.new;
    row.search = `${row.new || ""}\n${row.old || ""}`.toLowerCase();
  });
  state = { text: "", actions: new Set(), scope: [], sort: "at", down: false, most: ROWS_AT_ONCE, open: new Set(), chosen: [] };
  mapRoot = tree(rows.filter((row) => row.new !== null));
  show(number);
}

function inScope(row) {
  const node = state.scope[state.scope.length - 1];
  return !node || node.members.has(row);
}

function choice() {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = rows.filter((row) =>
    (!state.actions.size || state.actions.has(row.action)) && words.every((word) => row.search.includes(word)) && inScope(row));
  const key = state.sort, sign = state.down ? -1 : 1;
  const value = (row) => (key === "shape" ? (row.new_shape || []).reduce((a, b) => a * b, 1) : row[key]);
  return chosen.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const order = typeof x === "number" && typeof y === "number" ? x - y : collator.compare(x === null ? "" : x, y === null ? "" : y);
    return sign * order || a.at - b.at;
  });
}

// The scopes of the names as a tree. A variable and its slots, whose names begin with its own, are together.

function tree(list) {
  const top = { name: "", path: "", children: new Map(), row: null };
  for (const row of list) {
    let node = top;
    const parts = row.name.split("/");
    for (const part of [...parts.slice(0, MOST_SCOPES), ...(parts.length > MOST_SCOPES ? [parts.slice(MOST_SCOPES).join("/")] : [])]) {
      if (!node.children.has(part)) {
        node.children.set(part, { name: part, path: node.path ? `${node.path}/${part}` : part, children: new Map(), row: null });
      }
      node = node.children.get(part);
    }
    node.row = row;
  }
  return simplified(top);
}

function simplified(node) {
  let children = [...node.children.values()];
  if (!children.length) return node.row ? leaf(node.row) : group("", "", []);
  if (node.row) children.push({ name: node.name, path: node.path, children: new Map(), row: node.row });
  else if (children.length === 1) {
    const only = children[0];
    return simplified({ ...only, name: node.name ? `${node.name}/${only.name}` : only.name });
  }
  return group(node.name, node.path, children.map(simplified));
}

function leaf(row) {
  return { name: row.name.slice(row.name.lastIndexOf("/") + 1), path: row.name, row, bytes: row.bytes, members: new Set([row]), shares: { [row.action]: row.bytes } };
}

function group(name, path, children) {
  const node = { name, path, row: null, bytes: 0, members: new Set(), shares: {}, children: children.sort((a, b) => b.bytes - a.bytes) };
  for (const child of children) {
    node.bytes += child.bytes;
    for (const row of child.members) node.members.add(row);
    for (const [action, bytes] of Object.entries(child.shares)) node.shares[action] = (node.shares[action] || 0) + bytes;
  }
  return node;
}

// Squarified treemap: Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000. `nodes` are sorted, the largest first.

function squarify(nodes, box, place) {
  let { x, y, width, height } = box, at = 0;
  let left = nodes.reduce((sum, node) => sum + node.bytes, 0);
  while (at < nodes.length && left > 0 && width > 0 && height > 0) {
    const scale = (width * height) / left, side = Math.min(width, height);
    let sum = 0, end = at, worst = Infinity;
    for (; end < nodes.length; end += 1) {
      const next = sum + nodes[end].bytes * scale, square = next * next;
      const ratio = Math.max((side * side * nodes[at].bytes * scale) / square, square / (side * side * nodes[end].bytes * scale));
      if (end > at && !(ratio <= worst)) break;
      [worst, sum] = [ratio, next];
    }
    const thick = sum / side;
    let along = 0;
    for (; at < end; at += 1) {
      const long = (nodes[at].bytes * scale) / thick;
      place(nodes[at], width >= height ? { x, y: y + along, width: thick, height: long } : { x: x + along, y, width: long, height: thick });
      along += long;
      left -= nodes[at].bytes;
    }
    if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
  }
}

function cellsOf(node, box, cells) {
  const scale = (box.width * box.height) / node.bytes;
  let shown = node.children.filter((child) => child.bytes * scale >= LEAST_CELL);
  const rest = node.children.filter((child) => child.bytes > 0 && !shown.includes(child));
  if (rest.length === 1) shown.push(rest[0]);
  else if (rest.length) shown.push({ ...group(`${count(rest.length)} smaller`, node.path, rest), isRest: true });
  shown = shown.sort((a, b) => b.bytes - a.bytes);
  squarify(shown, box, (child, inner) => {
    if (child.row || child.isRest || inner.width < 60 || inner.height < 3 * SCOPE_BAR) cells.push({ node: child, box: inner });
    else {
      cells.push({ node: child, box: { ...inner, height: SCOPE_BAR }, isBar: true });
      cellsOf(child, { ...inner, y: inner.y + SCOPE_BAR, height: inner.height - SCOPE_BAR }, cells);
    }
  });
}

function drawMap() {
  const map = document.getElementById("map"), node = state.scope[state.scope.length - 1] || mapRoot;
  const box = { x: 0, y: 0, width: map.clientWidth, height: map.clientHeight }, cells = [];
  if (node.row) cells.push({ node, box });
  else if (node.bytes && box.width) cellsOf(node, box, cells);
  map.replaceChildren(...cells.map((cell, at) => cellButton(cell, box, at)));
  const crumbs = document.getElementById("crumbs");
  crumbs.hidden = !state.scope.length;
  crumbs.replaceChildren(
    make("button", { type: "button", onclick: () => zoomOut(0) }, "Whole model"),
    ...state.scope.map((each, at) => make("button", {
      type: "button", class: "name", "aria-current": at === state.scope.length - 1 ? "true" : null, onclick: () => zoomOut(at + 1),
    }, each.path + (each.isRest ? ` (${each.name})` : ""))));
}

function cellButton(cell, whole, at) {
  const { node, box, isBar } = cell, total = mapRoot.bytes;
  const what = node.row ? happens(node.row)
    : ACTIONS.filter((action) => node.shares[action]).map((action) => `${percent(node.shares[action] / node.bytes)} ${WORDS[action]}`).join(", ");
  const title = `${node.path}${node.row ? "" : node.isRest ? `: ${node.name} variables or scopes` : `: ${several(node.members.size, "variable")}`}, `
    + `${size(node.bytes)}, ${percent(node.bytes / total)} of the bytes, ${what}`;
  const button = make("button", {
    type: "button", class: isBar ? "scope" : classOf(commonest(node)), title, "aria-label": title, tabindex: at ? -1 : 0,
    "data-name": node.path, onclick: () => (node.row ? reveal(node.row) : zoomIn(node)),
  }, box.width > 24 && box.height > 12 ? (isBar ? `${node.name} · ${size(node.bytes)}` : node.name) : "");
  const style = button.style;
  style.left = `${(100 * box.x) / whole.width}%`;
  style.top = `${(100 * box.y) / whole.height}%`;
  style.width = `${(100 * box.width) / whole.width}%`;
  style.height = `${(100 * box.height) / whole.height}%`;
  if (!isBar) style.backgroundImage = stripes(node);
  return button;
}

function commonest(node) {
  return ACTIONS.reduce((most, action) => ((node.shares[action] || 0) > (node.shares[most] || 0) ? action : most), Object.keys(node.shares)[0]);
}

// A scope that is too small to be opened shows its shares; an adapted variable, how much of it is old.
function stripes(node) {
  if (node.row) {
    const share = node.row.old_share;
    return node.row.action !== "adapted" || !(share < 1) ? ""
      : `linear-gradient(to right, var(--adapted) ${100 * share}%, var(--initialized) ${100 * share}%)`;
  }
  const colours = { restored: "restored", same: "restored", adapted: "adapted", "shape changed": "adapted", renamed: "moved", "dtype changed": "mean" };
  let from = 0;
  const parts = ACTIONS.filter((action) => node.shares[action]).map((action) => {
    const to = from + (100 * node.shares[action]) / node.bytes, part = `var(--${colours[action] || "initialized"}) ${from}% ${to}%`;
    from = to;
    return part;
  });
  return parts.length ? `linear-gradient(to right, ${parts.join(", ")})` : "";
}

function zoomIn(node) {
  state.scope.push(node);
  update();
  focusMap();
}

function zoomOut(depth) {
  state.scope.length = depth;
  update();
  focusMap();
}

function focusMap() {
  const first = document.querySelector("#map button");
  if (first) first.focus({ preventScroll: true });
}

// Arrow keys go to the nearest cell on that side; one cell at a time takes part in the order of the Tab key.
function mapKey(event) {
  const current = event.target.closest("button"), buttons = [...event.currentTarget.querySelectorAll("button")];
  if (!current) return;
  if (event.key === "Escape" && state.scope.length) return void zoomOut(state.scope.length - 1);
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let next = event.key === "Home" ? buttons[0] : event.key === "End" ? buttons[buttons.length - 1] : null;
  if (ways[event.key]) {
    const [across, down] = ways[event.key], here = current.getBoundingClientRect();
    const middle = (box) => [box.left + box.width / 2, box.top + box.height / 2];
    const edge = (box, sign, low, high) => (sign > 0 ? box[low] - here[high] : here[low] - box[high]);
    let nearest = Infinity;
    for (const button of buttons) {
      const box = button.getBoundingClientRect(), from = middle(here), to = middle(box);
      const ahead = across ? edge(box, across, "left", "right") : edge(box, down, "top", "bottom");
      const aside = across ? Math.max(0, box.top - from[1], from[1] - box.bottom) : Math.max(0, box.left - from[0], from[0] - box.right);
      const distance = ahead + 3 * aside + 0.01 * (Math.abs(from[0] - to[0]) + Math.abs(from[1] - to[1]));
      if (button !== current && ahead > -1 && distance < nearest) [nearest, next] = [distance, button];
    }
  }
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

function mapFocus(event) {
  for (const button of event.currentTarget.querySelectorAll('button[tabindex="0"]')) button.tabIndex = -1;
  event.target.tabIndex = 0;
}

// Shows the row of a variable, opened, whatever was filtered before.
function reveal(row) {
  state.text = row.name;
  state.actions.clear();
  state.scope = state.scope.filter((node) => node.members.has(row));
  state.open.add(row);
  update();
  const button = document.querySelector(`#rows button[data-at="${row.at}"]`);
  if (button) {
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "center" });
  }
}

// The table

function happens(row) {
  let text = WORDS[row.action];
  if (row.action === "adapted") {
    text += `, ${percent(row.old_share)} old`;
    if (row.kept_share !== null) text += `, ${percent(row.kept_share)} of the old kept`;
  }
  if (row.action === "dtype changed") text += ` ${row.old_dtype} → ${row.dtype}`;
  return text + (row.reason ? (isPlan ? `: ${row.reason}` : `; slots: ${row.reason}`) : "");
}

const COLUMNS = [
  { key: "new", label: "New variable" },
  { key: "shape", label: "Shape", number: false },
  { key: "bytes", label: "Bytes", number: true },
  { key: "action", label: isPlan ? "What happens" : "Difference" },
  { key: "old", label: "Old variable" },
];

function columns() {
  // Several old models: which of them.
  return rows.some((row) => row.source) ? [...COLUMNS, { key: "source", label: "Old model" }] : COLUMNS;
}

function header() {
  return make("tr", {}, ...columns().map((column) => {
    const sorted = state.sort === column.key;
    return make("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": sorted ? (state.down ? "descending" : "ascending") : "none" },
      make("button", { type: "button", "data-sort": column.key, onclick: () => sortBy(column) },
        column.label, make("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (state.down ? " ▾" : " ▴") : "")));
  }));
}

function sortBy(column) {
  state.down = state.sort === column.key ? !state.down : Boolean(column.number);
  state.sort = column.key;
  update(false);
  document.querySelector(`button[data-sort="${column.key}"]`).focus();
}

function rowOf(row) {
  const isOpen = state.open.has(row);
  const button = make("button", { type: "button", "aria-expanded": String(isOpen), "data-at": row.at }, named(row.new === null ? "–" : row.new));
  const line = make("tr", {},
    make("td", {}, button),
    make("td", { class: "shape" }, row.new === null ? "" : shapeText(row.new_shape)),
    make("td", { class: "number" }, row.new === null ? "" : count(row.bytes)),
    make("td", {}, make("span", { class: `key ${classOf(row.action)}`, "aria-hidden": "true" }), happens(row)),
    make("td", { class: "from" }, ...(row.old === null ? [] : [named(row.old), " ",
      make("span", { class: "shape" }, shapeText(row.old_shape))])));
  if (columns().length > COLUMNS.length) line.append(make("td", {}, named(row.source || "")));
  button.addEventListener("click", () => {
    const opens = !state.open.has(row);
    button.setAttribute("aria-expanded", String(opens));
    if (opens) {
      state.open.add(row);
      line.after(detailsOf(row));
    } else {
      state.open.delete(row);
      line.nextElementSibling.remove();
    }
  });
  return isOpen ? [line, detailsOf(row)] : [line];
}

function detailsOf(row) {
  const facts = [`dtype ${row.dtype}`];
  if (isPlan) facts.push(`${count(row.recovered_bytes)} of ${count(row.bytes)} bytes are old`);
  if (row.slot_of) facts.push(`slot of ${row.slot_of}`);
  const cell = make("td", { colspan: columns().length }, make("p", { class: "quiet" }, facts.join(" · ")));
  for (const strip of row.strips || []) cell.append(stripFigure(strip));
  cell.append(valuesFigure(row) || "");
  return make("tr", { class: "details" }, cell);
}

// Drawings

const KINDS = { kept: "in place", moved: "moved", new: "new", mean: "mean of old ones", vocabulary: "by vocabulary", gone: "gone" };

function stripFigure(strip) {
  const width = 640, top = 14, thick = 16, bottom = 66, total = (runs) => runs.reduce((sum, run) => sum + run[1], 0);
  const longest = Math.max(total(strip.old), total(strip.new), 1), scale = width / longest;
  const picture = draw("svg", { viewBox: `0 0 ${width} 96`, role: "img", "aria-label": strip.text });
  let at = 0;
  if (!strip.coarse) {
    for (const [kind, length, start, step] of strip.new) {
      if (start >= 0) {
        const low = Math.min(start, start + step * (length - 1)), high = Math.max(start, start + step * (length - 1)) + 1;
        const [a, b] = step < 0 ? [high, low] : [low, high];
        const points = [[a, top + thick], [b, top + thick], [at + length, bottom], [at, bottom]];
        picture.append(draw("polygon", { class: `ribbon f-${kind}`, points: points.map(([x, y]) => `${x * scale},${y}`).join(" ") }));
      }
      at += length;
    }
  }
  for (const [runs, y] of [[strip.old, top], [strip.new, bottom]]) {
    at = 0;
    for (const [kind, length] of runs) {
      picture.append(draw("rect", { class: `f-${kind}`, x: at * scale, y, width: Math.max(length * scale - 0.6, 0.4), height: thick }));
      at += length;
    }
  }
  picture.append(draw("text", { class: "f-text", x: 0, y: top - 4 }, "old"), draw("text", { class: "f-text", x: 0, y: bottom + thick + 12 }, "new"));
  const kinds = Object.keys(KINDS).filter((kind) => [...strip.old, ...strip.new].some((run) => run[0] === kind));
  return make("figure", {}, make("figcaption", {}, strip.text + (strip.coarse ? " (drawn coarsely)" : "")), picture,
    make("figcaption", { "aria-hidden": "true" }, ...kinds.flatMap((kind) => [keyOf(kind), `${KINDS[kind]}  `])));
}

function keyOf(kind) {
  const key = draw("svg", { class: "key", viewBox: "0 0 12 12" }, draw("rect", { class: `f-${kind}`, width: 12, height: 12, rx: 3 }));
  return key;
}

function valuesText(row, side) {
  if (row[`${side}_nan_count`] === null || row[`${side}_nan_count`] === undefined) return null;
  const numbers = ["minimum", "maximum", "mean"].filter((key) => row[`${side}_${key}`] !== null).map((key) => `${key} ${row[`${side}_${key}`]}`);
  return `${side}: ${[...numbers, `${count(row[`${side}_nan_count`])} NaN`].join(", ")}`;
}

// Bars of the old values, and a line of the new model's, on the same range.
function valuesFigure(row) {
  const width = 640, height = 110, texts = [valuesText(row, "old"), valuesText(row, "new")].filter(Boolean);
  if (!texts.length) return null;
  const figure = make("figure", { class: "values" }, ...texts.map((text) => make("figcaption", {}, text)));
  const [old, current] = row.bars.split(" ").map((side) => [...side].map((digit) => parseInt(digit, 36) / 35));
  if (!old.length && !current.length) return figure;
  const ends = (key) => [row[`old_${key}`], row[`new_${key}`]].filter((end) => typeof end === "number");
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height + 18}`, role: "img", "aria-label": `Histogram. ${texts.join("; ")}` });
  const step = width / (old.length || current.length), y = (share) => height - share * (height - 6);
  old.forEach((share, at) => picture.append(draw("rect", { class: "f-old", x: at * step, y: y(share), width: step - 1, height: height - y(share) })));
  if (current.length) {
    const points = current.flatMap((share, at) => [[at * step, y(share)], [(at + 1) * step, y(share)]]);
    picture.append(draw("polyline", { class: "f-values", points: points.map((point) => point.join(",")).join(" ") }));
  }
  picture.append(draw("line", { class: "f-axis", x1: 0, x2: width, y1: height, y2: height }),
    draw("text", { class: "f-text", x: 0, y: height + 14 }, String(Math.min(...ends("minimum")))),
    draw("text", { class: "f-text", x: width, y: height + 14, "text-anchor": "end" }, String(Math.max(...ends("maximum")))));
  const says = [old.length ? "bars: old values" : "", current.length ? `line: values in ${contents.values_of}` : ""].filter(Boolean);
  figure.append(picture, make("figcaption", {}, says.join("; ")));
  return figure;
}

// The page

function show(number) {
  const page = document.getElementById("page");
  const actions = ACTIONS.filter((action) => rows.some((row) => row.action === action));
  page.replaceChildren(
    heading(number),
    isPlan ? tiles() : "",
    ...said("warning", report.warnings), ...said("note", report.notes), ...changes(), ...renames(),
    make("h2", { id: "map-title" }, "Where the bytes of the new model are"),
    make("p", { class: "quiet" }, "Each area is as large as its variable. Choose a scope to enlarge it, a variable to see its row; "
      + "with the keyboard: arrows, Enter, and Escape to go back."),
    make("div", { class: "bar", role: "group", "aria-label": "Show only" }, ...actions.map(legendButton)),
    make("div", { class: "bar crumbs", id: "crumbs", role: "navigation", "aria-label": "Scopes" }),
    make("div", { class: "map", id: "map", role: "group", "aria-labelledby": "map-title", onkeydown: mapKey, onfocusin: mapFocus }),
    make("h2", {}, "Variables"),
    make("div", { class: "bar controls", role: "search" },
      make("label", { for: "filter" }, "Filter by name"),
      make("input", { id: "filter", type: "search", size: 32, autocomplete: "off", spellcheck: "false", oninput: (event) => {
        state.text = event.target.value;
        state.most = ROWS_AT_ONCE;
        update(false);
      } }),
      make("button", { type: "button", id: "reset", onclick: () => {
        Object.assign(state, { text: "", scope: [], most: ROWS_AT_ONCE, sort: "at", down: false });
        state.actions.clear();
        update();
      } }, "Show everything")),
    make("p", { class: "quiet", id: "count", role: "status" }),
    make("div", { class: "scroll", role: "region", "aria-label": "Table of variables", tabindex: 0 },
      make("table", {}, make("caption", {}, "The variables of the new model"), make("thead", { id: "head" }), make("tbody", { id: "rows" }))),
    make("p", { class: "bar more", id: "more" }),
    unused.length ? unusedList() : "",
    footer());
  update();
}

function heading(number) {
  const many = contents.reports.length > 1;
  const title = isPlan ? "Warm start" : "Old and new model";
  const source = isPlan ? report.old_models.length > 1 ? report.old_models.map((each) => make("p", {}, "from ", named(each)))
    : [make("p", {}, "from ", named(report.checkpoint), ` (${report.format}${report.is_saved_model ? " SavedModel" : ""})`)]
    : [make("p", {}, "old: ", named(report.old)), make("p", {}, "new: ", named(report.new))];
  return make("header", {}, make("h1", {}, title), ...source,
    many ? make("div", { class: "bar controls", role: "group", "aria-label": "Warm starts" }, ...contents.reports.map((_, at) => make("button", {
      type: "button", "aria-current": at === number ? "true" : null, onclick: () => choose(at),
    }, `${at + 1} of ${contents.reports.length}`))) : "");
}

function tile(label, share, totals) {
  const bar = make("i");
  bar.style.width = `${100 * share}%`;
  return make("div", { class: "tile" }, label, make("b", {}, percent(share)), make("div", { class: "meter", "aria-hidden": "true" }, bar),
    make("span", { class: "quiet" }, `${size(totals.recovered)} of ${size(totals.total)} are old`));
}

function tiles() {
  const taken = rows.filter((row) => row.old !== null).length;
  return make("section", { class: "tiles", "aria-label": "Totals" },
    tile("Model's parameters", report.coverage, report.bytes.parameters),
    report.bytes.optimizer.total ? tile("Optimizer's state", report.slot_coverage, report.bytes.optimizer) : "",
    make("div", { class: "tile" }, "New variables", make("b", {}, `${count(taken)} of ${count(rows.length)}`),
      make("span", { class: "quiet" }, `take an old value; ${several(unused.length, "old variable")} not used`)));
}

function said(kind, sentences) {
  return (sentences || []).map((text) => make("p", { class: `said ${kind}` }, make("b", {}, kind === "warning" ? "Warning" : "Note"), text));
}

function changes() {
  const found = contents.changes;
  if (!found) return [];
  const intro = found.length ? `${several(found.length, "change")} since ${contents.baseline}` : `Nothing has changed since ${contents.baseline}`;
  return [make("div", { class: `said ${found.length ? "warning" : ""}`, id: "changes" }, make("b", {}, intro),
    make("ul", {}, ...found.map((change) => make("li", {}, change.text))))];
}

function renames() {
  const rules = report.rename || [];
  return rules.length ? [make("p", { class: "said" }, make("b", {}, "Guessed renames"), rules.map(([old, current]) => `${old} → ${current}`).join(", "))] : [];
}

function legendButton(action) {
  const found = rows.filter((row) => row.action === action);
  return make("button", { type: "button", "aria-pressed": "false", "data-action": action, onclick: () => {
    if (!state.actions.delete(action)) state.actions.add(action);
    state.most = ROWS_AT_ONCE;
    update(false);
  } }, make("span", { class: `key ${classOf(action)}`, "aria-hidden": "true" }),
  `${WORDS[action]}: ${count(found.length)}${action === "only old" ? "" : `, ${size(found.reduce((sum, row) => sum + row.bytes, 0))}`}`);
}

function unusedList() {
  return make("details", {}, make("summary", {}, make("b", {}, `Old variables not used: ${count(unused.length)}`)),
    make("ul", { class: "names" }, ...unused.map((old) => make("li", {}, named(old.name), ` ${shapeText(old.shape)} ${old.dtype}`))));
}

function footer() {
  const made = contents.made || {};
  const says = [`estimator_warmstart ${contents.estimator_warmstart}`, made.tensorflow ? `TensorFlow ${made.tensorflow}` : "", made.time || "",
    typeof made.source_step === "number" ? `old model at step ${count(made.source_step)}` : "", made.seconds ? `${made.seconds} s` : ""];
  return make("footer", {}, says.filter(Boolean).join(" · "));
}

function update(withMap = true) {
  const found = choice(), shown = found.slice(0, state.most), filter = document.getElementById("filter");
  state.chosen = found;
  if (filter.value !== state.text) filter.value = state.text;
  for (const button of document.querySelectorAll("button[data-action]")) button.setAttribute("aria-pressed", String(state.actions.has(button.dataset.action)));
  document.getElementById("head").replaceChildren(header());
  document.getElementById("rows").replaceChildren(...shown.flatMap(rowOf));
  const bytes = found.reduce((sum, row) => sum + row.bytes, 0);
  document.getElementById("count").textContent = `${count(found.length)} of ${several(rows.length, "variable")}, ${size(bytes)}`
    + (shown.length < found.length ? `; the first ${count(shown.length)} are shown` : "");
  const more = (label, most) => make("button", { type: "button", onclick: () => { state.most = most; update(false); } }, label);
  document.getElementById("more").replaceChildren(...(shown.length < found.length
    ? [more("Show more", state.most + 5 * ROWS_AT_ONCE), more(`Show all ${count(found.length)}`, Infinity)] : []));
  if (withMap) drawMap();
}

// A proof: what two models compute on one batch

function showProof() {
  report = contents.reports[0];
  const first = report.first_difference, allowed = report.atol ? `differences up to ${report.atol} are allowed` : "no difference is allowed";
  document.getElementById("page").replaceChildren(
    make("header", {}, make("h1", {}, report.holds ? "The proof holds" : "The proof does not hold"),
      make("p", {}, "old model: ", named(report.old_checkpoint), `; ${allowed}`)),
    ...(first ? said("warning", [`The first layer that differs: ${first.layer} (${first.variable}): ${first.reason}`]) : []),
    ...said("note", report.notes),
    ...comparedTable("Predictions", report.predictions),
    ...comparedTable("Variables after one step", report.after_one_step),
    footer());
}

function comparedTable(title, compared) {
  if (!compared.length) return [];
  const difference = (number) => (number === null ? "not to be compared" : String(Number(number.toPrecision(3))));
  const remark = (each) => [each.note, ...["cold", "left_behind"].filter((key) => each[key].length)
    .map((key) => `${key.replace("_", " ")}: ${each[key].join(", ")}`)].filter(Boolean).join("; ");
  const head = [["Name"], ["Expected"], ["Largest difference", "number"], ["Mean", "number"], ["Rows", "number"], ["Holds"], ["Remarks"]];
  return [make("h2", {}, title), make("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 }, make("table", {},
    make("caption", {}, title),
    make("thead", {}, make("tr", {}, ...head.map(([label, kind]) => make("th", { scope: "col", class: kind }, label)))),
    make("tbody", {}, ...compared.map((each) => make("tr", {},
      make("td", {}, named(each.name)), make("td", {}, each.expected),
      make("td", { class: "number" }, difference(each.max_difference)), make("td", { class: "number" }, difference(each.mean_difference)),
      make("td", { class: "number" }, count(each.rows)),
      make("td", {}, make("span", { class: `key ${each.holds ? "restored" : "only-old"}`, "aria-hidden": "true" }), each.holds ? "yes" : "no"),
      make("td", {}, remark(each)))))))];
}

if (contents.kind === "proof") showProof();
else if (contents.reports.length) choose(0);
else document.getElementById("page").append(make("h1", {}, "No warm start"), make("p", {}, "The params ask for none."));
let waiting;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => document.getElementById("map") && drawMap(), 100); });
