"""Several pictures on one sheet, each with its prompt below it."""

from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

SIDE = 384  # pixels of a picture on the sheet
GAP = 16
CAPTION = 28
FOOTER = "Drawn by the 9 MB demo model on a CPU. FLUX itself needs its own weights and a GPU."


def draw_sheet(pictures: Mapping[str, Image.Image]) -> Image.Image:
    """Lay the pictures out in two columns; the keys are their prompts."""
    rows = -(-len(pictures) // 2)
    width = 2 * SIDE + 3 * GAP
    sheet = Image.new("RGB", (width, rows * (SIDE + CAPTION + GAP) + GAP + CAPTION), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for index, (prompt, picture) in enumerate(pictures.items()):
        left = GAP + index % 2 * (SIDE + GAP)
        top = GAP + index // 2 * (SIDE + CAPTION + GAP)
        small = picture.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, top))
        middle = (left + SIDE / 2, top + SIDE + CAPTION / 2)
        pen.text(middle, prompt, fill="black", font=font, anchor="mm")
    end = (width / 2, sheet.height - CAPTION / 2 - GAP / 2)
    pen.text(end, FOOTER, fill="dimgray", font=font, anchor="mm")
    return sheet
