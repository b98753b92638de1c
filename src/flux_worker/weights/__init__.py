"""The model's files: found on this machine or downloaded, counted from their headers, and read
in parallel to where they are used.
"""
