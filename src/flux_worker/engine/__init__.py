"""How the model runs on the card at hand: a plan that fits its memory, and what the plan asks for,
from fused projections and fp8 to blocks that are compiled once and kept.
"""
