# What is checked of torch: nothing. It is optional, so that checks must not depend on whether it is installed.
from typing import Any

from torch import distributed as distributed
from torch import nn as nn

def __getattr__(name: str) -> Any: ...
