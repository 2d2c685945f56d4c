// The page: designs are moved here, computed elsewhere, and shown. Nothing is computed in this file, and nothing is fetched
// from anywhere but the server that sent it.

const $ = (id) => document.getElementById(id);
const designs = [{ scenario: "", moves: {} }, { scenario: "", moves: {} }];
let offer, side = 0, question = "", asked = null, waiting = null;

function make(tag, properties = {}, ...inside) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...inside.filter((item) => item !== null));
  return node;
}

const TIMES = [["day", 864e5], ["hour", 36e5], ["minute", 6e4], ["s", 1e3]];

// A value and its unit; a long unit is left out, and stands below the slider.
function said(value, unit) {
  if (unit === "ms") {
    const [name, size] = TIMES.find(([, least]) => value >= least) ?? ["ms", 1];
    const number = Number((value / size).toPrecision(3));
    return `${number} ${name}${number !== 1 && name.length > 2 ? "s" : ""}`;
  }
  const short = unit && unit.length <= 6 ? ` ${unit}` : "";
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 1e-3)) {
    return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") + short;
  }
  return `${Number(value.toPrecision(4)).toLocaleString("en")}${short}`;
}

const scenarioOf = (design) => offer.scenarios.find((item) => item.name === design.scenario);
const comparing = () => $("compare").checked;
const shownDesigns = () => (comparing() ? designs : [designs[0]]);

async function post(path, body, signal) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body), signal });
  if (!response.ok) throw (await response.json()).problem;
  return response;
}

// terms ---------------------------------------------------------------------------------------------------------------

function toSlider(term, value) {
  const [low, high, now] = term.log ? [term.low, term.high, value].map((x) => Math.log(Math.max(x, 1e-9))) : [term.low, term.high, value];
  return high > low ? Math.round(1000 * (now - low) / (high - low)) : 0;
}

function fromSlider(term, place) {
  const [low, high] = term.log ? [Math.log(Math.max(term.low, 1e-9)), Math.log(term.high)] : [term.low, term.high];
  const value = low + (high - low) * place / 1000;
  const exact = term.log ? Math.exp(value) : value;
  const rounded = Number(exact.toPrecision(term.log ? 2 : 4));
  return term.whole && Math.abs(rounded) < 2 ** 53 ? Math.round(rounded) : rounded;
}

function drawTerms() {
  const design = designs[side], scenario = scenarioOf(design), wanted = $("find").value.toLowerCase();
  $("scenario").value = design.scenario;
  $("about").textContent = scenario.about;
  for (const [number, id] of ["side-a", "side-b"].entries()) $(id).setAttribute("aria-pressed", String(side === number));
  const list = $("list");
  list.replaceChildren();
  let group = "";
  for (const term of scenario.terms) {
    const [head, tail] = term.name.includes(": ") ? term.name.split(": ") : ["the treaty as a whole", term.name];
    if (wanted && !`${term.name} ${term.about}`.toLowerCase().includes(wanted)) continue;
    if (head !== group) list.append(make("h2", { textContent: head }));
    group = head;
    list.append(drawTerm(design, term, tail));
  }
}

function drawTerm(design, term, name) {
  const now = design.moves[term.id] ?? term.value;
  const input = make("input", { type: "range", min: 0, max: 1000, value: toSlider(term, now), id: `term-${term.id}` });
  input.dataset.term = term.id;
  const value = make("span", { className: "now", textContent: said(now, term.unit) });
  const was = make("span", { className: "was" });
  const unit = term.unit.length > 6 ? term.unit : "";
  const label = make("label", { htmlFor: input.id }, make("span", { textContent: name.replaceAll("_", " ") }), value);
  const row = make("div", { className: "term", title: term.about }, label, input, was);
  const mark = (current) => {
    value.textContent = said(current, term.unit);
    input.setAttribute("aria-valuetext", `${said(current, term.unit)} ${unit}`.trim());
    const moved = current !== term.value;
    row.classList.toggle("moved", moved);
    was.textContent = [unit, moved ? `was ${said(term.value, term.unit)}` : ""].filter(Boolean).join("; ");
  };
  mark(now);
  input.addEventListener("input", () => {
    const current = Number(input.value) === toSlider(term, term.value) ? term.value : fromSlider(term, Number(input.value));
    if (current === term.value) delete design.moves[term.id];
    else design.moves[term.id] = current;
    mark(current);
    soon();
  });
  return row;
}

// answers -------------------------------------------------------------------------------------------------------------

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(ask, 40);
}

async function ask() {
  asked?.abort();
  const mine = new AbortController(), began = performance.now(), wanted = shownDesigns().map((item) => ({ ...item, moves: { ...item.moves } }));
  asked = mine;
  $("state").textContent = "computing";
  const found = wanted.map(() => null);
  try {
    const response = await post("/api/answers", { question, designs: wanted }, mine.signal);
    for await (const line of linesOf(response)) {
      found[line.design] = line;
      if (mine.signal.aborted) return;
      if (line.worlds && found.every((item) => item)) {
        await drawAnswers(found, wanted);
        $("progress").hidden = false;
        $("state").textContent = `a first look from ${line.worlds} worlds after ${Math.round(performance.now() - began)} ms; computing all of them`;
        document.body.dataset.first = `${question} ${wanted.length} ${JSON.stringify(wanted)}`;
      }
    }
    if (mine.signal.aborted) return;
    await drawAnswers(found, wanted);
    await drawDifferences(wanted, mine.signal);
    $("state").textContent = `computed in ${Math.round(performance.now() - began)} ms`;
    document.body.dataset.ready = `${question} ${wanted.length} ${JSON.stringify(wanted)}`;
  } catch (problem) {
    if (problem.name === "AbortError") return;
    $("answer").replaceChildren(drawProblem(problem));
    $("state").textContent = "";
  } finally {
    if (asked === mine) $("progress").hidden = true;
  }
}

async function* linesOf(response) {
  const decoder = new TextDecoder(), reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value ?? new Uint8Array(), { stream: !done });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
    if (done) return;
  }
}

async function drawAnswers(found, wanted) {
  const columns = make("div", { className: wanted.length > 1 ? "designs two" : "designs" });
  const plots = [];
  found.forEach((line, place) => {
    const heading = wanted.length > 1 ? `Design ${"AB"[place]}: ${scenarioOf(wanted[place]).title}` : scenarioOf(wanted[place]).title;
    const column = make("article", { className: "design" }, make("h2", { textContent: heading }));
    if (line?.problem) column.append(drawProblem(line.problem));
    else if (line?.answer) drawAnswer(column, line.answer, plots);
    columns.append(column);
  });
  $("answer").replaceChildren(columns);
  sharedScales(found.filter((line) => line?.answer).map((line) => line.answer));
  const width = Math.max(280, (columns.clientWidth - (wanted.length > 1 ? 28 : 0)) / wanted.length - 90);
  await Promise.all(plots.map(([node, spec]) => window.vegaEmbed(node, { ...spec, width: Math.min(width, 760) - (spec.layer[0].encoding.y?.type === "nominal" ? 110 : 0) }, {
    actions: false, renderer: "svg", ast: true, defaultStyle: false, tooltip: { theme: "custom" },
  })));
}

// Two plots of the same table are only comparable on the same axes.
function sharedScales(answers) {
  if (answers.length < 2) return;
  for (const series of answers[0].series) {
    const twins = answers.map((answer) => answer.series.find((item) => item.id === series.id));
    if (twins.some((twin) => !twin)) continue;
    for (const axis of ["x", "y"]) {
      const ends = twins.map((twin) => twin.extent[axis]);
      if (ends.some((end) => !end)) continue;
      const domain = [Math.min(...ends.map((end) => end[0])), Math.max(...ends.map((end) => end[1]))];
      for (const twin of twins) for (const layer of twin.spec?.layer ?? []) if (layer.encoding[axis]?.scale) layer.encoding[axis].scale.domain = domain;
    }
  }
}

function drawAnswer(column, answer, plots) {
  column.append(make("p", { className: "sentence", textContent: answer.sentence }), make("p", { className: "caveat", textContent: answer.caveat }));
  answer.series.forEach((series, place) => {
    const figure = make("figure", { className: "plot" }, make("figcaption", { textContent: series.title }));
    if (series.spec) {
      const plot = make("div", { className: "vega" });
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", `${series.title}; the same numbers stand in the table below`);
      plots.push([plot, series.spec]);
      figure.append(plot, make("details", {}, make("summary", { textContent: "The numbers of this plot" }), table(series.heads, series.rows)));
    } else figure.append(table(series.heads, series.rows));
    column.append(figure);
    if (place === 0) column.append(figures(answer.figures));
  });
  if (!answer.series.length) column.append(figures(answer.figures));
}

function figures(items) {
  const body = make("tbody");
  for (const item of items) {
    const facts = make("dl");
    for (const name of ["formula", "interval", "seed", "source", "note"]) {
      if (item[name]) facts.append(make("dt", { textContent: name === "seed" ? "drawn from" : name }), make("dd", { textContent: item[name] }));
    }
    const why = item.value === "no value" && item.note ? `: ${item.note}` : "";
    const about = make("details", {}, make("summary", { textContent: item.name + why }), facts);
    const grade = make("span", { className: `grade ${item.grade}`, textContent: item.grade });
    const row = make("tr", {}, make("td", {}, about), make("td", { className: "value", textContent: item.value }), make("td", {}, grade));
    row.dataset.figure = item.id;
    body.append(row);
  }
  const head = make("thead", {}, make("tr", {}, ...["figure (open a row for formula, interval, seed, source)", "value", "known how"].map((text) => make("th", { scope: "col", textContent: text }))));
  return make("table", { className: "figures" }, head, body);
}

function table(heads, rows) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text }))));
  return make("table", {}, head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { textContent: text }))))));
}

function drawProblem(problem) {
  const box = make("div", { className: "problem" }, make("b", { textContent: problem.code ?? "problem" }), ` ${problem.message}`);
  for (const name of ["expected", "found", "fix"]) if (problem[name]) box.append(make("div", { textContent: `${name}: ${problem[name]}` }));
  box.setAttribute("role", "alert");
  return box;
}

async function drawDifferences(wanted, signal) {
  $("differences").hidden = wanted.length < 2;
  if (wanted.length < 2) return;
  try {
    const { differences } = await (await post("/api/differences", { designs: wanted }, signal)).json();
    const keys = differences.filter((item) => /key$/.test(item.where));
    const terms = differences.filter((item) => !keys.includes(item));
    $("keys").textContent = keys.length ? `Not listed: ${keys.length} keys, of which every treaty has its own.` : "";
    const rows = terms.map((item) => make("tr", {}, make("td", {}, make("code", { textContent: item.where })), make("td", {}, make("del", { textContent: item.before })), make("td", {}, make("ins", { textContent: item.after }))));
    const head = make("thead", {}, make("tr", {}, ...["member", "design A", "design B"].map((text) => make("th", { scope: "col", textContent: text }))));
    $("difference-table").replaceChildren(terms.length ? make("table", { className: "differs" }, head, make("tbody", {}, ...rows)) : make("p", { textContent: "In nothing." }));
  } catch (problem) {
    if (problem.name !== "AbortError") $("difference-table").replaceChildren(drawProblem(problem));
  }
}

// what is on the page -------------------------------------------------------------------------------------------------

function choose(id, focus = false) {
  question = id;
  for (const tab of $("tabs").children) {
    const chosen = tab.dataset.question === id;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    if (chosen) $("answer").setAttribute("aria-labelledby", tab.id);
  }
  soon();
}

function drawTabs() {
  for (const { id, text } of offer.questions) {
    const tab = make("button", { textContent: text, id: `tab-${id}` });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "answer");
    tab.dataset.question = id;
    tab.addEventListener("click", () => choose(id));
    $("tabs").append(tab);
  }
  $("tabs").addEventListener("keydown", (event) => {
    const names = offer.questions.map((item) => item.id), here = names.indexOf(question);
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -here, End: names.length - 1 - here }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    choose(names[(here + step + names.length) % names.length], true);
  });
}

async function save(path, name) {
  try {
    const chosen = path === "/api/treaty" ? [designs[side]] : shownDesigns();
    $("state").textContent = "writing the file";
    const blob = await (await post(path, { designs: chosen })).blob();
    const link = make("a", { href: URL.createObjectURL(blob), download: name(chosen[0]) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    $("state").textContent = `saved ${link.download}`;
  } catch (problem) {
    $("answer").prepend(drawProblem(problem));
  }
}

async function begin() {
  offer = await (await fetch("/api/offer")).json();
  for (const item of offer.scenarios) $("scenario").append(make("option", { value: item.name, textContent: item.title }));
  designs[0].scenario = offer.scenarios[0].name;
  designs[1].scenario = (offer.scenarios[1] ?? offer.scenarios[0]).name;
  $("scenario").addEventListener("change", (event) => {
    designs[side] = { scenario: event.target.value, moves: {} };
    drawTerms();
    soon();
  });
  $("side-a").addEventListener("click", () => { side = 0; drawTerms(); });
  $("side-b").addEventListener("click", () => { side = 1; drawTerms(); });
  $("compare").addEventListener("change", () => {
    $("side-b").disabled = !comparing();
    side = comparing() ? 1 : 0;
    drawTerms();
    soon();
  });
  $("reset").addEventListener("click", () => { designs[side].moves = {}; drawTerms(); soon(); });
  $("find").addEventListener("input", drawTerms);
  $("treaty").addEventListener("click", () => save("/api/treaty", (design) => `${design.scenario}.treaty.toml`));
  $("report").addEventListener("click", () => save("/api/report", () => "what-it-buys.html"));
  drawTabs();
  drawTerms();
  choose(offer.questions[0].id);
}

begin();
