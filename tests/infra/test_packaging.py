"""``make package`` and the embedded cloud use one and the same template."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import app
from broadside import packaging


def test_handlers_are_there(template: dict[str, Any]) -> None:
    """Each function's handler is a callable of ``app``, by the function's own name."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            module, _, name = resource["Properties"]["Handler"].partition(".")
            assert module == "app"
            assert callable(getattr(app, name))


def test_packaging_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building the template needs no Region of the caller, and sets none for what comes after."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    before = dict(os.environ)
    packaging.build_template()
    assert dict(os.environ) == before


def test_the_template_depends_on_neither_caller_nor_region(template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Packaged anywhere, the template is the same."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert packaging.build_template() == template


@pytest.mark.long
def test_the_embedded_cloud_deploys_what_is_packaged(template: dict[str, Any], tmp_path: Path) -> None:
    """What ``chalice package`` writes is what the embedded cloud gets, and its bundle holds the code."""
    packaging.package(tmp_path)
    assert json.loads((tmp_path / "template.json").read_text()) == template
    with ZipFile(tmp_path / "deployment.zip") as bundle:
        assert {"app.py", "chalicelib/policy.toml", "gnupg.py"} <= set(bundle.namelist())


def test_a_requirement_that_is_not_in_the_bundle_is_found(tmp_path: Path) -> None:
    """Chalice goes on without a package that it cannot install; we do not."""
    with ZipFile(tmp_path / "bundle.zip", "w") as bundle:
        bundle.writestr("python_gnupg-0.5.7.dist-info/METADATA", "")
    requirements = "# a comment\npython-gnupg==0.5.7\npydantic==2.13.5\n"
    assert packaging.missing_requirements(requirements, tmp_path / "bundle.zip") == ["pydantic==2.13.5"]
