"""Each mistake is found by the promises that are about it, and by no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.testing import bad_components

ROOT = Path(__file__).parent.parent.parent
CASES = [each for name, each in vars(bad_components).items() if name.startswith("Test")]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By class, the promises that failed with their messages: one run of pytest over all bad components."""
    report = tmp_path_factory.mktemp("report") / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        bad_components.__file__,
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {case.__name__: {} for case in CASES}
    for case in ElementTree.parse(report).iter("testcase"):
        assert case.find("error") is None, case.attrib
        for failure in case.iter("failure"):
            promise = case.attrib["name"].partition("[")[0].removeprefix("test_")
            found[case.attrib["classname"].rpartition(".")[2]][promise] = failure.attrib["message"]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_exactly_the_right_promises_fail(case: type, failures: dict[str, dict[str, str]]) -> None:
    promises, _, words = (case.__doc__ or "").partition(": ")
    expected, found = set(promises.split()) - {"none"}, failures[case.__name__]
    assert set(found) == expected, found
    if expected:
        assert words in re.sub(r"\s+", " ", found[promises.split()[0]])
