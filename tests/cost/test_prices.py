"""The price table: strict, so that a misspelt price is not a free one."""

from __future__ import annotations

from importlib.resources import files

import pytest

from broadside.cost import BadPrices, Prices

TEXT = files("broadside.cost").joinpath("prices.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("transfer_gib = 0.02", "", r"mine\.toml cannot be used: home\.transfer_gib: field required\."),
        ("transfer_gib = 0.02", "transfer_gib = -1", r"home\.transfer_gib: .*greater than or equal to 0"),
        ("transfer_gib = 0.02", "transfer_gib = nan", r"home\.transfer_gib: .*"),
        ("transfer_gib = 0.02", 'transfer_gib = "0.02"', r"home\.transfer_gib: input should be a valid number"),
        ("[home]", "[home]\ntransfer_gb = 0.02", r"home\.transfer_gb: extra inputs are not permitted"),
        ("[home]", "[regions.eu-west1]\nsnapshot_gib_month = 1\n[home]", r"regions\.eu-west1\.\[key\]: string should match"),
        ("[home]", "[home", r"mine\.toml is not TOML"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(before: str, after: str, sentence: str) -> None:
    """What is missing, negative, no number or not known is named; nothing is guessed."""
    with pytest.raises(BadPrices, match=sentence):
        Prices.parse(TEXT.replace(before, after), "mine.toml")


def test_the_table_that_comes_along_is_whole() -> None:
    """The built-in table has every price, and none is zero."""
    prices = Prices.builtin()
    assert all(price > 0 for table in (prices.region, prices.home) for price in table.model_dump().values())


def test_a_region_s_own_price_counts_there_alone() -> None:
    """What a Region does not name is everybody's; other Regions do not change."""
    prices = Prices.parse(f"{TEXT}\n[regions.sa-east-1]\nsnapshot_gib_month = 0.068\n")
    assert prices.of("sa-east-1").snapshot_gib_month == 0.068
    assert prices.of("sa-east-1").put_snapshot_block_per_1000 == prices.region.put_snapshot_block_per_1000
    assert prices.of("us-east-1") == prices.region


@pytest.mark.parametrize(
    ("price", "dollars"),
    [
        ("put_snapshot_block_per_1000", 0.006),
        ("snapshot_gib_month", 0.05),
        ("transfer_gib", 0.02),
        ("lambda_gib_second", 0.0000166667),
        ("lambda_requests_per_million", 0.20),
        ("step_functions_transitions_per_1000", 0.025),
        ("s3_put_per_1000", 0.005),
        ("s3_get_per_1000", 0.0004),
        ("dynamodb_writes_per_million", 0.625),
        ("dynamodb_reads_per_million", 0.125),
    ],
)
def test_the_list_prices_are_those_of_us_east_1(price: str, dollars: float) -> None:
    """Written down twice, so that a slip of the hand in the table is seen."""
    prices = Prices.builtin()
    assert {**prices.region.model_dump(), **prices.home.model_dump()}[price] == dollars
