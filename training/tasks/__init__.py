"""What a run can learn: `detection` or `classification`, behind one set of attributes and methods."""

from training.tasks.classification import ClassificationTask
from training.tasks.detection import DetectionTask

Task = DetectionTask | ClassificationTask
TASKS: dict[str, type[Task]] = {"detection": DetectionTask, "classification": ClassificationTask}
