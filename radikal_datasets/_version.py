"""The version of this project, its only home: the package's metadata, `--version` and manifests read it here."""

__version__ = "0.2.0"
