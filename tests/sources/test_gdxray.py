"""GDXray: what an example looks like, the ground-truth files and their traps, what bad input costs."""

from __future__ import annotations

import pytest
from gdxray_trees import SIZE, boxes, build, examples, oriented, write_mat, write_series

from radikal_datasets import errors

# ---- what an example looks like ----


def test_example(root, tmp_path):
    split, example = examples(build(root, tmp_path))["C0001_0001"]
    assert split == "train"
    assert example.image_id == "gdxray/castings/C0001/C0001_0001"
    assert example.image == "Castings/C0001/C0001_0001.png"
    assert example.group == "gdxray/castings/C0001"
    assert (example.width, example.height) == SIZE
    assert [(i.label, i.box, i.mask) for i in example.instances] == [("defect", (10.5, 5.5, 20.5, 15.5), None)]


def test_image_without_a_row_in_an_annotated_series_is_clean(root, tmp_path):
    split, example = examples(build(root, tmp_path))["C0001_0002"]
    assert (split, example.annotated, example.instances) == ("train", True, [])


def test_series_without_annotation_is_unlabeled_without_a_problem(root, castings, tmp_path):
    write_series(castings, "C0003")
    builder = build(root, tmp_path)
    split, example = examples(builder)["C0003_0002"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    assert builder.report().counts() == {}


@pytest.mark.parametrize(
    ("config", "folder", "series", "name"),
    [
        ("castings", "Castings", "C0001", "defect"),
        ("welds", "Welds", "W0003", "defect"),
        ("baggage", "Baggages", "B0001", "object"),
        ("baggage", "Baggage", "B0001", "object"),
        ("nature", "Nature", "N0001", "object"),
        ("settings", "Settings", "S0001", "object"),
    ],
)
def test_groups_and_their_classes(tmp_path, config, folder, series, name):
    write_series(tmp_path / "GDXray" / folder, series, truth="1 11 21 6 16\n")
    builder = build(tmp_path / "GDXray", tmp_path, config)
    assert builder.class_names == (name,)
    _, example = examples(builder)[f"{series}_0001"]
    assert example.image_id == f"gdxray/{config}/{series}/{series}_0001"
    assert [instance.label for instance in example.instances] == [name]


def test_group_that_is_absent_says_what_to_do(root, tmp_path):
    with pytest.raises(errors.LayoutError, match="no image of gdxray/welds"):
        build(root, tmp_path, "welds").download_and_prepare()


def test_configs_need_a_name(root, tmp_path):
    with pytest.raises(errors.ConfigNameError, match="castings"):
        build(root, tmp_path, None)


def test_no_official_split(root, tmp_path):
    with pytest.raises(errors.ProtocolError, match="70-15-15"):
        build(root, tmp_path, protocol="official")


# ---- the ground-truth file and its traps ----


@pytest.mark.parametrize("name", ["Xgdxannotate('C',37)", "ground_truth"])
def test_misnamed_annotation_is_read(root, castings, tmp_path, name):
    folder = write_series(castings, "C0037", truth="2 11 21 6 16\n")
    (folder / "ground_truth.txt").rename(folder / name)
    builder = build(root, tmp_path)
    assert boxes(builder, "C0037_0002") == [(10.5, 5.5, 20.5, 15.5)]
    assert builder.report().counts() == {"misnamed_truth": 1}
    assert builder.report().files("misnamed_truth") == [f"Castings/C0037/{name}"]


def test_second_annotation_file_is_never_read(root, castings, tmp_path):
    folder = write_series(castings, "C0041", truth="1 11 21 6 16\n2 11 21 6 16\n")
    (folder / "ground_truth.txt;").write_text("3 1 2 1 2\n")
    builder = build(root, tmp_path)
    assert boxes(builder, "C0041_0003") == []
    assert examples(builder)["C0041_0003"][1].annotated
    assert builder.report().counts() == {"stray_truth": 1}


def test_second_annotation_file_alone_leaves_the_series_unlabeled(root, castings, tmp_path):
    folder = write_series(castings, "C0041")
    (folder / "ground_truth.txt;").write_text("3 1 2 1 2\n")
    assert examples(build(root, tmp_path))["C0041_0003"][0] == "unlabeled"


def test_matlab_table_where_there_is_no_text(root, castings, tmp_path):
    write_mat(write_series(castings, "C0029") / "BoundingBox.mat", [(2, 11, 21, 6, 16)])
    builder = build(root, tmp_path)
    assert boxes(builder, "C0029_0002") == [(10.5, 5.5, 20.5, 15.5)]
    assert examples(builder)["C0029_0001"][1].annotated
    assert builder.report().counts() == {"mat_truth": 1}


def test_text_takes_precedence_over_the_matlab_table(root, castings, tmp_path):
    write_mat(castings / "C0001" / "BoundingBox.mat", [(2, 1, 2, 1, 2)])
    builder = build(root, tmp_path)
    assert boxes(builder, "C0001_0002") == []
    assert builder.report().counts() == {}


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_annotation_without_rows_proves_nothing(root, castings, tmp_path, text):
    folder = write_series(castings, "C0044", truth=text)
    if text is None:
        write_mat(folder / "BoundingBox.mat", [])
    builder = build(root, tmp_path)
    assert examples(builder)["C0044_0001"][0] == "unlabeled"
    assert builder.report().counts() == {"empty_truth": 1}
    assert not builder.report().loses_something


def test_empty_text_beside_a_full_matlab_table(root, castings, tmp_path):
    write_mat(write_series(castings, "C0044", truth="") / "BoundingBox.mat", [(2, 11, 21, 6, 16)])
    builder = build(root, tmp_path)
    assert boxes(builder, "C0044_0002") == [(10.5, 5.5, 20.5, 15.5)]
    assert builder.report().counts() == {"mat_truth": 1}


@pytest.mark.parametrize(("series", "rows"), [("C0034", 1), ("C0041", 5)])
@pytest.mark.parametrize("as_text", [False, True])
def test_annotation_known_to_stop_early_makes_no_image_clean(root, castings, tmp_path, series, rows, as_text):
    table = [(1, 11, 21, 6, 16 + k) for k in range(rows)]
    text = "".join(" ".join(map(str, row)) + "\n" for row in table)
    folder = write_series(castings, series, truth=text if as_text else None)
    if not as_text:
        write_mat(folder / "BoundingBox.mat", table)
    builder = build(root, tmp_path)
    assert {examples(builder)[f"{series}_000{k}"][0] for k in (1, 2, 3)} == {"unlabeled"}
    assert builder.report().counts() == {"partial_truth": 1}


def test_unrelated_files_are_not_annotations(root, castings, tmp_path):
    folder = write_series(castings, "C0003")
    for name in ("ManipulatorPosition.txt", "HyperbolicModel.txt", "razor_blades.txt", "C0003_readme.txt"):
        (folder / name).write_text("1 11 21 6 16\n")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "display_demo.m").write_text("1 11 21 6 16\n")
    builder = build(root, tmp_path)
    assert examples(builder)["C0003_0001"][0] == "unlabeled"
    assert builder.report().counts() == {}


# ---- boxes ----


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("1 55 65 6 16", (54.5, 5.5, 64, 15.5)),  # x = width + 1
        ("1 0 10 6 16", (0, 5.5, 9.5, 15.5)),
        ("1 1 10 0 16", (0.5, 0, 9.5, 15.5)),
    ],
)
def test_boxes_over_the_edge_are_clipped(root, castings, tmp_path, row, box):
    (castings / "C0001" / "ground_truth.txt").write_text(f"{row}\n")
    builder = build(root, tmp_path)
    assert boxes(builder, "C0001_0001") == [box]
    assert builder.report().counts() == {"clipped_box": 1}


def test_box_outside_the_image_is_dropped_and_the_image_kept(root, castings, tmp_path):
    (castings / "C0001" / "ground_truth.txt").write_text("1 80 90 6 16\n1 11 21 6 16\n")
    builder = build(root, tmp_path)
    assert len(boxes(builder, "C0001_0001")) == 1
    assert builder.report().counts() == {"empty_box": 1}
    assert builder.report().loses_something


def test_duplicate_row_is_kept_once(root, castings, tmp_path):
    (castings / "C0001" / "ground_truth.txt").write_text("1 11 21 6 16\n1 11 21 6 16\n")
    builder = build(root, tmp_path)
    assert len(boxes(builder, "C0001_0001")) == 1
    assert builder.report().counts() == {"duplicate_box": 1}


def test_swapped_pairs_are_counted_row_by_row(tmp_path):
    write_series(tmp_path / "G" / "Baggages", "B0031", truth="1 11 21 40 20\n2 11 21 40 20\n")
    builder = build(tmp_path / "G", tmp_path, "baggage")
    assert boxes(builder, "B0031_0001") == [(10.5, 19.5, 20.5, 39.5)]
    assert builder.report().counts() == {"swapped_corners": 2}
    assert [problem.line for problem in builder.report().problems] == [1, 2]


# ---- what bad input costs ----


def truncate_image(folder):
    path = folder / "C0001_0001.png"
    path.write_bytes(path.read_bytes()[:-10])


def spoil_line(folder):
    (folder / "ground_truth.txt").write_text("3 31 41 6 16\n1 11 x 6 16\n")


def short_line(folder):
    (folder / "ground_truth.txt").write_text("3 31 41 6 16\n1 11 12 6\n2 1 2 3 4\n")


@pytest.mark.parametrize(
    ("spoil", "kind", "error", "where"),
    [
        (truncate_image, "unreadable_image", errors.UnreadableImageError, "C0001_0001.png"),
        (spoil_line, "malformed_annotation", errors.MalformedAnnotationError, "ground_truth.txt, line 2"),
        (short_line, "malformed_annotation", errors.MalformedAnnotationError, "ground_truth.txt, line 2"),
    ],
)
def test_one_fault_affects_one_image(root, castings, tmp_path, spoil, kind, error, where):
    spoil(castings / "C0001")
    builder = build(root, tmp_path)
    assert sorted(examples(builder)) == ["C0001_0002", "C0001_0003"]
    assert builder.report().counts() == {kind: 1}
    with pytest.raises(error, match=where):
        build(root, tmp_path, strict=True).index()


@pytest.mark.parametrize("row", ["9 1 2 3 4", "0 1 2 3 4", "-1 1 2 3 4", "9 1 2"])
def test_row_for_an_image_that_is_not_there(root, castings, tmp_path, row):
    with (castings / "C0001" / "ground_truth.txt").open("a") as file:
        file.write(f"{row}\n{row}\n")
    builder = build(root, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"missing_image": 1}
    with pytest.raises(errors.MissingImageError, match=f"image {row.split()[0]}, which does not exist"):
        build(root, tmp_path, strict=True).index()
    assert [problem.line for problem in builder.report().problems] == [4]  # the first of its rows


def test_line_of_a_row_without_image_is_that_of_the_malformed_one_where_it_comes_first(root, castings, tmp_path):
    with (castings / "C0001" / "ground_truth.txt").open("a") as file:
        file.write("9 1 x 3 4\n9 1 2 3 4\n")
    assert [(p.kind, p.line) for p in build(root, tmp_path).report().problems] == [("missing_image", 4)]


@pytest.mark.parametrize(
    "row", ["1 1e308 -1e308 -1e308 1e308 1e308 -1e308 -1e308 1e308", "1 2000000 1 1 1 1 1 1 -2000000"]
)
def test_absurd_corners_affect_their_image_only(tmp_path, row):
    builder = oriented(tmp_path, row, "2 20.5 10.5 30.5 20.5 20.5 30.5 10.5 20.5")
    assert sorted(examples(builder)) == ["B0046_0002", "B0046_0003"]
    assert builder.report().counts() == {"malformed_annotation": 1}
    assert builder.report().problems[0].line == 1


@pytest.mark.parametrize("text", ["1 11 21 6 16\nx 1 2 3 4\n", "1 11 21 6 16\n2 11 2"])
def test_error_that_may_concern_any_image_affects_its_series_only(root, castings, tmp_path, text):
    write_series(castings, "C0002", truth=text)
    builder = build(root, tmp_path)
    assert sorted(examples(builder)) == ["C0001_0001", "C0001_0002", "C0001_0003"]
    assert builder.report().counts() == {"malformed_annotation": 3}
    assert builder.report().problems[0].line == 2
    with pytest.raises(errors.MalformedAnnotationError, match=r"C0002/ground_truth\.txt, line 2"):
        build(root, tmp_path, strict=True).index()


def test_broken_matlab_table_invalidates_its_series(root, castings, tmp_path):
    (write_series(castings, "C0029") / "BoundingBox.mat").write_bytes(b"\0" * 300)
    builder = build(root, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"malformed_annotation": 3}
