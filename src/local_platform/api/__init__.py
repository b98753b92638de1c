"""The queue over HTTP: the operations that clients know, and the protocol that workers speak. And the
SDK's development API, behind the same guard.
"""
