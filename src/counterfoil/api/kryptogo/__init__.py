"""The KryptoGO Studio invoice API: its door into the desk."""

from counterfoil.api.kryptogo.callbacks import tells
from counterfoil.api.kryptogo.routes import router, state

__all__ = ["router", "state", "tells"]
