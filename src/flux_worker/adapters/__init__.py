"""Finds and reads LoRAs: from what a request names to what is added to which layer."""
