"""Networks of torchvision, timm and transformers, by the names that people know them by.

named.py builds one; torchvision_nets.py, timm_nets.py and hf_nets.py say what each library has to say, in the terms of
library.py; heads.py lets classes and channels follow a weight file. Libraries are imported when a network is built. To
add a library: a file that defines a `Library`, and a line in LIBRARIES.
"""

from robustprune.models.libraries.library import LibraryNetwork
from robustprune.models.libraries.named import LIBRARIES, Named, is_named, named

__all__ = ["LIBRARIES", "LibraryNetwork", "Named", "is_named", "named"]
