"use strict";
// The grid works without this script; filters, keys and the large view need it.
const figures = [...document.querySelectorAll(".grid figure")];
const filters = document.getElementById("filters");
const count = document.getElementById("count");
const viewer = document.getElementById("viewer");
const large = document.getElementById("large");
const caption = document.getElementById("caption");
const place = document.getElementById("place");
let current = null; // the figure in the large view

const visible = () => figures.filter((figure) => !figure.hidden);
const opener = (figure) => figure.querySelector("button");

// Within one group of filters any value will do, and every one if none is ticked; the groups must all agree.
function filter() {
  const groups = [...new Set([...filters.elements].map((input) => input.name).filter(Boolean))].map((name) => [
    name,
    [...filters.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value),
  ]);
  for (const figure of figures) {
    figure.hidden = !groups.every(
      ([name, wanted]) => !wanted.length || figure.dataset[name].split(" ").some((value) => wanted.includes(value)),
    );
  }
  const shown = visible().length;
  count.textContent = shown === figures.length ? `${shown} images` : `${shown} of ${figures.length} images`;
  document.getElementById("none").hidden = shown > 0;
}

function toggle(what) {
  const off = document.body.classList.toggle(`no-${what}`);
  for (const button of document.querySelectorAll(`[data-toggle=${what}]`)) button.setAttribute("aria-pressed", !off);
}

function show(figure) {
  current = figure;
  const list = visible();
  const stacks = figure.querySelectorAll(".stack");
  large.replaceChildren(
    ...[...stacks].map((stack) => {
      const box = document.createElement("div");
      const copy = stack.cloneNode(true);
      copy.hidden = false;
      for (const image of copy.querySelectorAll("img")) image.loading = "eager";
      box.append(copy);
      if (stacks.length > 1) {
        const title = document.createElement("p");
        title.textContent = stack.dataset.title || "image";
        box.prepend(title);
      }
      box.className = stack.dataset.layer || "";
      return box;
    }),
  );
  large.style.cssText = figure.style.cssText; // the image's shape
  caption.replaceChildren(...figure.querySelector("figcaption").cloneNode(true).childNodes);
  place.textContent = `${list.indexOf(figure) + 1} of ${list.length}`;
  if (!viewer.open) viewer.showModal();
  viewer.scrollTop = 0;
}

function move(step) {
  const list = visible();
  const next = list[Math.min(Math.max(list.indexOf(current) + step, 0), list.length - 1)];
  if (next !== current) show(next);
}

// Up and down go to the nearest figure of the next row, whatever the number of columns is now.
function nearest(figure, key) {
  const list = visible();
  const at = list.indexOf(figure);
  const simple = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: list.length - 1 }[key];
  if (simple !== undefined) return list[simple];
  const down = key === "ArrowDown";
  const others = down ? list.slice(at + 1) : list.slice(0, at).reverse();
  const row = others.find((other) => other.offsetTop !== figure.offsetTop);
  const distance = (other) => Math.abs(other.offsetLeft - figure.offsetLeft);
  return others
    .filter((other) => row && other.offsetTop === row.offsetTop)
    .sort((one, other) => distance(one) - distance(other))[0];
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const what = { b: "boxes", m: "masks", t: "template" }[event.key.toLowerCase()];
  if (what && document.querySelector(`[data-toggle=${what}]`)) return toggle(what);
  if (viewer.open) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -figures.length, End: figures.length }[event.key];
    if (step) move(step);
    else if (event.key === "Escape") viewer.close();
    else return;
    return event.preventDefault();
  }
  if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key) || event.target.closest("input")) return;
  const figure = event.target.closest(".grid figure");
  if (!figure && event.key !== "ArrowRight") return; // elsewhere these keys scroll the page
  const next = figure ? nearest(figure, event.key) : visible()[0];
  event.preventDefault();
  if (next) opener(next).focus();
}

let touch = null;
large.addEventListener("touchstart", (event) => (touch = event.touches.length === 1 ? event.touches[0] : null));
large.addEventListener("touchend", (event) => {
  const panned = touch && touch.target.closest("#large > div");
  if (!panned || panned.scrollWidth > panned.clientWidth) return; // wider than the screen: the finger pans
  if (window.visualViewport && window.visualViewport.scale > 1.01) return; // zoomed in, likewise
  const x = event.changedTouches[0].clientX - touch.clientX;
  const y = event.changedTouches[0].clientY - touch.clientY;
  if (Math.abs(x) > 50 && Math.abs(x) > 2 * Math.abs(y)) move(x < 0 ? 1 : -1);
});

document.addEventListener("keydown", onKey);
filters.addEventListener("change", filter);
filters.addEventListener("reset", () => setTimeout(filter));
for (const figure of figures) opener(figure).addEventListener("click", () => show(figure));
for (const button of document.querySelectorAll("[data-toggle]")) {
  button.addEventListener("click", () => toggle(button.dataset.toggle));
}
document.getElementById("previous").addEventListener("click", () => move(-1));
document.getElementById("next").addEventListener("click", () => move(1));
document.getElementById("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("close", () => opener(current).focus());
const details = filters.querySelector("details");
if (details && window.innerWidth < 700) details.open = false; // else no image is on the first screen
filter(); // a browser that goes back to the page keeps what was ticked
