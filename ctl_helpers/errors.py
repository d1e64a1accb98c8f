"""The one kind of error that a user can mend."""


class StudyError(ValueError):
    """A mistake in what the study was given: one line says what was expected and what came."""
