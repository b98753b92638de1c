"""What stops a deployment. Every message is a whole sentence that says what to do."""


class CannotDeploy(Exception):
    """Something must be changed, or tried again later."""


class Unanswered(CannotDeploy):
    """No answer came, or none that tells whether the request was carried out."""
