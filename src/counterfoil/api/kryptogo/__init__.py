"""The KryptoGO Studio invoice API: its door into the desk (`routes`), and its callbacks."""
