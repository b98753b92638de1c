"""What can go wrong, by who can mend it. Every message is a whole sentence for them."""


class CannotStart(Exception):
    """The operator must change a setting, the weights or the machine before anything is served."""


class InvalidRequest(Exception):
    """The caller must change the request. Raised before any work is done."""

    def __init__(self, *faults: str) -> None:
        """Join what is wrong into one sentence, in the form of Runpod's public endpoints."""
        super().__init__("Invalid parameter: " + "; ".join(faults))
        self.faults = faults


class GenerationFailed(Exception):
    """The image could not be made. The worker goes on with the next job."""


class DeviceUnusable(GenerationFailed):
    """The GPU can't be used again by this process: the worker must be replaced."""


class GenerationStopped(Exception):
    """The job was cancelled or ran out of time, and its generation ended early."""
