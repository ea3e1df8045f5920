// Moving through a list by keyboard, and how many are picked. Everything is there by mouse as well.
"use strict";

const rows = () => [...document.querySelectorAll("tr[data-row]")];
const here = () => rows().indexOf(document.activeElement?.closest("tr[data-row]"));

function step(by) {
  const all = rows();
  const at = here();
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  next?.querySelector("a[data-opens]")?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

function pick() {
  const box = rows()[here()]?.querySelector("input[type=checkbox]");
  if (box) { box.checked = !box.checked; count(); }
}

function count() {
  const told = document.querySelector("[data-picked]");
  if (!told) return;
  const many = document.querySelectorAll("tr[data-row] input:checked").length;
  told.hidden = !many;
  told.textContent = String(many);
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  x: pick,
  "/": () => document.getElementById("search").focus(),
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  // Arrows move the page until somebody is in the list.
  const arrow = here() < 0 ? undefined : { ArrowDown: "j", ArrowUp: "k" }[event.key];
  const action = KEYS[arrow ?? event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
// What is typed there is looked for as it is typed. Looked for once more when the field is left, it would
// take the place in the list, and what was picked, from whoever went on by keyboard.
document.getElementById("search")?.addEventListener("change", (event) => event.stopPropagation());
document.addEventListener("change", count);
document.addEventListener("htmx:afterSwap", count);
count();
