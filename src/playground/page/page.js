() => {
  const run = () => document.querySelector("#run");
  const type = (selector, text) => {
    const field = document.querySelector(selector);
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
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
    type("#key input", "");
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
  const put = (files, selector) => {
    const input = document.querySelector(`${selector} input[type=file]`);
    if (!input) return;
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  // A picture may be dropped anywhere, not on its field alone.
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event) || event.target.closest("#file, #image_file")) return;
    event.preventDefault();
    put(event.dataTransfer.files, event.target.closest("#input_picture") ? "#image_file" : "#file");
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    // Word processors copy a text with a picture of it.
    const isText = event.clipboardData.types.includes("text/plain");
    if (isText && event.target.matches("input, textarea")) return;
    event.preventDefault();
    put(event.clipboardData.files, "#image_file");
  });

  // The mask is painted on a canvas of the picture's size, in stripes that are seen on any.
  const canvas = () => document.querySelector("#stage canvas");
  const stripes = (context) => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.ceil(Math.max(context.canvas.width, 256) / 40);
    const [pen, side] = [tile.getContext("2d"), tile.width];
    pen.fillStyle = "white";
    pen.fillRect(0, 0, side, side);
    pen.fillStyle = "#d6006c";
    for (const x of [0, side]) {
      pen.beginPath();
      pen.moveTo(x, 0);
      pen.lineTo(x - side, side);
      pen.lineTo(x - side / 4, side);
      pen.lineTo(x + (side * 3) / 4, 0);
      pen.fill();
    }
    return context.createPattern(tile, "repeat");
  };
  let last = null; // where the pointer was, while it paints
  const place = (event) => {
    const box = event.target.getBoundingClientRect();
    const scale = event.target.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const stroke = (event) => {
    const [context, next] = [event.target.getContext("2d"), place(event)];
    const share = document.querySelector("#brush input[type=range]").value / 100;
    const erases = document.querySelector("#erase input").checked;
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.lineWidth = share * Math.max(event.target.width, event.target.height);
    context.lineCap = "round";
    context.strokeStyle = stripes(context);
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...next);
    context.stroke();
    last = next;
  };
  // Each pixel is white where the sheet is painted, else black: nothing between, nothing clear.
  const mask = (sheet) => {
    const pixels = sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height);
    let isPainted = false;
    for (let i = 0; i < pixels.data.length; i += 4) {
      const white = pixels.data[i + 3] > 127;
      isPainted ||= white;
      pixels.data.fill(white ? 255 : 0, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [sheet.width, sheet.height];
    copy.getContext("2d").putImageData(pixels, 0, 0);
    return isPainted ? copy.toDataURL("image/png") : "";
  };
  document.addEventListener("pointerdown", (event) => {
    if (event.target !== canvas() || event.button) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(event);
  });
  document.addEventListener("pointermove", (event) => {
    if (last && event.target === canvas()) stroke(event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, (event) => {
      if (!last) return;
      last = null;
      type("#mask textarea", mask(canvas()));
    });
  }
  document.addEventListener("load", ({ target }) => {
    if (!target.matches?.("#stage .painted")) return;
    const context = canvas().getContext("2d");
    context.drawImage(target, 0, 0);
    const pixels = context.getImageData(0, 0, canvas().width, canvas().height);
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i];
    context.putImageData(pixels, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = stripes(context);
    context.fillRect(0, 0, canvas().width, canvas().height);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest("#clear_mask") && canvas()) {
      canvas().getContext("2d").clearRect(0, 0, canvas().width, canvas().height);
      type("#mask textarea", "");
    }
    const painted = document.querySelector("#mask textarea")?.value;
    if (event.target.closest("#save_mask") && painted) {
      Object.assign(document.createElement("a"), { href: painted, download: "mask.png" }).click();
    }
  });
  document.addEventListener("input", ({ target }) => {
    if (!target.matches(".compare-at")) return;
    target.previousElementSibling.style.setProperty("--at", `${target.value}%`);
  });
};
