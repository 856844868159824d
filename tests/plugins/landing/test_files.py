"""Which files in landing/ are new, and which go together."""

from ecommerce_elt.landing import files as landing_files
from ecommerce_elt.landing.files import LandedFile, new_files


def test_files_of_a_feed_go_together_up_to_a_size_and_a_number():
    def named(name, size, feed="f"):
        return LandedFile(f"landing/{feed}/{name}", "e" * 32, size)

    files = [named("a", 4), named("b", 90), named("c", 6), named("x", 1, "g"), named("d", 1), named("big", 300)]
    groups = landing_files.in_groups(files, 100)
    assert [[file.key[-3:].strip("/") for file in group] for group in groups] == [
        ["f/a", "f/b", "f/c"],
        ["g/x"],
        ["f/d"],
        ["big"],
    ]
    no_feed = [LandedFile("landing/x.csv", "e" * 32, 1), LandedFile("landing/y.csv", "e" * 32, 1)]
    assert [len(group) for group in landing_files.in_groups(no_feed, 100)] == [1, 1]
    many = [named(f"{i:04}", 0) for i in range(landing_files.GROUP_FILES + 1)]
    assert [len(group) for group in landing_files.in_groups(many, 100)] == [landing_files.GROUP_FILES, 1]
    assert [len(group) for group in landing_files.in_groups(files, 0)] == [1] * len(files)


def test_new_files_are_those_without_a_report_of_the_same_content():
    etag, other = "a" * 32, "b" * 32
    listed = [
        {"Key": "landing/f/", "ETag": '"x"'},
        {"Key": "landing/f/done.csv", "ETag": f'"{etag}"'},
        {"Key": f"landing/f/done.csv.{etag}.report.json", "ETag": '"r"'},
        {"Key": "landing/f/replaced.csv", "ETag": f'"{other}"'},
        {"Key": f"landing/f/replaced.csv.{etag}.report.json", "ETag": '"r"'},
        {"Key": "landing/f/new.csv", "ETag": f'"{etag}-3"'},
    ]
    assert new_files(listed) == [
        LandedFile("landing/f/new.csv", f"{etag}-3"),
        LandedFile("landing/f/replaced.csv", other),
    ]
