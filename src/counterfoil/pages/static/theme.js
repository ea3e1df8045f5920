// Before anything is drawn: the member's choice of light and dark, or the machine's own; paper is light.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paper = window.matchMedia("print");
  const apply = () => {
    const chosen = root.dataset.theme;
    const theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
    root.setAttribute("data-bs-theme", paper.matches ? "light" : theme);
  };
  dark.addEventListener("change", apply);
  paper.addEventListener("change", apply);
  apply();
})();
