"""Settings for every test: declared shapes are checked, and no test fails because the machine is busy.

With the hook, the functions of ``objectives`` reject tensors whose shape differs from the declared one. It must be
installed before anything imports ``mirage_lib.models.objectives``, so it is here.
"""

import hypothesis
from jaxtyping import install_import_hook

install_import_hook("mirage_lib.models.objectives", "beartype.beartype")

hypothesis.settings.register_profile("mirage", deadline=None)
hypothesis.settings.load_profile("mirage")
