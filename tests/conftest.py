"""Settings of every test: declared shapes are checked, and a busy machine is no failure.

The hook has to stand before anything imports ``mirage_lib.objectives``, so it stands here: with it, the
functions of ``objectives`` reject tensors of another shape than they declare.
"""

import hypothesis
from jaxtyping import install_import_hook

install_import_hook("mirage_lib.objectives", "beartype.beartype")

hypothesis.settings.register_profile("mirage", deadline=None)
hypothesis.settings.load_profile("mirage")
