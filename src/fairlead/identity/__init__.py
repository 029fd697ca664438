"""Who calls: tokens, the keys that sign them, and what they say."""

from fairlead.identity.claims import DAYS_MAX, EVERYWHERE, ISSUER, Claims, page_audience
from fairlead.identity.keys import Keys, SigningKey, load, new_key, rotate
from fairlead.identity.tokens import PREFIX, Minted, for_page, mint, verify

__all__ = [
    "DAYS_MAX",
    "EVERYWHERE",
    "ISSUER",
    "PREFIX",
    "Claims",
    "Keys",
    "Minted",
    "SigningKey",
    "for_page",
    "load",
    "mint",
    "new_key",
    "page_audience",
    "rotate",
    "verify",
]
