"""A dense one-to-many detector (`dense`), the ninth family: every place of the feature maps predicts a box.

`import training.models` registers it with transformers' Auto classes, so that a saved model loads by
`AutoModelForObjectDetection.from_pretrained` without remote code.
"""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForObjectDetection

from training.models.dense.configuration import DenseDetectorConfig
from training.models.dense.image_processing import DenseDetectorImageProcessor
from training.models.dense.modeling import DenseDetector

AutoConfig.register(DenseDetectorConfig.model_type, DenseDetectorConfig, exist_ok=True)
AutoModelForObjectDetection.register(DenseDetectorConfig, DenseDetector, exist_ok=True)
AutoImageProcessor.register(
    DenseDetectorConfig, image_processor_classes={"torchvision": DenseDetectorImageProcessor}, exist_ok=True
)

__all__ = ["DenseDetector", "DenseDetectorConfig", "DenseDetectorImageProcessor"]
