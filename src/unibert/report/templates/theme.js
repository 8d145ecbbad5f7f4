// Before anything is painted: the colours that the reader chose for these pages, if any.
"use strict";
{
  const root = document.documentElement;
  const KEY = "unibert-report-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY); // a page that is a file may have no storage
  } catch {}
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.querySelector(".theme");
    const now = choice.querySelector(`input[value="${root.dataset.theme ?? "system"}"]`);
    now.checked = true;
    choice.hidden = false; // without scripts there is no choice
    choice.addEventListener("change", (event) => {
      const theme = event.target.value;
      if (theme === "system") delete root.dataset.theme;
      else root.dataset.theme = theme;
      try {
        if (theme === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, theme);
      } catch {}
    });
  });
}
