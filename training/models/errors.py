"""What can be wrong with the settings of a model."""


class ModelError(ValueError):
    """A model can't be made from these settings; the message says what would do."""
