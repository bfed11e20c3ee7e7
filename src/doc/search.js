"use strict";
// Narrows the lists to the lines that hold every word; a section without a line is hidden too.
const field = document.getElementById("search");
const sections = [...document.querySelectorAll("section")];
function narrow() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of sections) {
    let any = false;
    for (const line of section.querySelectorAll("li")) {
      const text = line.textContent.toLowerCase();
      line.hidden = !words.every((word) => text.includes(word));
      any ||= !line.hidden;
    }
    section.hidden = !any;
  }
}
field.addEventListener("input", narrow);
field.addEventListener("keydown", (event) => {
  const first = document.querySelector("section:not([hidden]) li:not([hidden]) a");
  if (event.key === "Enter" && first) location.href = first.href;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  }
});
narrow();
