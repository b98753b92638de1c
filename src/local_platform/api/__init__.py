"""The queue over HTTP: the operations that clients know, and the protocol that workers speak."""
