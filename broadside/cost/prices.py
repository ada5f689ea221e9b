"""The price table: ``prices.toml`` beside this module, or the user's own in the same form."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chalicelib.errors import BroadsideError

#: US dollars for as many of a thing as the field's name says.
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

#: A Region's name, as in us-east-1.
REGION_PATTERN = r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}"
RegionName = Annotated[str, Field(pattern=f"^{REGION_PATTERN}$")]


class BadPrices(BroadsideError):
    """A price table that cannot be used."""


class Table(BaseModel):
    """A part of the file; keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RegionPrices(Table):
    """Charged by the Region that a snapshot is in."""

    put_snapshot_block_per_1000: Dollars
    snapshot_gib_month: Dollars


class RegionOverride(Table):
    """Where one Region differs."""

    put_snapshot_block_per_1000: Dollars | None = None
    snapshot_gib_month: Dollars | None = None


class HomePrices(Table):
    """Charged by the home Region, from which everything is sent."""

    transfer_gib: Dollars
    lambda_gib_second: Dollars
    lambda_requests_per_million: Dollars
    step_functions_transitions_per_1000: Dollars
    s3_put_per_1000: Dollars
    s3_get_per_1000: Dollars
    dynamodb_writes_per_million: Dollars
    dynamodb_reads_per_million: Dollars


class Prices(Table):
    """The whole file."""

    region: RegionPrices
    home: HomePrices
    regions: dict[RegionName, RegionOverride] = Field(default_factory=dict)

    @classmethod
    def builtin(cls) -> Prices:
        """The table that comes with Broadside."""
        return cls.parse(files("broadside.cost").joinpath("prices.toml").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str, name: str = "the price table") -> Prices:
        """Read TOML; ``name`` is what errors call it.

        Raises:
            BadPrices: it is not TOML, a price is missing, negative or no number, or a key is not known.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise BadPrices(f"{name} is not TOML: {error}.") from error
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise BadPrices(f"{name} cannot be used: {where}: {fault['msg'][0].lower()}{fault['msg'][1:]}.") from error

    def of(self, region: str) -> RegionPrices:
        """What ``region`` charges: its own prices, and for the rest everybody's."""
        own = self.regions.get(region, RegionOverride())
        return self.region.model_copy(update=own.model_dump(exclude_none=True))
