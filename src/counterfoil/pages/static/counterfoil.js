// What pages do by themselves: over times, those of the reader's own zone, copying, dialogs, countdowns.
// Everything works without it, only less comfortably.
"use strict";

const language = document.documentElement.lang;

function localTimes(root) {
  // Year first, which nobody takes for a month: Swedes write it so.
  const format = new Intl.DateTimeFormat("sv-SE", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
  });
  const zone = new Intl.DateTimeFormat(language, { timeZoneName: "long" });
  for (const time of root.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    const named = zone.formatToParts(at).find((part) => part.type === "timeZoneName");
    time.title = `${format.format(at)} ${named ? named.value : ""}`;
    delete time.dataset.local;
  }
}

function countdowns(root) {
  for (const clock of root.querySelectorAll("[data-until]")) {
    const until = new Date(clock.dataset.until).getTime();
    const tick = () => {
      const left = Math.max(0, Math.floor((until - Date.now()) / 1000));
      const days = Math.floor(left / 86400);
      const pad = (n) => String(n).padStart(2, "0");
      const hms = `${pad(Math.floor(left / 3600) % 24)}:${pad(Math.floor(left / 60) % 60)}:${pad(left % 60)}`;
      clock.textContent = days ? `${days} d ${hms}` : hms;
      if (left && clock.isConnected) setTimeout(tick, 1000);
    };
    tick();
  }
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const told = button.querySelector("[data-copied]") ?? button;
  const before = told.textContent;
  told.textContent = button.dataset.done ?? "✓";
  setTimeout(() => { told.textContent = before; }, 1500);
}

// On a phone a page begins with what matters; the rest is folded until somebody wants it. What they
// have opened or closed stays so while the page keeps itself up to date.
const narrow = matchMedia("(max-width: 767.98px)");
let asLeft = new Map();
document.addEventListener("htmx:beforeSwap", (event) => {
  const parts = event.detail.target.querySelectorAll("details[id]");
  asLeft = new Map([...parts].map((part) => [part.id, part.open]));
});

function fold(root) {
  for (const part of root.querySelectorAll("details[id]")) {
    if (asLeft.has(part.id)) part.open = asLeft.get(part.id);
    else if (narrow.matches && "fold" in part.dataset) part.open = false;
  }
}

function begin(root) {
  fold(root);
  localTimes(root);
  countdowns(root);
  // On a phone the tabs are wider than the window.
  root.querySelector(".nav-tabs .active")?.scrollIntoView({ inline: "center", block: "nearest" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  const print = event.target.closest("[data-print]");
  if (print) window.print();
});

document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-all]");
  if (!all) return;
  for (const box of all.form.querySelectorAll(`input[type=checkbox][name="${all.dataset.all}"]`)) {
    // What is to be looked at by itself is chosen by itself.
    if (!all.checked || !("alone" in box.dataset)) box.checked = all.checked;
  }
});

// How many a button is for.
function countChosen() {
  for (const told of document.querySelectorAll("[data-count]")) {
    const many = document.querySelectorAll(`input[name="${told.dataset.count}"]:checked`).length;
    told.hidden = !many;
    told.textContent = String(many);
  }
}
document.addEventListener("change", countChosen);
window.addEventListener("pageshow", countChosen);

// A form that was sent is not sent twice by an impatient hand.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  const button = event.submitter;
  // What answers with a file leaves the page where it is, and may be asked for again.
  if (button && event.target.method === "post" && !("download" in event.target.dataset)) setTimeout(() => { button.disabled = true; }, 0);
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[disabled][type=submit]:not([data-off])")) {
    button.disabled = false;
  }
});

document.addEventListener("htmx:configRequest", (event) => {
  const token = document.body.dataset.formToken;
  if (token) event.detail.headers["X-Form-Token"] = token;
});

// What somebody is typing is worth more than being up to date: they are told instead.
const touched = (form) => "cameBack" in form.dataset || [...form.elements].some((field) => field.type !== "hidden"
  && (field.matches(":focus") || ("defaultValue" in field && field.value !== field.defaultValue)));
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (!part.hasAttribute("data-live") || ![...part.querySelectorAll("form")].some(touched)) return;
  event.preventDefault();
  document.getElementById("changed")?.removeAttribute("hidden");
});
document.addEventListener("htmx:afterSwap", (event) => {
  begin(event.detail.target);
  if (event.detail.xhr?.getResponseHeader("HX-Retarget")) toWhatIsWrong();
});

// Of a form that came back, where the first thing is that was wrong: a field, the proof, or the words alone.
function toWhatIsWrong() {
  const told = document.querySelector("[data-refusal]");
  if (!told) return;
  let field = document.querySelector("[aria-invalid=true]");
  if (["confirm", "not_signed_in", "too_many"].includes(told.dataset.refusal)) {
    const form = [...document.forms].find((one) => one.getAttribute("action") === location.pathname);
    field = form?.querySelector("[name=proof], input[type=password], [name=code]");
    if (field) {
      told.id ||= "refusal";
      field.classList.add("is-invalid");
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", told.id);
    }
  }
  const target = field ?? told;
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  target.focus();
}

begin(document);
toWhatIsWrong();
