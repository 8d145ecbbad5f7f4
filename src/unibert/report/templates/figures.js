// Every picture can be had as large as the window. It is moved there and back: a copy would repeat its ids.
"use strict";
{
  const dialog = document.querySelector("dialog.enlarged");
  const stage = dialog.querySelector(".stage");
  let back = null; // what puts the picture back
  for (const picture of document.querySelectorAll("figure .picture")) {
    const figure = picture.closest("figure");
    const title = figure.querySelector("figcaption h3").textContent;
    const svg = picture.querySelector("svg");
    const all = [...figure.querySelectorAll("svg")];
    const name = all.length > 1 ? `${title}, ${all.indexOf(svg) + 1} of ${all.length}` : title;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.textContent = "Enlarge";
    button.setAttribute("aria-label", `Enlarge: ${name}`);
    picture.after(button);
    const open = () => {
      const { width, height } = svg.viewBox.baseVal;
      picture.style.minHeight = `${picture.offsetHeight}px`; // the page behind does not jump
      stage.style.setProperty("--ratio", width / height);
      stage.classList.toggle("wide", picture.parentElement.classList.contains("wide"));
      dialog.querySelector("h2").textContent = name;
      dialog.querySelector(":scope > p").textContent = figure.querySelector("figcaption p").textContent;
      stage.append(svg);
      back = () => {
        picture.append(svg);
        picture.style.minHeight = "";
        button.focus({ preventScroll: true });
        back = null;
      };
      dialog.showModal();
    };
    button.addEventListener("click", open);
    svg.addEventListener("click", () => dialog.open || open());
  }
  dialog.addEventListener("close", () => back?.());
  addEventListener("beforeprint", () => {
    dialog.close();
    back?.(); // now: the event comes too late for the pages
  });
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  // The dialog has no padding of its own, so what is clicked in it, and is it, is the ground around it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
