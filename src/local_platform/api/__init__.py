"""The queue over HTTP: the operations that clients know, and the protocol that workers speak. The
SDK's development API is here, too, behind the same guard.
"""
