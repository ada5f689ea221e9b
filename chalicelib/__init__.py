"""Everything of Broadside that runs in AWS Lambda, one room per step of the flow.

Floors, top to bottom: ``handlers``, ``rollout``, ``images`` and ``snapshots``, ``streams``, ``builds``, ``index``, ``aws``,
``openpgp``, then ``policy``, ``settings``, ``names`` and ``errors``.  An import goes down, never up.
"""
