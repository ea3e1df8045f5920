"""How a language is set."""

import re
from typing import Final

HALF_WIDTH: Final = re.compile(
    r"(?<=[\u3400-\u9fff\u300d])[ \n]?[,.:;?!](?![0-9])"
    r"|(?<=[\u3400-\u9fff])[ \n]?\((?=[^)]*\))"
    r"|\((?=[\u3400-\u9fff])"
)
"""A mark of half width after a Chinese character or quotation, or around one; never in a number."""
