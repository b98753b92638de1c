"""The queue over HTTP: the operations that clients know and the protocol that workers speak; and the
SDK's development API, behind the same guard.
"""
