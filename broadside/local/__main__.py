"""``python -m broadside.local`` is ``broadside local up``, without the rest of the command line."""

from broadside.cli.local import up

up()
