"""Every error that this project raises on purpose, in one tree.

* RadikalError
  · SourceNotFoundError (FileNotFoundError)
  · UnknownSourceError (ValueError)
  · PlugInError (ImportError)
  · SourceFaultError (AssertionError)
  · ConfigNameError (ValueError)
  · ProtocolError (ValueError)
  * LayoutError
    · ColumnsError (CombiningError, ChoiceError)
    · AnnotationsError (CombiningError, ChoiceError)
    · OwnDataSettingsError (ValueError)
  · CombiningError (ValueError)
  · ChoiceError (ValueError)
  · OutputError (ValueError)
  · GrayScaleError (ValueError)
  · InvalidExampleError (ValueError)
  · DownloadError
  · HubFolderError
  · LicenseError (PermissionError)
  · LicenseError (PermissionError)
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
    · UnlistedImageError
    · UnsafePathError
    · OwnDataError
  * TrainingError
    * SettingsError (ValueError)
      · UnknownSettingError
    · TrainingDataError (ValueError)
    · ClassNamesError (ValueError)
    · ModelError (ValueError)
    · RunNotFoundError (ValueError)
    · ImageFileError (ValueError)
    · OperatingPointError (ValueError)
    · NonFiniteError (RuntimeError)
    · ExportError (RuntimeError)
    · StepFailedError (RuntimeError)
  · ShadowedPackageError

In parentheses: the built-in exception from which a class derives as well. Not in the tree, because no caller has to
handle them as errors: `training.run.signals.StoppedError`, a KeyboardInterrupt, and
`hub_server.client_faults.RequestError`, which becomes an HTTP response.

Each message says what happened, in which file and line, and what to do about it.
"""

from __future__ import annotations

from typing import Any

from .text import visible


class RadikalError(Exception):
    """Base class of every error this library raises on purpose.

    Attributes:
        exit_code: with which the commands of `training` end.
    """

    exit_code = 1

    def __str__(self) -> str:
        """Return the message; control characters of a file's name are visible in it and without effect."""
        return visible(super().__str__(), lines=True)


class SourceNotFoundError(RadikalError, FileNotFoundError):
    """No data for a source was found in any of the locations searched."""


class UnknownSourceError(RadikalError, ValueError):
    """The name is not one of the known sources."""


class PlugInError(RadikalError, ImportError):
    """A source that another package offers cannot be used, or has a name that is taken."""


class SourceFaultError(RadikalError, AssertionError):
    """A source does not do what every source must; raised by `radikal_datasets.testing.check_source`."""


class ConfigNameError(RadikalError, ValueError):
    """No configuration was named although the source has several, or the source has none of that name."""


class ProtocolError(RadikalError, ValueError):
    """The source, or the prepared folder, does not have this split protocol."""


class LayoutError(RadikalError):
    """The folder or archive exists but does not hold the source's files."""


class CombiningError(RadikalError, ValueError):
    """Datasets cannot be combined as requested; the message names the obstacle, the dataset and the remedy."""


class ChoiceError(RadikalError, ValueError):
    """What was asked for is not there: no such split or class, no template for a pair, or not the schema's columns."""


class ColumnsError(LayoutError, CombiningError, ChoiceError):
    """A dataset lacks required columns of the schema. The bases are the errors formerly raised for this."""


class AnnotationsError(LayoutError, CombiningError, ChoiceError):
    """Rows of the schema that no command may read: bad boxes or labels, different classes, an image in two splits."""


class OwnDataSettingsError(LayoutError, ValueError):
    """`radikal.yaml` has an unknown key or an impossible value; the message names the line and the nearest key."""


class OutputError(RadikalError, ValueError):
    """The output must not be written there: it is among the inputs, holds other files, or is in use."""


class GrayScaleError(RadikalError, ValueError):
    """Gray levels of more than 8 bits without a scale, or on one that leaves too few of them; proposes a window."""


class InvalidExampleError(RadikalError, ValueError):
    """An example violates the schema: a bug in a source module, not in the data."""


class DownloadError(RadikalError):
    """A download is not allowed, arrived incomplete, or does not match the pinned checksum."""


class HubFolderError(RadikalError):
    """A prepared folder is damaged: a shard, the manifest or the card is missing, changed or unreadable."""


class LicenseError(RadikalError, PermissionError):
    """The source's license forbids this, for example making a copy public."""


#: The former name, kept for one version.
LicenceError = LicenseError  # alias


class HubError(RadikalError):
    """A request to a Hub failed; the message names the endpoint and the repository, never a token."""


class HubAccessError(HubError, PermissionError):
    """The repository does not exist, or this user may not access it; says who asked and where the token came from."""


class HubUnavailableError(HubError, ConnectionError):
    """The Hub did not answer, or not with a valid response, after all retries."""


class NotPrivateError(HubError):
    """A repository that should be private is public; nothing was sent."""


class HubContentError(HubError):
    """The Hub's answer is invalid (an impossible commit id or path) or differs from what was uploaded."""


class BadFileError(RadikalError):
    """A bad file in a raw tree that costs an image; caught and counted unless ``strict=True``.

    Attributes:
        kind: the name under which it is counted (see :mod:`radikal_datasets.report`).
        path: posix path below the root of the tree.
        line: 1-based line number, or None if the file has no lines.
        found: what was found there.
        remedy: what the user can do about it.
    """

    kind = "bad_file"

    def __init__(self, path: str, found: str, remedy: str, line: int | None = None):
        self.path, self.found, self.remedy, self.line = path, found, remedy, line
        where = visible(path) if line is None else f"{visible(path)}, line {line}"
        super().__init__(f"{where}: {visible(found)}. {remedy}")

    def __reduce__(self):
        # Exceptions pickle by args; without this, an error raised in a worker process would lose its fields.
        return type(self), (self.path, self.found, self.remedy, self.line)


class UnreadableImageError(BadFileError):
    """An image whose header cannot be read, whose end marker is missing, or that is a decompression bomb."""

    kind = "unreadable_image"


class MalformedAnnotationError(BadFileError):
    """An annotation file or line that cannot be parsed or must not be trusted (an XML entity bomb, say)."""

    kind = "malformed_annotation"


class UnknownClassError(BadFileError):
    """A class, folder or code that the source does not define."""

    kind = "unknown_class"


class MaskSizeError(BadFileError):
    """A mask whose size differs from its image's."""

    kind = "mask_size"


class MissingImageError(BadFileError):
    """An annotation file or list that names an image which does not exist."""

    kind = "missing_image"


class DuplicateImageError(BadFileError):
    """A second file with an `image_id` that is already taken."""

    kind = "duplicate_image"


class StrayImageError(BadFileError):
    """An image in a location that the layout does not define."""

    kind = "stray_image"


class UnlistedImageError(BadFileError):
    """An image that the publisher's list of splits does not name, with the protocol `official`."""

    kind = "unlisted_image"


class UnsafePathError(BadFileError):
    """A link that leaves the tree, or an archive member with an absolute or ``..`` path."""

    kind = "unsafe_path"


class OwnDataError(BadFileError):
    """An annotation of own data that costs an image or box; `kind` is the counter of its format."""

    kind: Any  # set by `own_data.parsed.loss`


class TrainingError(RadikalError):
    """Base class of the errors of `training`: settings, models, runs and their use."""


class SettingsError(TrainingError, ValueError):
    """A setting or option that is unknown, has an impossible value, or contradicts another one."""


class UnknownSettingError(SettingsError):
    """There is no such setting or tracker; the message names the nearest one."""

    exit_code = 2


class TrainingDataError(TrainingError, ValueError):
    """A dataset cannot be trained or scored on: it cannot be loaded, or lacks a split or annotated images."""


class ClassNamesError(TrainingError, ValueError):
    """The classes of the data differ from those of the model."""


class ModelError(TrainingError, ValueError):
    """A model cannot be built from these settings, cannot be loaded, or does not support the request."""


class RunNotFoundError(TrainingError, ValueError):
    """The folder holds no training run, or the run lacks the required checkpoint or model."""


class ImageFileError(TrainingError, ValueError):
    """Image files for prediction are missing or unreadable, or lack their templates.

    Attributes:
        reason: why, without the file's name.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class OperatingPointError(TrainingError, ValueError):
    """No threshold satisfies the rule, or two rules were given."""


class NonFiniteError(TrainingError, RuntimeError):
    """Too many consecutive steps had a loss or gradients that are not finite."""


class ExportError(TrainingError, RuntimeError):
    """The model cannot be exported to ONNX, or the exported model gives other boxes than torch."""


class StepFailedError(TrainingError, RuntimeError):
    """A command of the demo ended with an error."""


class ShadowedPackageError(RadikalError):
    """A folder of the user's hides a package of ours."""
