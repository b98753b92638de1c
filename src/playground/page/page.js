() => {
  const run = () => document.querySelector("#run");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run().click();
    }
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
