"""What the entry point names: importing the module defines the parts, and defining them registers them."""

from discovery_digress.generator import Digress
from discovery_digress.trial import DigressClaim

__all__ = ["Digress", "DigressClaim"]
