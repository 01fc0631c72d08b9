"""Why a command could not do what it was asked. The message is the whole line that the operator reads."""


class CommandFailed(Exception):
    """Ends a command with exit status 1."""


class NoAnswer(CommandFailed):
    """No Glint answers at the URL."""


class Refused(CommandFailed):
    """A Glint answered, and said no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class LoginFailed(CommandFailed):
    """Keystone gave no token. Never carries the credentials."""


class NotChosen(CommandFailed):
    """A name that means no image, or several."""


class NoCacheFolder(CommandFailed):
    """There is no cache where the configuration says."""
