"""What Parameter Store accepts as a name, a type and a value.  No state, no I/O.

Sources: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html, and the user guide's
"Requirements and constraints for parameter names".
"""

from __future__ import annotations

import re

from moto.ssm.exceptions import SSMException

LEVELS = 15
#: Characters of a name, together with those of the ARN in front of it.
LONGEST_ARN = 1011
#: Bytes of a standard parameter's value, and of an advanced one's.
STANDARD_VALUE, ADVANCED_VALUE = 4096, 8192

_NAME = re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")


def invalid(message: str) -> SSMException:
    return SSMException("ValidationException", message)


def check_name(name: str, arn: str) -> None:
    """Refuse a name that cannot be; ``arn`` is what the parameter's would be.  moto refuses the prefixes aws and ssm.

    Raises:
        SSMException: ValidationException; HierarchyLevelLimitExceededException.
    """
    if not _NAME.fullmatch(name):
        raise invalid(
            'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of '
            "sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 "
            "symbols .-_"
        )
    if "/" in name and not name.startswith("/"):
        raise invalid("Parameter name must be a fully qualified name.")
    if name.count("/") > LEVELS:
        message = f"A hierarchy can have a maximum of {LEVELS} levels."
        raise SSMException("HierarchyLevelLimitExceededException", message)
    if len(arn) > LONGEST_ARN:
        raise invalid(f"The parameter's ARN has {len(arn)} characters; it may have {LONGEST_ARN}.")


def check_value(value: str, tier: str | None) -> None:
    """Refuse a value that is too long for its tier, or that refers to another parameter.

    Raises:
        SSMException: ValidationException.
    """
    size = len(value.encode())
    if size > ADVANCED_VALUE or (size > STANDARD_VALUE and tier not in ("Advanced", "Intelligent-Tiering")):
        raise invalid(f"Standard tier parameters support a maximum parameter value of {STANDARD_VALUE} characters.")
    if re.search(r"\{\{.*\}\}", value):
        raise invalid("Parameter value can't nest another parameter.")


def check_type(given: str | None, had: str | None, data_type: str) -> None:
    """Refuse a change of type, and an image's id in anything but a String.

    Raises:
        SSMException: HierarchyTypeMismatchException; ValidationException.
    """
    if given and had and given != had:
        message = f"The parameter has the type {had}, which cannot be changed to {given}."
        raise SSMException("HierarchyTypeMismatchException", message)
    kind = given or had
    if data_type == "aws:ec2:image" and kind not in (None, "String"):
        raise invalid(f"The data type {data_type} is for parameters of the type String, and not {kind}.")
