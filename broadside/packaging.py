"""The CloudFormation template of the whole: what ``make package`` writes, and what the embedded cloud deploys.

Chalice makes the functions and their roles from ``app.py`` and ``.chalice/``; ``infra/template.yaml`` is merged over them,
with the state machines' definitions put in.  :func:`build_template` does it in the process, offline and without building
the code bundle (``python -m broadside.packaging --template-only FOLDER``); :func:`package` has ``chalice package`` do it,
bundle and all (``python -m broadside.packaging FOLDER``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import yaml
from chalice.cli.factory import CLIFactory
from chalice.deploy import models
from chalice.deploy.appgraph import ApplicationGraphBuilder, DependencyBuilder
from chalice.deploy.deployer import BaseDeployStep, BuildStage, InjectDefaults, PolicyGenerator
from chalice.package import ResourceBuilder, SAMTemplateGenerator, TemplateDeepMerger
from chalice.policy import AppPolicyGenerator
from chalice.utils import OSUtils

Template = dict[str, Any]

CHECKOUT = Path(__file__).resolve().parent.parent
INFRA = CHECKOUT / "infra"

#: Chalice's stage.  There is one: every installation gets the same template, and is named by its stack.
STAGE = "prod"

#: Where the template says that the code bundle is: beside it.
CODE = "./deployment.zip"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's YAML: ``!Ref X`` is ``{"Ref": "X"}``, ``!Sub`` and the others ``{"Fn::...": ...}``."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Template:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def merge_template() -> Template:
    """What is merged over Chalice's template: ``infra/template.yaml`` with the definitions of its state machines."""
    template: Template = yaml.load((INFRA / "template.yaml").read_text(), _Loader)  # noqa: S506  a SafeLoader, with the tags
    for resource in template["Resources"].values():
        if resource.get("Type") == "AWS::StepFunctions::StateMachine":
            definition = yaml.safe_load((INFRA / resource["Properties"]["DefinitionString"]).read_text())
            resource["Properties"]["DefinitionString"] = json.dumps(definition, separators=(",", ":"))
    # As Chalice sees it: read from a file, so that nothing is shared between two places of the YAML.
    plain: Template = json.loads(json.dumps(template))
    return plain


def build_template() -> Template:
    """The SAM template of the whole, ``CodeUri`` being ``./deployment.zip``.  Neither network nor bundle is needed."""
    with _packaging_environment():
        factory = CLIFactory(str(CHECKOUT))
        config = factory.create_config_obj(STAGE)
        osutils = OSUtils()
        stage = BuildStage(
            [InjectDefaults(), _NameBundle(), PolicyGenerator(policy_gen=AppPolicyGenerator(osutils=osutils), osutils=osutils)]
        )
        resources = ResourceBuilder(ApplicationGraphBuilder(), DependencyBuilder(), stage).construct_resources(config, STAGE)
        functions = SAMTemplateGenerator(config, factory.create_package_options()).generate(resources)
    merged: Template = TemplateDeepMerger().merge(merge_template(), json.loads(json.dumps(functions)))
    return merged


class _NameBundle(BaseDeployStep):
    """Stands in for Chalice's packager: names the bundle instead of building it."""

    def handle_deploymentpackage(self, _config: Any, resource: models.DeploymentPackage) -> None:
        resource.filename = CODE


@contextmanager
def _packaging_environment() -> Iterator[None]:
    """Chalice asks for a Region, though the template depends on none; and finds ``app.py`` by ``sys.path``."""
    had = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = had or "us-east-1"
    try:
        yield
    finally:
        if had is None:
            del os.environ["AWS_DEFAULT_REGION"]


def package(folder: Path) -> None:
    """Write ``template.json`` and ``deployment.zip`` to ``folder``; ``chalice package`` builds them.

    Raises:
        SystemExit: a requirement is not in the bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as merge, _packaging_environment():
        json.dump(merge_template(), merge)
        merge.flush()
        command = ["package", "--stage", STAGE, "--merge-template", merge.name, str(folder)]
        subprocess.run([Path(sys.executable).with_name("chalice"), *command], cwd=CHECKOUT, check=True)  # noqa: S603  our own arguments
    (folder / "sam.json").replace(folder / "template.json")
    missing = missing_requirements((CHECKOUT / "requirements.txt").read_text(), folder / "deployment.zip")
    if missing:
        sys.exit(f"Not in deployment.zip: {', '.join(missing)}.  There is no wheel for Lambda: choose another version.")


def missing_requirements(requirements: str, bundle: Path) -> list[str]:
    """The pinned requirements that the code bundle lacks: Chalice only prints a warning of them."""
    with ZipFile(bundle) as archive:
        there = {name.partition("/")[0] for name in archive.namelist()}
    pins = [line.strip().partition("==") for line in requirements.splitlines() if "==" in line]
    # The name as wheels spell it ("Binary distribution format", PyPA specifications).
    return [
        f"{name}=={version}" for name, _, version in pins if f"{re.sub('[-_.]+', '_', name)}-{version}.dist-info" not in there
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m broadside.packaging", description="Write the CloudFormation template.")
    parser.add_argument("folder", type=Path, help="where template.json, and deployment.zip beside it, are written")
    parser.add_argument("--template-only", action="store_true", help="do not build deployment.zip")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.template_only:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "template.json").write_text(json.dumps(build_template(), indent=2) + "\n")
    else:
        package(folder)


if __name__ == "__main__":
    main()
