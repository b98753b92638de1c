"""The code to copy: a call of the endpoint in each language, ready to run but for the key.

`languages.write` gives it. What a client adds by itself is overridden, so that the code asks for
exactly the picture that the call does.
"""
