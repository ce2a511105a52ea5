"""Every error that this project raises on purpose, in one tree.

* RadikalError
  · SourceNotFoundError (FileNotFoundError)
  · UnknownSourceError (ValueError)
  · ConfigNameError (ValueError)
  · ProtocolError (ValueError)
  * LayoutError
    · ColumnsError (CombiningError, ChoiceError)
  · CombiningError (ValueError)
  · ChoiceError (ValueError)
  · OutputError (ValueError)
  · InvalidExampleError (ValueError)
  · DownloadError
  · HubFolderError
  · LicenceError (PermissionError)
  * HubError
    · HubAccessError (PermissionError)
    · HubUnavailableError (ConnectionError)
    · NotPrivateError
    · HubContentError
  * BadFileError
    · UnreadableImageError
    · MalformedAnnotationError
    · UnknownClassError
    · MaskSizeError
    · MissingImageError
    · DuplicateImageError
    · StrayImageError
    · UnsafePathError
  * TrainingError
    · SettingsError (ValueError)
    · TrainingDataError (ValueError)
    · ClassNamesError (ValueError)
    · ModelError (ValueError)
    · RunNotFoundError (ValueError)
    · ImageFileError (ValueError)
    · OperatingPointError (ValueError)
    · NonFiniteError (RuntimeError)
    · ExportError (RuntimeError)
    · StepFailedError (RuntimeError)

In parentheses: what a class derives from as well. Not in the tree, because nobody's code has to
handle them as errors: `training.run.signals.StoppedError`, a KeyboardInterrupt, and
`hub_server.client_faults.RequestError`, which becomes an HTTP answer.

The messages follow one rule: what was found, in which file and line, and what to do about it.
"""

from __future__ import annotations


class RadikalError(Exception):
    """Base of every error this library raises on purpose."""


class SourceNotFoundError(RadikalError, FileNotFoundError):
    """No data for a source were found in any of the places that were looked at."""


class UnknownSourceError(RadikalError, ValueError):
    """A name that is none of the six sources."""


class ConfigNameError(RadikalError, ValueError):
    """A configuration is missing (the source has several) or is none of the source's."""


class ProtocolError(RadikalError, ValueError):
    """A split protocol the source, or the prepared folder, does not have."""


class LayoutError(RadikalError):
    """A folder or archive that is there but does not hold the source's files."""


class CombiningError(RadikalError, ValueError):
    """Sets that can't be combined as asked: what is in the way, in which set, and what to do."""


class ChoiceError(RadikalError, ValueError):
    """Nothing to show: no such split or class, no image that has both, or a set without the schema's columns."""


class ColumnsError(LayoutError, CombiningError, ChoiceError):
    """A dataset without columns of the schema that are needed. The bases are what it was called before."""


class OutputError(RadikalError, ValueError):
    """A file or folder that must not be written: it lies among the inputs, holds something else, or is in use."""


class InvalidExampleError(RadikalError, ValueError):
    """An example that breaks the schema: a fault in a source module, not in the data."""


class DownloadError(RadikalError):
    """A download that is not allowed, did not arrive whole, or has another checksum than the pinned one."""


class HubFolderError(RadikalError):
    """A prepared folder that is not whole: a shard, the manifest or the card is missing, changed or can't be read."""


class LicenceError(RadikalError, PermissionError):
    """Something the source's licence forbids: making a copy public."""


class HubError(RadikalError):
    """Something a Hub answered, or did not; the message names endpoint and repository, never a token."""


class HubAccessError(HubError, PermissionError):
    """No such repository, or not for this user; says who asked, and where the token came from."""


class HubUnavailableError(HubError, ConnectionError):
    """A Hub that does not answer, or not properly, after all retries."""


class NotPrivateError(HubError):
    """A repository that should be private and is not: nothing was sent."""


class HubContentError(HubError):
    """What the Hub answers is not valid (a commit id or path that can't be one), or not what was sent to it."""


class BadFileError(RadikalError):
    """One file of a raw tree that costs an image; caught and counted unless ``strict=True``.

    Attributes:
        kind: the name under which it is counted (see :mod:`radikal_datasets.report`).
        path: posix path below the root of the tree.
        line: 1-based line, or None where the file has no lines.
        found: what stands there.
        remedy: what a person can do about it.
    """

    kind = "bad_file"

    def __init__(self, path: str, found: str, remedy: str, line: int | None = None):
        self.path, self.found, self.remedy, self.line = path, found, remedy, line
        where = path if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {found}. {remedy}")

    def __reduce__(self):
        # Exceptions pickle by args; without this a worker's error would lose its fields on the way home.
        return type(self), (self.path, self.found, self.remedy, self.line)


class UnreadableImageError(BadFileError):
    """An image whose header can't be read, whose end marker is missing, or that is a decompression bomb."""

    kind = "unreadable_image"


class MalformedAnnotationError(BadFileError):
    """A truth file or line that can't be parsed or can't be trusted (an XML entity bomb, say)."""

    kind = "malformed_annotation"


class UnknownClassError(BadFileError):
    """A class, folder or code that is not among the source's constants."""

    kind = "unknown_class"


class MaskSizeError(BadFileError):
    """A mask of another size than its image."""

    kind = "mask_size"


class MissingImageError(BadFileError):
    """A truth file or list that names an image which is not there."""

    kind = "missing_image"


class DuplicateImageError(BadFileError):
    """A second file for an `image_id` that another file has already."""

    kind = "duplicate_image"


class StrayImageError(BadFileError):
    """An image that lies in no place of the layout."""

    kind = "stray_image"


class UnsafePathError(BadFileError):
    """A link that leaves the tree, or an archive member with an absolute or ``..`` path."""

    kind = "unsafe_path"


class TrainingError(RadikalError):
    """Base of the errors of `training`: settings, models, runs and what is done with them."""


class SettingsError(TrainingError, ValueError):
    """A setting or option that is unknown, has an impossible value, or contradicts another one."""


class TrainingDataError(TrainingError, ValueError):
    """A dataset that can't be trained or scored on: it can't be loaded, or lacks a split or annotated images."""


class ClassNamesError(TrainingError, ValueError):
    """Data whose classes are not those of the model."""


class ModelError(TrainingError, ValueError):
    """A model that can't be built from these settings, can't be loaded, or is of the wrong kind for what was asked."""


class RunNotFoundError(TrainingError, ValueError):
    """A folder that holds no training run, or a run without the checkpoint or model that is needed."""


class ImageFileError(TrainingError, ValueError):
    """Image files to predict on that are missing or can't be read, or lack their templates."""


class OperatingPointError(TrainingError, ValueError):
    """A rule for the threshold that no threshold meets, or two rules at once."""


class NonFiniteError(TrainingError, RuntimeError):
    """Too many steps in a row had a loss or gradients that are not numbers."""


class ExportError(TrainingError, RuntimeError):
    """The model can't be written as ONNX, or what was written gives other boxes than torch."""


class StepFailedError(TrainingError, RuntimeError):
    """A command of the demo ended with an error."""
