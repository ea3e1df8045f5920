// What spares typing while somebody writes an invoice. Sums are the server's alone.
"use strict";

const draft = document.getElementById("draft");

// Whoever names an earlier recipient gets the e-mail that belongs to the name, until they write one.
let filledIn = "";
function complete() {
  const email = draft.elements.recipient_email;
  if (email.value && email.value !== filledIn) return;
  const known = [...document.getElementById("recipients").options]
    .find((option) => option.value === draft.elements.recipient_name.value);
  filledIn = known?.dataset.email ?? "";
  email.value = filledIn;
}
draft.addEventListener("input", (event) => { if (event.target.id === "recipient_name") complete(); });
document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "recipients") complete(); });

// Writing beside a choice makes the choice.
draft.addEventListener("input", (event) => {
  const picks = event.target.dataset.picks;
  const choice = picks && draft.querySelector(`input[name=due][value=${picks}]`);
  if (choice) choice.checked = true;
});

// A time of day means the writer's own zone; the server hears how far that is off just then.
for (const field of draft.querySelectorAll("[data-offset]")) {
  const offset = document.getElementById(field.dataset.offset);
  const two = (number) => String(number).padStart(2, "0");
  if (field.value && !offset.value) {
    const at = new Date(`${field.value}Z`);
    field.value = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
  }
  const tell = () => { offset.value = String(-new Date(field.value || Date.now()).getTimezoneOffset()); };
  field.addEventListener("input", tell);
  tell();
  for (const zone of document.querySelectorAll("[data-zone]")) {
    zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
  }
}

const lit = (event) => event.target.closest?.(".drop")?.classList.toggle("over", event.type === "dragover");
for (const kind of ["dragover", "dragleave", "drop"]) draft.addEventListener(kind, lit);
