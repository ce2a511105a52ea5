"""`VocBuilder`: a source whose images have one Pascal VOC file each."""

from __future__ import annotations

from ...annotations.voc import parse_voc
from ...errors import UnknownClassError
from ...report import Report
from ...schema import Example, Instance
from .paired_builder import Found, PairedBuilder


class VocBuilder(PairedBuilder):
    """Reader of images with VOC files: `IMAGE`, `ANNOTATION` (the XML files), `PAIR` and `ID` are all it needs.

    A VOC file without an object says that its image is defect-free. Boxes of another size than the image's are scaled
    and counted.
    """

    def label_of(self, name: str) -> str:
        """Return the class of an object; override it where the files spell a class differently."""
        return name

    def annotate(self, example: Example, found: Found, report: Report) -> None:
        """Read the VOC file."""
        if found.annotation is None:
            return self.unlabel(example, report, "no VOC file")
        path = found.annotation
        annotation = parse_voc(found.tree.read(path), path)
        stated = annotation.width, annotation.height
        if stated != (example.width, example.height):
            what = f"the XML states {stated[0]}x{stated[1]}, the file is {example.width}x{example.height}"
            report.add("resized_image", example.image, what)
        x_scale, y_scale = example.width / stated[0], example.height / stated[1]
        classes = self.SOURCE.config(found.part).classes
        for voc in annotation.objects:
            if voc.swapped:
                report.add("swapped_corners", path, line=voc.line)
            label = self.label_of(voc.name)
            if label not in classes:
                remedy = f"The classes are {', '.join(classes)}. Correct the XML."
                raise UnknownClassError(path, f"class {voc.name!r}", remedy, voc.line)
            x_min, y_min, x_max, y_max = voc.box
            box = (x_min * x_scale, y_min * y_scale, x_max * x_scale, y_max * y_scale)
            example.instances.append(Instance(label, box))
