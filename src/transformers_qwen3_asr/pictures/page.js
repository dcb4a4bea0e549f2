"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const audio = $("audio");
const UNSURE = 0.7, DOUBTFUL = 0.4;

// What is shown, in order: words, and gaps, where something is heard without words.
const items = [];
for (const row of data.rows) {
  row.first = items.length;
  for (const [start, end, score, text, unfit] of row.items) {
    items.push({ start, end, score, text, unfit, row, gap: text === undefined });
  }
  row.last = items.length - 1;
}
// Words of several speakers may be out of order, and at the same time.
const byStart = items.map((_, index) => index).sort((a, b) => items[a].start - items[b].start);

const isDoubtful = (item) => item.gap || item.unfit || (item.score !== null && item.score < DOUBTFUL);
const doubts = items.flatMap((item, index) => (isDoubtful(item) && !continues(index) ? [index] : []));

/** Whether a word is in the same unfit passage as the one before it, which is one doubt. */
function continues(index) {
  return items[index].unfit && index > 0 && items[index - 1].unfit;
}

/** The place in a sorted list past the last value that is at most `limit`. */
function upTo(list, limit, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(list[middle]) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function clock(seconds, digits = 0) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  const rest = (digits ? seconds % 60 : Math.floor(seconds % 60)).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// The words. Text only ever becomes a text node.

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shown(item, index) {
  const grade = item.score === null ? "" : item.score < DOUBTFUL ? " doubtful" : item.score < UNSURE ? " unsure" : "";
  item.element = item.gap
    ? element("bdi", "gap", `${(item.end - item.start).toFixed(1)} s`)
    : element("span", `word${item.unfit ? " unfit" : grade}`, item.text.trimEnd());
  if (item.gap) item.element.setAttribute("aria-label", "heard, but not in the text");
  item.element.index = index;
  return item.element;
}

function build() {
  const all = document.createDocumentFragment();
  for (const row of data.rows) {
    const line = element("div", "row"), text = element("p");
    const time = element("button", "", clock(items[row.first].start));
    time.index = row.first;
    text.dir = "auto";
    // <bdi> does not count for the direction that the words give their line
    if (row.who) text.append(element("bdi", "who", row.who), "\u2002");
    for (let index = row.first; index <= row.last; index++) {
      const item = items[index];
      text.append(shown(item, index), item.gap ? " " : item.text.slice(item.text.trimEnd().length) || "");
    }
    line.append(time, text);
    all.append(line);
  }
  $("rows").append(items.length ? all : element("p", "", "There are no words."));
}

// Where the recording is.

const NEAR = 0.005; // seconds; a player may stop a little before the place it was sent to
let current = -1; // the item that was reached last
let aim = -1; // the one that was gone to, while it plays there; others may have the same time
let following = true; // whether the page scrolls with it; not once somebody has scrolled away

function mark() {
  const time = audio.currentTime + NEAR;
  if (aim >= 0 && Math.abs(audio.currentTime - items[aim].start) > NEAR) aim = -1;
  const place = upTo(byStart, time, (index) => items[index].start) - 1;
  const index = aim >= 0 ? aim : place < 0 ? -1 : byStart[place];
  if (index !== current) {
    items[current]?.element.classList.remove("now");
    items[current]?.element.removeAttribute("aria-current");
    current = index;
    const item = items[index];
    $("about").textContent = item ? described(item) : "";
    if (item && following) reveal(item.element);
  }
  const item = items[current];
  if (item) {
    const said = audio.currentTime < item.end || aim >= 0;
    item.element.classList.toggle("now", said);
    if (said) item.element.setAttribute("aria-current", "true");
    else item.element.removeAttribute("aria-current");
  }
  drawHead();
}

function described(item) {
  const times = `${clock(item.start, 2)} – ${clock(item.end, 2)}`;
  if (item.gap) return `${times}, not in the text`;
  return item.score === null ? times : `${times}, score ${item.score.toFixed(2)}`;
}

function reveal(shownElement) {
  const { top, bottom } = shownElement.getBoundingClientRect();
  const under = document.querySelector("header").getBoundingClientRect().bottom;
  if (top > under + 10 && bottom < innerHeight - 60) return;
  const near = Math.abs(top) < 2 * innerHeight && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  shownElement.scrollIntoView({ block: "center", behavior: near ? "smooth" : "auto" });
}

function go(index) {
  if (!items[index]) return;
  following = true;
  aim = index;
  audio.currentTime = items[index].start;
  mark();
  reveal(items[index].element);
}

function tick() {
  mark();
  if (!audio.paused) requestAnimationFrame(tick);
}

function play() {
  if (audio.paused) audio.play();
  else audio.pause();
}

// Search: in what is shown, without regard to capitals and accents.

const fold = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
const pieces = items.map((item, index) => {
  if (item.gap) return " ";
  const text = fold(item.text);
  return index === item.row.last && !/\s$/.test(text) ? `${text} ` : text;
});
const joined = pieces.join("");
let reached = 0;
const offsets = pieces.map((piece) => (reached += piece.length) - piece.length);
let hits = [], chosen = -1;

function search() {
  for (const [first, last] of hits) each(first, last, (list) => list.remove("hit", "chosen"));
  const query = fold($("query").value.trim()).replace(/\s+/g, " ");
  hits = [];
  const at = (place) => upTo(offsets, place, (offset) => offset) - 1;
  for (let place = query ? joined.indexOf(query) : -1; place >= 0; place = joined.indexOf(query, place + query.length)) {
    hits.push([at(place), at(place + query.length - 1)]);
  }
  for (const [first, last] of hits) each(first, last, (list) => list.add("hit"));
  chosen = -1;
  if (hits.length) choose(Math.max(0, hits.findIndex(([first]) => first >= current)), false);
  tell(query);
}

function each(first, last, change) {
  for (let index = first; index <= last; index++) if (!items[index].gap) change(items[index].element.classList);
}

function choose(index, goes) {
  if (!hits.length) return;
  if (hits[chosen]) each(...hits[chosen], (list) => list.remove("chosen"));
  chosen = (index + hits.length) % hits.length;
  each(...hits[chosen], (list) => list.add("chosen"));
  if (goes) go(hits[chosen][0]);
  else reveal(items[hits[chosen][0]].element);
  tell("hits");
}

function tell(query) {
  $("found").textContent = hits.length ? `${chosen + 1} of ${hits.length}` : query ? "none" : "";
  $("hit-before").disabled = $("hit-next").disabled = !hits.length;
}

// Doubts, one after another.

function doubt(step) {
  const place = upTo(doubts, current, (index) => index);
  if (step > 0) go(doubts[place] ?? doubts[0]);
  else go(doubts[place - (doubts[place - 1] === current ? 2 : 1)] ?? doubts.at(-1));
}

// The overview: how loud it is, coloured where something is doubtful.

const canvas = $("overview");
let picture; // without the place that is being played

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}

function drawOverview() {
  const width = (canvas.width = Math.round(canvas.clientWidth * devicePixelRatio));
  const height = (canvas.height = Math.round(canvas.clientHeight * devicePixelRatio));
  const pen = canvas.getContext("2d"), { peaks, seconds } = data;
  const x = (time) => (time / seconds) * width;
  pen.fillStyle = colour("wave");
  peaks.forEach((peak, index) => {
    const tall = Math.max(1, (peak / 100) * height * 0.8);
    const wide = width / peaks.length;
    pen.fillRect(index * wide, height * 0.45 - tall / 2, Math.max(1, wide - 1), tall);
  });
  for (const item of items.filter(isDoubtful)) {
    pen.fillStyle = colour(item.gap ? "gap" : item.unfit ? "unfit" : "doubtful");
    pen.fillRect(x(item.start), height * 0.9, Math.max(2 * devicePixelRatio, x(item.end) - x(item.start)), height * 0.1);
  }
  picture = width && height ? pen.getImageData(0, 0, width, height) : null;
  drawHead();
}

function drawHead() {
  if (!picture) return;
  const pen = canvas.getContext("2d");
  pen.putImageData(picture, 0, 0);
  pen.fillStyle = colour("accent");
  pen.fillRect((audio.currentTime / data.seconds) * (canvas.width - 2), 0, 2 * devicePixelRatio, canvas.height);
}

// What people do.

const KEYS = {
  " ": play,
  k: play,
  ArrowRight: () => go(Math.min(current + 1, items.length - 1)),
  ArrowLeft: () => go(Math.max(current - 1, 0)),
  ArrowDown: () => go((items[current]?.row.last ?? -1) + 1),
  ArrowUp: () => go(current > 0 && items[current].row.first === current ? items[current - 1].row.first : items[current]?.row.first),
  d: () => doubt(1),
  D: () => doubt(-1),
  "/": () => $("query").select(),
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target === $("query")) {
    if (key === "Enter") choose(chosen + (event.shiftKey ? -1 : 1), true);
    else if (key === "Escape") target.blur();
    else return;
  } else if (KEYS[key] && !(key === " " && target.tagName === "BUTTON")) {
    KEYS[key]();
  } else return;
  event.preventDefault();
}, true);

$("rows").addEventListener("click", ({ target }) => {
  if (getSelection().isCollapsed) go(target.index); // else somebody has marked text, to copy it
});
canvas.addEventListener("click", (event) => {
  following = true;
  audio.currentTime = (event.offsetX / canvas.clientWidth) * data.seconds;
});
let typing;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 120);
});
$("hit-before").addEventListener("click", () => choose(chosen - 1, true));
$("hit-next").addEventListener("click", () => choose(chosen + 1, true));
$("doubt-before").addEventListener("click", () => doubt(-1));
$("doubt-next").addEventListener("click", () => doubt(1));
for (const name of ["wheel", "touchmove"]) addEventListener(name, () => (following = false), { passive: true });
audio.addEventListener("play", () => { following = true; tick(); });
for (const name of ["seeking", "timeupdate", "ended"]) audio.addEventListener(name, mark);
addEventListener("resize", drawOverview);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawOverview);

build();
$("misfit").hidden = data.fits;
$("misfit").firstElementChild.textContent = (data.score ?? 0).toFixed(2);
$("doubts").textContent = doubts.length === 1 ? "1 doubt" : `${doubts.length} doubts`;
$("doubt-before").disabled = $("doubt-next").disabled = !doubts.length;
tell("");
drawOverview();
mark();
