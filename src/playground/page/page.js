() => {
  const run = () => document.querySelector("#run");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (event.repeat) return; // keys that are held mean one run
      // A box with choices first takes what is typed in it.
      if (event.target.getAttribute("role") === "combobox") setTimeout(() => run().click());
      else run().click();
    }
  }, true);
  // A key was typed for one host: it is gone before a run could send it to another.
  document.addEventListener("input", (event) => {
    if (!event.target.closest("#base_url")) return;
    const key = document.querySelector("#key input");
    key.value = "";
    key.dispatchEvent(new Event("input", { bubbles: true }));
  });
  // Of such an entry as "1e" a page reads nothing, and the default would be drawn.
  run().addEventListener("click", (event) => {
    const entries = [...document.querySelectorAll("input[type=number]")];
    const bad = entries.find((each) => each.validity.badInput);
    if (!bad) return;
    event.stopImmediatePropagation();
    bad.reportValidity();
  }, true);
  run().addEventListener("click", () => {
    document.querySelector("#state").scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
  // A picture may be dropped anywhere, not on its field alone.
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const input = document.querySelector("#file input[type=file]");
    if (!carriesFiles(event) || event.target.closest("#file") || !input) return;
    event.preventDefault();
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
};
