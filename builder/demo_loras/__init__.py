"""Two LoRAs for the demo model: a shape that it doesn't know, and a style."""
