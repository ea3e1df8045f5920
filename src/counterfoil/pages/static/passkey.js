// Passkeys: what the server asks is put to the browser, and its answer goes into a form. Whatever
// needs this file is hidden without it; typing works everywhere.
"use strict";

(() => {
  const { origin } = document.currentScript.dataset;
  // Elsewhere than at our own address browsers refuse, whatever they are asked.
  if (!window.PublicKeyCredential || location.origin !== origin) return;
  document.documentElement.dataset.passkeys = "";

  const ASKED_ANEW = 4 * 60 * 1000; // a question lasts five minutes, and a page stays open longer

  const bytes = (text) => Uint8Array.from(
    atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0),
  );
  const base64url = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const listed = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

  function read(question) {
    const { user } = question;
    return {
      ...question,
      challenge: bytes(question.challenge),
      allowCredentials: listed(question.allowCredentials),
      excludeCredentials: listed(question.excludeCredentials),
      ...(user && { user: { ...user, id: bytes(user.id) } }),
    };
  }

  function written({ id, rawId, type, response }) {
    const parts = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (response[name]) parts[name] = base64url(response[name]);
    }
    return JSON.stringify({ id, rawId: base64url(rawId), type, response: parts });
  }

  let asking = new AbortController();
  async function answered(box, mediation = "optional") {
    asking.abort();
    const { signal } = (asking = new AbortController());
    if (box.dataset.question) {
      const publicKey = read(JSON.parse(box.dataset.question));
      return written(await navigator.credentials.create({ publicKey, signal }));
    }
    const response = await fetch(box.dataset.passkey, { signal });
    if (!response.ok || response.redirected) throw new Error(`answered ${response.status}`);
    const publicKey = read(await response.json());
    return written(await navigator.credentials.get({ publicKey, signal, mediation }));
  }

  function say(box, sentence, isGood = false) {
    const said = box.querySelector("[role=status]");
    said.classList.toggle("text-danger", !isGood);
    said.textContent = sentence;
  }

  let isPressed = false;
  async function fill(box, then) {
    const field = box.querySelector("[data-answer]");
    say(box, "");
    isPressed = true;
    try {
      field.value = await answered(box);
      then();
    } catch (error) {
      if (error.name === "AbortError") return;
      const { known, failed } = box.dataset;
      say(box, error.name === "InvalidStateError" && known ? known : failed);
      isPressed = false;
      offer();
    }
  }

  // Of a form that is nothing without a passkey, the button asks for it.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-passkey]") || form.querySelector("[data-answer]").value) return;
    event.preventDefault();
    fill(form, () => form.requestSubmit(event.submitter));
  }, true);

  // In any other form a passkey takes the place of what would be typed, and the form is sent by hand.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-ask]");
    if (!button) return;
    const box = button.closest("[data-passkey]");
    fill(box, () => {
      for (const part of box.querySelectorAll("[data-typed]")) part.hidden = true;
      for (const typed of box.querySelectorAll("[data-typed] input")) typed.disabled = true;
      button.hidden = true;
      say(box, box.dataset.done, true);
      [...button.form.elements].find((one) => one.type === "submit")?.focus();
    });
  });

  // The browser offers passkeys where the e-mail is typed, without being pressed for them.
  async function offer() {
    const form = document.querySelector("form[data-offers]");
    if (!form || !(await window.PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    try {
      form.querySelector("[data-answer]").value = await answered(form, "conditional");
      form.requestSubmit();
    } catch {
      // Whoever types instead, or presses the button, has no use for it.
    }
  }
  offer();
  setInterval(() => { if (!isPressed) offer(); }, ASKED_ANEW);

  window.addEventListener("pageshow", () => {
    isPressed = false;
    for (const field of document.querySelectorAll("[data-answer]")) field.value = "";
  });
})();
