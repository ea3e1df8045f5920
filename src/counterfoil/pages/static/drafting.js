// What spares typing while somebody writes an invoice. Sums are the server's alone.
"use strict";

// The form comes back as another one, when it is refused.
const listen = (kind, then) => document.addEventListener(kind, (event) => {
  const draft = event.target.closest?.("#draft");
  if (draft) then(event, draft);
});

// Whoever names an earlier recipient gets the e-mail that belongs to the name, until they write one.
let filledIn = "";
function complete() {
  const draft = document.getElementById("draft");
  const email = draft.elements.recipient_email;
  if (email.value && email.value !== filledIn) return;
  const known = [...document.getElementById("recipients").options]
    .find((option) => option.value === draft.elements.recipient_name.value);
  filledIn = known?.dataset.email ?? "";
  email.value = filledIn;
}
listen("input", (event) => { if (event.target.id === "recipient_name") complete(); });
document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "recipients") complete(); });

// Writing beside a choice makes the choice.
listen("input", (event, draft) => {
  const picks = event.target.dataset.picks;
  const choice = picks && draft.querySelector(`input[name=due][value=${picks}]`);
  if (choice) choice.checked = true;
});

const lit = (event) => event.target.closest?.(".drop")?.classList.toggle("over", event.type === "dragover");
for (const kind of ["dragover", "dragleave", "drop"]) listen(kind, lit);
