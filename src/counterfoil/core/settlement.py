"""What has become of an invoice's money, as a value."""

from dataclasses import dataclass

from counterfoil.core.money import Asset

Units = tuple[tuple[str, int], ...]
"""Base units by `Asset.key`, sorted; an asset that is not there has none."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What has become of the money so far: totals, booked once they are final on chain.

    ``swept`` left the deposit address for a place of ours, ``paid_out`` went to the merchant, and
    ``returned`` to whoever it was sent back to. ``in_hold`` lies in the hold wallet just now, and
    ``token_fees`` are what the tokens' own contracts kept of it on its ways.
    Derived from the ledger, never stored.
    """

    swept: Units = ()
    paid_out: Units = ()
    returned: Units = ()
    in_hold: Units = ()
    token_fees: Units = ()

    def in_hold_units(self, asset: Asset) -> int:
        """What lies in the hold wallet of one asset."""
        return dict(self.in_hold).get(asset.key, 0)

    def swept_units(self, asset: Asset) -> int:
        """What left the deposit address of one asset."""
        return dict(self.swept).get(asset.key, 0)

    def paid_out_units(self, asset: Asset) -> int:
        """What the merchant has of one asset."""
        return dict(self.paid_out).get(asset.key, 0)

    def returned_units(self, asset: Asset) -> int:
        """What went back of one asset."""
        return dict(self.returned).get(asset.key, 0)

    def token_fee_units(self, asset: Asset) -> int:
        """What the token of one asset kept of it on its ways."""
        return dict(self.token_fees).get(asset.key, 0)
