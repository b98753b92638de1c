"""Somebody at the playground's page, in a real browser."""

from contextlib import contextmanager
from pathlib import Path

from browser import watched_page
from conftest import ROOT
from playwright.sync_api import expect

PICTURES = ROOT / "out" / "playground"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 1000}
A_WHILE = 60_000
"""Milliseconds; more than anything takes on a busy machine."""
expect.set_options(timeout=A_WHILE)


class Visitor:
    """Somebody at the page."""

    def __init__(self, watched):
        self.watched, self.page = watched, watched.page

    def __getitem__(self, name):
        return self.page.locator(f"#{name}")

    def field(self, name):
        return self[name].locator("input, textarea").first

    def type(self, **values):
        for name, value in values.items():
            self.field(name).fill(str(value))

    def choose(self, name, label):
        """Take an option of a dropdown."""
        self.field(name).click()
        # Its own: those of another one may still be fading.
        options = self.page.locator(f"#{self.field(name).get_attribute('aria-controls')}")
        options.get_by_role("option", name=label, exact=True).click()

    def small(self, prompt="a red circle on a white background", **more):
        """Ask for what is drawn quickly."""
        self.type(prompt=prompt, width=256, height=256, num_inference_steps=2, **more)
        self.sees("cost", "for 0.065536 megapixels")

    def run(self):
        self["run"].click()

    def sees(self, name, text):
        expect(self[name]).to_contain_text(text)

    def done(self):
        """Wait for the picture, and return its file."""
        self.sees("state", "Done.")
        expect(self["picture"].locator("img")).to_be_visible()
        with self.page.expect_download() as download:
            self["download"].click()
        return Path(download.value.path()).read_bytes(), download.value.suggested_filename

    def fact(self, name):
        return self["state"].locator(f"div:has(> dt:text-is('{name}')) dd").inner_text()

    def picture(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@contextmanager
def visiting(browser, playground):
    """Open pages; afterwards nothing was asked of another machine, and nothing failed."""
    opened = []

    def open_page(url=playground, viewport=DESKTOP, **options):
        context = watched_page(browser, viewport=viewport, **options)
        watched = context.__enter__()
        opened.append((context, watched))
        watched.page.goto(url)
        visitor = Visitor(watched)
        visitor.sees("cost", "Estimated cost")
        return visitor

    yield open_page
    for context, watched in opened:
        assert not watched.elsewhere
        assert not watched.errors
        context.__exit__(None, None, None)


CONTRASTS = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return rgba("white");
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true }))
      continue;
    if (["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const dimmed = Number(/^brightness\\((.*)\\)$/.exec(style.filter)?.[1] ?? 1);
    const colour = rgba(style.color).map((part) => part * dimmed);
    const [light, dark] = [colour, behind(element)]
      .map(luminance)
      .sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) low.push(`${texts.currentNode.data.trim().slice(0, 40)}: ${contrast}`);
  }
  return low;
}"""
"""The texts whose contrast is less than 4.5, which https://www.w3.org/TR/WCAG22/ asks for."""
